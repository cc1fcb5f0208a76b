// Which approvals the inbox shows, and which can be decided together. Pure.

import type { ApprovalView, Decided } from "@spool/client";

export interface Filter {
  state: "waiting" | "decided";
  kind: "all" | ApprovalView["kind"];
}

/** The newest first. `kept` are those that waited when they were first seen: they keep their places. */
export function shown(all: readonly ApprovalView[], { state, kind }: Filter, kept: ReadonlySet<string>): ApprovalView[] {
  const ofState = (row: ApprovalView) => (state === "waiting" ? row.status === "pending" || kept.has(row._id) : row.status !== "pending");
  return all.filter((row) => (kind === "all" || row.kind === kind) && ofState(row)).toSorted((a, b) => b.createdAt - a.createdAt);
}

/** A question wants an answer of its own, and what is of high risk or too large for a list a look of its own. */
export function isBatchable({ status, kind, highRisk, inputBytes }: ApprovalView): boolean {
  return status === "pending" && kind !== "question" && highRisk !== true && inputBytes === undefined;
}

export function chosen(rows: readonly ApprovalView[], picked: ReadonlySet<string>): ApprovalView[] {
  return rows.filter((row) => picked.has(row._id) && isBatchable(row));
}

/** What became of a batch, in a sentence. */
export function outcome(decision: "approve" | "reject", results: readonly Decided[]): string {
  const failed = results.filter(({ error }) => error !== undefined);
  const done = results.length - failed.length;
  const verb = decision === "approve" ? "approved" : "rejected";
  const left = failed.length === 0 ? "" : failed.every(({ error }) => error?.code === "already_resolved") ? `, ${failed.length} decided before` : `, ${failed.length} not: ${failed[0]?.error?.message ?? ""}`;
  return `${done} ${verb}${left}`;
}
