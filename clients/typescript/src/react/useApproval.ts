// What a person is asked, live, and the decision about it. The first decision is the last: a later one throws
// `already_resolved`, and the live row says which it was.

import { useMutation } from "convex/react";
import { makeFunctionReference } from "convex/server";
import { useCallback } from "react";
import { api, type ApprovalView } from "../api.generated";
import { useFound } from "./useFound";

export interface Vote {
  userId: string;
  name?: string;
  decision: "approve" | "reject";
  at: number;
  reason?: string;
}
export type Asked = ApprovalView &
  Partial<{ options: string[]; content: string; agentId: string; highRisk: boolean; approversNeeded: number; votes: Vote[]; answer: string; ruleId: string }>;
export interface Decision {
  approvalId: string;
  decision: "approve" | "reject";
  reason?: string;
  edited?: unknown;
  remember?: { scope: "tool" | "arguments"; onlyThisAgent?: boolean };
}
export interface Decided {
  approval?: Asked;
  error?: { code: string; message: string };
}
const decideOne = makeFunctionReference<"mutation", Record<string, any>, Asked>("approvals:decide");
const decideMany = makeFunctionReference<"mutation", { decisions: Decision[] }, Decided[]>("approvals:decideMany");

/** `undefined` while loading, `null` if it is missing or someone else's. */
export function useApproval(approvalId: string): Asked | null | undefined {
  return useFound(api.approvals.get, { approvalId });
}

export function useDecide(): (decision: Decision) => Promise<void> {
  const decide = useMutation(decideOne);
  return useCallback(async (decision) => void (await decide({ ...decision })), [decide]);
}

/** Many at once, each with its own outcome, in their order. At most 100. */
export function useDecideMany(): (decisions: Decision[]) => Promise<readonly Decided[]> {
  const decide = useMutation(decideMany);
  return useCallback((decisions) => decide({ decisions }), [decide]);
}
