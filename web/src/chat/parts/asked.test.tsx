// The cards of approvals and the panel of artifacts: what is sent for each answer, and what is said when another
// was first.

import type { ApprovalView, ArtifactView } from "@spool/client";
import { FailureError } from "@spool/client";

import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ArtifactPanel } from "../../panel/ArtifactPanel";
import { closePanel, usePanel } from "../../panel/store";
import { PartList } from "./PartList";

const server = vi.hoisted(() => ({
  approval: undefined as unknown,
  waiting: [] as unknown[],
  artifacts: new Map<number | undefined, unknown>(),
  connection: "live",
  decide: vi.fn<(decision: unknown) => Promise<void>>(),
  update: vi.fn<(change: unknown) => Promise<void>>(),
}));

vi.mock("@spool/client/react", () => ({
  useAccount: () => ({ kind: "guest", me: { _id: "usr_me" } }),
  useApproval: () => server.approval,
  useArtifact: (id: string, version?: number) => (id === "skip" ? undefined : server.artifacts.get(version)),
  useArtifactText: () => undefined,
  useArtifacts: () => ({ items: [], more: null }),
  useConnectionState: () => server.connection,
  useDecide: () => server.decide,
  useThreadApprovals: () => server.waiting,
  useTodos: () => null,
  useUpdateArtifact: () => server.update,
  useVersions: () => ({ items: [], more: null }),
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
  hash: "",
  createdAt: 0,
  approversNeeded: 1,
  votes: [],
  ...fields,
} as ApprovalView);

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

const CALL = { type: "tool_call", toolCallId: "t1", tool: "pay", state: "awaiting_approval", input: { amount: 5 } } as const;
const PART = { type: "approval", approvalId: "apr_1", kind: "tool_call", status: "pending", toolCallId: "t1" } as const;
const button = (name: string) => screen.getByRole<HTMLButtonElement>("button", { name });
const conflict = new FailureError({ code: "history_conflict", message: "", retryable: false });

beforeEach(() => {
  server.approval = asked();
  server.waiting = [];
  server.artifacts.clear();
  server.connection = "live";
  // The test's document has no popovers.
  HTMLElement.prototype.hidePopover = () => {};
  server.decide.mockReset().mockResolvedValue(undefined);
  server.update.mockReset().mockResolvedValue(undefined);
});
afterEach(() => {
  cleanup();
  closePanel();
});

// Where the panel is shown, as the frame of the page does it.
function Panel() {
  const view = usePanel("any");
  return view === null || view.artifactId === null ? null : <ArtifactPanel key={view.artifactId} threadId={view.threadId} artifactId={view.artifactId} headingId="h" />;
}

describe("an approval", () => {
  const show = (part = PART) => render(<PartList parts={[part]} running />);
  const become = (fields: Partial<ApprovalView>, status: ApprovalView["status"] = "pending") => {
    server.approval = asked({ status, ...fields });
    return <PartList parts={[{ ...PART, status }]} running />;
  };

  it("shows the frozen input once, and sends the answer with its reason", async () => {
    render(<PartList parts={[CALL, PART]} running />);
    expect(screen.getAllByText("Needs approval")).toHaveLength(1);
    expect([screen.getByText("amount").tagName, screen.getByText("5").tagName]).toEqual(["DT", "DD"]);
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

  it("is decided for good by the menu, but what is of high risk only against it", async () => {
    const { rerender } = show();
    const entries = () => screen.getAllByRole("menuitem", { hidden: true }).map((entry) => entry.textContent);
    expect(entries()).toEqual(["Approve, and always allow pay", "Approve, and always allow exactly this", "Reject, and never allow pay"]);
    fireEvent.click(screen.getByText("Approve, and always allow exactly this"));
    await waitFor(() => expect(server.decide).toHaveBeenCalledWith({ approvalId: "apr_1", decision: "approve", remember: { scope: "arguments" } }));
    rerender(become({ highRisk: true }));
    expect(screen.getByText("High risk")).toBeTruthy();
    expect(entries()).toEqual(["Reject, and never allow pay"]);
  });

  it("of several people says who has approved, and takes one answer of each", () => {
    const vote = { userId: "usr_2", name: "Ada", decision: "approve", at: 0 } as const;
    const { rerender } = render(become({ approversNeeded: 2, votes: [vote] }));
    expect(screen.getByText("1 of 2 approvals")).toBeTruthy();
    expect(screen.getByText(/Ada/)).toBeTruthy();
    // What several people approve is what all of them saw.
    expect(screen.queryByRole("button", { name: "Edit" })).toBeNull();
    expect(button("Approve").disabled).toBe(false);
    rerender(become({ approversNeeded: 2, votes: [{ ...vote, userId: "usr_me" }] }));
    expect(screen.getByText(/You have approved/)).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Approve" })).toBeNull();
  });

  it("of the server's own tools that ask stands for the call", () => {
    const call = { ...CALL, tool: "ask_human", state: "running" } as const;
    const part = { type: "approval", approvalId: "apr_1", kind: "question", status: "pending" } as const;
    server.approval = asked({ kind: "question", question: "Which city?", options: [] });
    const { container, rerender } = render(<PartList parts={[call, part]} running />);
    expect(container.querySelector("[data-tool]")).toBeNull();
    rerender(<PartList parts={[{ ...call, state: "error", error: "too many questions" }, part]} running />);
    expect(container.querySelector("[data-tool]")).toBeTruthy();
  });

  it("that is a question takes a proposed answer or another", async () => {
    const { rerender } = render(become({ kind: "question", question: "Which city?", options: ["Bern", "Basel"] }));
    fireEvent.click(button("Basel"));
    await waitFor(() => expect(server.decide).toHaveBeenCalledWith({ approvalId: "apr_1", decision: "approve", edited: "Basel" }));
    rerender(become({ kind: "question", question: "Which city?", options: [] }));
    expect(button("Answer").disabled).toBe(true);
    fireEvent.change(screen.getByLabelText("Your answer"), { target: { value: " Chur " } });
    fireEvent.keyDown(screen.getByLabelText("Your answer"), { key: "Enter" });
    await waitFor(() => expect(server.decide).toHaveBeenLastCalledWith({ approvalId: "apr_1", decision: "approve", edited: "Chur" }));
  });

  it.each([
    ["approved", "Approved"],
    ["rejected", "Rejected"],
    ["expired", "Expired"],
    ["cancelled", "Cancelled"],
  ] as const)("has no answers left when it is %s, whoever decided", (status, label) => {
    // Of its own: what this window has decided is remembered.
    const part = { ...PART, approvalId: `apr_${status}` };
    const { rerender } = render(<PartList parts={[part]} running />);
    server.approval = asked({ status, resolvedBy: status === "approved" || status === "rejected" ? "usr_1" : undefined });
    rerender(<PartList parts={[{ ...part, status }]} running />);
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
    server.artifacts.set(1, document_({ current: 2 }));
    server.artifacts.set(undefined, document_({ current: 2, version: 2, content: "two" }));
    server.approval = asked({ kind: "plan", artifactId: "art_1", version: 1, tool: undefined, input: undefined });
    server.waiting = [server.approval];
    render(
      <>
        <PartList parts={[PART]} running />
        <Panel />
      </>,
    );
    expect(screen.getByText(/version 2 by now/)).toBeTruthy();
    expect(button("Approve").disabled).toBe(true);
    fireEvent.click(button("Edit"));
    fireEvent.change(screen.getByLabelText("Content"), { target: { value: "mine" } });
    const approve = screen.getAllByRole<HTMLButtonElement>("button", { name: "Approve with changes" });
    // In the card and beside the text; both give the same answer.
    expect(approve.map(({ disabled }) => disabled)).toEqual([false, false]);
    fireEvent.click(approve[1] as HTMLElement);
    await waitFor(() => expect(server.decide).toHaveBeenCalledWith({ approvalId: "apr_1", decision: "approve", edited: "mine" }));
  });
});

describe("an artifact", () => {
  const panel = () => <ArtifactPanel threadId="thr_1" artifactId="art_1" headingId="h" />;

  it("opens from its card", () => {
    server.artifacts.set(undefined, document_());
    render(
      <>
        <PartList parts={[{ type: "artifact", artifactId: "art_1", version: 1, kind: "plan", title: "Launch" }]} running={false} />
        <Panel />
      </>,
    );
    fireEvent.click(screen.getByRole("button", { name: /Launch/ }));
    expect(screen.getByRole("region", { name: "Content" }).textContent).toBe("one");
  });

  it("is changed from the version that was seen, and a newer one is said and kept", async () => {
    server.artifacts.set(undefined, document_());
    const { rerender } = render(panel());
    fireEvent.click(button("Edit"));
    expect(button("Save as version 2").disabled).toBe(true);
    fireEvent.change(screen.getByLabelText("Content"), { target: { value: "mine" } });
    server.update.mockRejectedValueOnce(conflict);
    fireEvent.click(button("Save as version 2"));
    expect((await screen.findByRole("alert")).textContent).toMatch(/newer version/);
    expect(server.update).toHaveBeenLastCalledWith({ artifactId: "art_1", baseVersion: 1, content: "mine" });

    server.artifacts.set(undefined, document_({ current: 2, version: 2, content: "theirs" }));
    rerender(panel());
    expect(screen.getByText(/Version 2 was saved while you were writing on version 1/)).toBeTruthy();
    fireEvent.click(button("Show the difference"));
    expect(screen.getByRole("group", { name: "From version 2 to yours" }).textContent).toMatch(/removed: theirs.*added: mine/);
    fireEvent.click(button("Keep mine as version 3"));
    await waitFor(() => expect(server.update).toHaveBeenLastCalledWith({ artifactId: "art_1", baseVersion: 2, content: "mine" }));
  });

  it("shows what changed in a version", () => {
    server.artifacts.set(undefined, document_({ current: 2, version: 2, content: "two" }));
    server.artifacts.set(1, document_({ current: 2 }));
    render(panel());
    fireEvent.click(button("What changed in this version"));
    expect(screen.getByRole("group", { name: "What changed in version 2" }).textContent).toMatch(/removed: one.*added: two/);
  });

  it("that was rejected is read only", () => {
    server.artifacts.set(undefined, document_({ status: "rejected" }));
    render(panel());
    expect(screen.getByText("one")).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Edit" })).toBeNull();
  });
});
