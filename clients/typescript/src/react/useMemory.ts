// What the assistant remembers of the caller and what the caller tells every conversation, live, and changes to
// both. A change names the version that its writer saw.

import { useMutation, useQuery } from "convex/react";
import { makeFunctionReference } from "convex/server";
import { useMemo } from "react";

export interface MemoryEntry {
  id: string;
  text: string;
  createdAt: number;
  source: "user" | "assistant" | "application";
}
export interface Memory {
  version: number;
  entries: MemoryEntry[];
}
export interface Instructions {
  version: number;
  text: string;
}
const memoryGet = makeFunctionReference<"query", Record<string, never>, Memory>("memory:get");
const memoryUpdate = makeFunctionReference<"mutation", { baseVersion: number; entries: { id?: string; text: string }[] }, unknown>("memory:update");
const memoryClear = makeFunctionReference<"mutation", Record<string, never>, null>("memory:clear");
const instructionsGet = makeFunctionReference<"query", Record<string, never>, Instructions>("instructions:get");
const instructionsSet = makeFunctionReference<"mutation", { text: string; baseVersion?: number }, unknown>("instructions:set");

/** `undefined` while loading. */
export function useMemory(): Memory | undefined {
  return useQuery(memoryGet, {});
}

/** `undefined` while loading. */
export function useInstructions(): Instructions | undefined {
  return useQuery(instructionsGet, {});
}

export interface MemoryActions {
  /** Forgets one entry of the memory that was seen. */
  forget: (seen: Memory, entryId: string) => Promise<void>;
  clear: () => Promise<void>;
  instruct: (text: string, baseVersion: number) => Promise<void>;
}

export function useMemoryActions(): MemoryActions {
  const update = useMutation(memoryUpdate);
  const clear = useMutation(memoryClear);
  const set = useMutation(instructionsSet);
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
