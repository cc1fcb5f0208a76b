// Asks the server to stop an answer. The message's own status says when it has stopped.

import { useMutation } from "convex/react";
import { useCallback } from "react";
import { api } from "../api.generated";

export function useStop(): (generationId: string) => Promise<void> {
  const stop = useMutation(api.generations.stop);
  return useCallback(async (generationId) => void (await stop({ generationId })), [stop]);
}
