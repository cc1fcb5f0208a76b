
import type { ApprovalView } from "@spool/client";
import { expect, it } from "vitest";
import { chosen, isBatchable, outcome, shown } from "./filter";

const asked = (id: string, fields: Partial<ApprovalView> = {}): ApprovalView => ({
  _id: id,
  _creationTime: 0,
  threadId: "t",
  generationId: "g",
  messageId: "m",
  kind: "tool_call",
  status: "pending",
  hash: "",
  createdAt: Number(id),
  ...fields,
} as ApprovalView);
const ids = (rows: ApprovalView[]) => rows.map(({ _id }) => _id);

const ROWS = [asked("1"), asked("4", { kind: "plan" }), asked("3", { status: "approved" }), asked("2", { status: "rejected" })];

it("shows what waits, the newest first, and keeps what was decided meanwhile in its place", () => {
  expect(ids(shown(ROWS, { state: "waiting", kind: "all" }, new Set()))).toEqual(["4", "1"]);
  expect(ids(shown(ROWS, { state: "waiting", kind: "all" }, new Set(["3"])))).toEqual(["4", "3", "1"]);
  expect(ids(shown(ROWS, { state: "decided", kind: "all" }, new Set(["3"])))).toEqual(["3", "2"]);
  expect(ids(shown(ROWS, { state: "waiting", kind: "plan" }, new Set()))).toEqual(["4"]);
});

it("decides together only what needs no look of its own", () => {
  const rows = [asked("1"), asked("2", { kind: "question" }), asked("3", { highRisk: true }), asked("4", { status: "approved" }), asked("5", { inputBytes: 20_000 })];
  expect(ids(rows.filter(isBatchable))).toEqual(["1"]);
  expect(ids(chosen(rows, new Set(["1", "2", "3", "4", "5"])))).toEqual(["1"]);
});

it("says what became of a batch", () => {
  const late = { error: { code: "already_resolved", message: "" } };
  expect(outcome("approve", [{}, {}])).toBe("2 approved");
  expect(outcome("reject", [{}, late])).toBe("1 rejected, 1 decided before");
  expect(outcome("approve", [{ error: { code: "forbidden", message: "Not yours." } }])).toBe("0 approved, 1 not: Not yours.");
});
