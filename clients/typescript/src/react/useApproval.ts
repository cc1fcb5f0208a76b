// What a person is asked, live, and the decision about it. The first decision is the last: a later one throws
// `already_resolved`, and the live row says which it was.

import { useMutation } from "convex/react";
import { useCallback } from "react";
import { api, type ApprovalsDecideArgs, type ApprovalsDecideManyArgs, type ApprovalView, type Decided } from "../api.generated";
import { useFound } from "./useFound";

/** `undefined` while loading or skipped, `null` if it is missing or someone else's. */
export function useApproval(approvalId: string | "skip"): ApprovalView | null | undefined {
  return useFound(api.approvals.get, approvalId === "skip" ? "skip" : { approvalId });
}

export function useDecide(): (decision: ApprovalsDecideArgs) => Promise<void> {
  const decide = useMutation(api.approvals.decide);
  return useCallback(async (decision) => void (await decide(decision)), [decide]);
}

/** Many at once, each with its own outcome, in their order. At most 100. */
export function useDecideMany(): (decisions: ApprovalsDecideManyArgs["decisions"]) => Promise<readonly Decided[]> {
  const decide = useMutation(api.approvals.decideMany);
  return useCallback((decisions) => decide({ decisions }), [decide]);
}
