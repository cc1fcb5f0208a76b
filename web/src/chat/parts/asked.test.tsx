// The cards of approvals and artifacts: what is sent for each answer, and what is said when another was first.

import type { ApprovalView, ArtifactView } from "@spool/client";
import { FailureError } from "@spool/client";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PartList } from "./PartList";

const server = vi.hoisted(() => ({
  approval: undefined as unknown,
  artifacts: new Map<number | undefined, unknown>(),
  connection: "live",
  decide: vi.fn<(decision: unknown) => Promise<void>>(),
  update: vi.fn<(change: unknown) => Promise<void>>(),
}));

vi.mock("@spool/client/react", () => ({
  useApproval: () => server.approval,
  useArtifact: (id: string, version?: number) => (id === "skip" ? undefined : server.artifacts.get(version)),
  useConnectionState: () => server.connection,
  useDecide: () => server.decide,
  useUpdateArtifact: () => server.update,
}));

const asked = (fields: Partial<ApprovalView> = {}): ApprovalView => ({
  _id: "apr_1",
  _creationTime: 0,
  threadId: "thr_1",
  generationId: "gen_1",
  messageId: "msg_1",
  kind: "tool_call",
  status: "pending",
  tool: "pay",
  toolCallId: "t1",
  input: { amount: 5 },
  approversNeeded: 1,
  votes: [],
  hash: "",
  createdAt: 0,
  ...fields,
});

const document_ = (fields: Partial<ArtifactView> = {}): ArtifactView => ({
  _id: "art_1",
  artifactId: "art_1",
  threadId: "thr_1",
  kind: "plan",
  title: "Launch",
  current: 1,
  version: 1,
  status: "draft",
  author: "agent",
  content: "one",
  contentBytes: 3,
  contentHash: "",
  createdAt: 0,
  ...fields,
});

const PART = { type: "approval", approvalId: "apr_1", kind: "tool_call", status: "pending", toolCallId: "t1" } as const;
const button = (name: string) => screen.getByRole<HTMLButtonElement>("button", { name });
const conflict = new FailureError({ code: "history_conflict", message: "", retryable: false });

beforeEach(() => {
  server.approval = asked();
  server.artifacts.clear();
  server.connection = "live";
  server.decide.mockReset().mockResolvedValue(undefined);
  server.update.mockReset().mockResolvedValue(undefined);
});
afterEach(cleanup);

describe("an approval", () => {
  const show = (part = PART) => render(<PartList parts={[part]} running />);

  it("shows the frozen input once, and sends the answer with its reason", async () => {
    const call = { type: "tool_call", toolCallId: "t1", tool: "pay", state: "awaiting_approval", input: { amount: 5 } } as const;
    render(<PartList parts={[call, PART]} running />);
    expect(screen.getAllByText("Needs approval")).toHaveLength(1);
    expect(screen.getByText(/"amount": 5/)).toBeTruthy();
    fireEvent.change(screen.getByLabelText("Reason"), { target: { value: " too much " } });
    fireEvent.click(button("Reject"));
    expect(button("Approve").disabled).toBe(true);
    await waitFor(() => expect(server.decide).toHaveBeenCalledWith({ approvalId: "apr_1", decision: "reject", reason: "too much" }));
  });

  it("sends changed input with the approval only, and only if it is JSON", async () => {
    show();
    fireEvent.click(button("Edit"));
    const input = screen.getByLabelText("Input, as it shall run");
    fireEvent.change(input, { target: { value: "{" } });
    expect(screen.getByRole("alert").textContent).toMatch(/not JSON/);
    expect(button("Approve with changes").disabled).toBe(true);
    fireEvent.change(input, { target: { value: '{"amount":4}' } });
    fireEvent.click(button("Approve with changes"));
    await waitFor(() => expect(server.decide).toHaveBeenCalledWith({ approvalId: "apr_1", decision: "approve", edited: { amount: 4 } }));
  });

  it.each([
    ["approved", "Approved"],
    ["rejected", "Rejected"],
    ["expired", "Expired"],
    ["cancelled", "Cancelled"],
  ] as const)("has no answers left when it is %s, whoever decided", (status, label) => {
    const { rerender } = show();
    server.approval = asked({ status, resolvedBy: status === "approved" || status === "rejected" ? "usr_1" : undefined });
    rerender(<PartList parts={[{ ...PART, status }]} running />);
    expect(screen.getByRole("status").textContent).toBe(label);
    expect(screen.queryByRole("button", { name: "Approve" })).toBeNull();
    expect(screen.queryByText(/another window/) !== null).toBe(status === "approved" || status === "rejected");
  });

  it("says that another decision was first", async () => {
    server.decide.mockRejectedValue(new FailureError({ code: "already_resolved", message: "", retryable: false }));
    show();
    fireEvent.click(button("Approve"));
    expect((await screen.findByRole("alert")).textContent).toMatch(/decided before/);
  });

  it("waits for the connection", () => {
    server.connection = "offline";
    show();
    expect(button("Approve").disabled && button("Reject").disabled).toBe(true);
  });

  it("of a plan that went on is given to the reader's own text only", async () => {
    server.approval = asked({ kind: "plan", artifactId: "art_1", version: 1, tool: undefined, input: undefined });
    server.artifacts.set(1, document_({ current: 2 }));
    show();
    expect(screen.getByText(/version 2 by now/)).toBeTruthy();
    expect(button("Approve").disabled).toBe(true);
    fireEvent.click(button("Edit"));
    fireEvent.change(screen.getByLabelText("Your version of the plan"), { target: { value: "mine" } });
    fireEvent.click(button("Approve with changes"));
    await waitFor(() => expect(server.decide).toHaveBeenCalledWith({ approvalId: "apr_1", decision: "approve", edited: "mine" }));
  });
});

describe("an artifact", () => {
  // New at every call: a part that is the same object renders no more, and the rows here are not live.
  const list = () => <PartList parts={[{ type: "artifact", artifactId: "art_1", version: 1, kind: "plan", title: "Launch" }]} running={false} />;

  // The test's document has no dialogs.
  beforeEach(() => {
    HTMLDialogElement.prototype.showModal = function showModal() {
      this.open = true;
    };
  });

  it("is changed from the version that was seen, and a newer one is said and kept", async () => {
    server.artifacts.set(undefined, document_());
    const { rerender } = render(list());
    fireEvent.click(screen.getByText("Launch"));
    fireEvent.click(button("Edit"));
    expect(button("Save as version 2").disabled).toBe(true);
    fireEvent.change(screen.getByLabelText("Content"), { target: { value: "mine" } });
    server.update.mockRejectedValueOnce(conflict);
    fireEvent.click(button("Save as version 2"));
    expect((await screen.findByRole("alert")).textContent).toMatch(/newer version/);
    expect(server.update).toHaveBeenLastCalledWith({ artifactId: "art_1", baseVersion: 1, content: "mine" });

    server.artifacts.set(undefined, document_({ current: 2, version: 2, content: "theirs" }));
    rerender(list());
    expect(screen.getByText(/Version 2 was saved while you were writing on version 1/)).toBeTruthy();
    fireEvent.click(button("Save mine as version 3"));
    await waitFor(() => expect(server.update).toHaveBeenLastCalledWith({ artifactId: "art_1", baseVersion: 2, content: "mine" }));
  });

  it("that was rejected is read only", () => {
    server.artifacts.set(undefined, document_({ status: "rejected" }));
    render(list());
    fireEvent.click(screen.getByText("Launch"));
    expect(screen.getByText("one")).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Edit" })).toBeNull();
  });
});
