// Asks for another attempt at an answer: one that did not end well, or the newest one.

import { useMutation } from "convex/react";
import { useCallback } from "react";
import { api } from "../api.generated";

export function useRetry(): (messageId: string) => Promise<void> {
  const retry = useMutation(api.turns.regenerate);
  return useCallback(async (messageId) => void (await retry({ messageId })), [retry]);
}
