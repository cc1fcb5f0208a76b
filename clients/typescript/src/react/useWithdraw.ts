// Takes a message back that waits for its turn, or for the next step of the answer that is being made.

import { useMutation } from "convex/react";
import { useCallback } from "react";
import { api } from "../api.generated";

export function useWithdraw(): (messageId: string) => Promise<void> {
  const withdraw = useMutation(api.turns.withdraw);
  return useCallback(async (messageId) => void (await withdraw({ messageId })), [withdraw]);
}
