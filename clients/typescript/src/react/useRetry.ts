// Asks for another attempt at an answer that failed, was stopped or was interrupted.

import { useMutation } from "convex/react";
import { useCallback } from "react";
import { api } from "../api.generated";

export function useRetry(): (messageId: string) => Promise<void> {
  const retry = useMutation(api.turns.retry);
  return useCallback(async (messageId) => void (await retry({ messageId })), [retry]);
}
