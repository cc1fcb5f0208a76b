// What the caller decided about calls of tools for good, and how to take it back.

import { useMutation, useQuery } from "convex/react";
import { useCallback } from "react";
import { api, type RuleView } from "../api.generated";

/** The oldest first; `undefined` while loading. */
export function useRules(): readonly RuleView[] | undefined {
  return useQuery(api.rules.list, {});
}

export function useRemoveRule(): (ruleId: string) => Promise<void> {
  const remove = useMutation(api.rules.remove);
  return useCallback(async (ruleId) => void (await remove({ ruleId })), [remove]);
}
