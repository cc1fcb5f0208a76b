// What the assistant remembers of the caller and what the caller tells every conversation, live, and changes to
// both. A change names the version that its writer saw.

import { useMutation, useQuery } from "convex/react";
import { useMemo } from "react";
import { api, type Instructions, type Memory } from "../api.generated";

/** `undefined` while loading. */
export function useMemory(): Memory | undefined {
  return useQuery(api.memory.get, {});
}

/** `undefined` while loading. */
export function useInstructions(): Instructions | undefined {
  return useQuery(api.instructions.get, {});
}

export interface MemoryActions {
  /** Forgets one entry of the memory that was seen. */
  forget: (seen: Memory, entryId: string) => Promise<void>;
  clear: () => Promise<void>;
  instruct: (text: string, baseVersion: number) => Promise<void>;
}

export function useMemoryActions(): MemoryActions {
  const update = useMutation(api.memory.update);
  const clear = useMutation(api.memory.clear);
  const set = useMutation(api.instructions.set);
  return useMemo(
    () => ({
      forget: async ({ version, entries }, entryId) =>
        void (await update({ baseVersion: version, entries: entries.filter(({ id }) => id !== entryId).map(({ id, text }) => ({ id, text })) })),
      clear: async () => void (await clear({})),
      instruct: async (text, baseVersion) => void (await set({ text, baseVersion })),
    }),
    [update, clear, set],
  );
}
