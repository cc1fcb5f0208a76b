// What the caller decided about calls of tools for good, and how to take it back.

import { useMutation, useQuery } from "convex/react";
import { makeFunctionReference } from "convex/server";
import { useCallback } from "react";

export interface RuleView {
  _id: string;
  agentId?: string;
  tool: string;
  arguments: { path: string; equals?: unknown; like?: string }[];
  effect: "allow" | "deny" | "ask";
  createdAt: number;
  uses: number;
}
const list = makeFunctionReference<"query", Record<string, never>, RuleView[]>("rules:list");
const remove = makeFunctionReference<"mutation", { ruleId: string }, null>("rules:remove");

/** The oldest first; `undefined` while loading or skipped. */
export function useRules(skip?: "skip"): readonly RuleView[] | undefined {
  return useQuery(list, skip === "skip" ? "skip" : {});
}

export function useRemoveRule(): (ruleId: string) => Promise<void> {
  const send = useMutation(remove);
  return useCallback(async (ruleId) => void (await send({ ruleId })), [send]);
}
