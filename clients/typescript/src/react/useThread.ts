// One thread: `undefined` while loading or skipped, `null` if it is missing or someone else's.

import { api } from "../api.generated";
import type { Thread } from "../documents";
import { useFound } from "./useFound";

export function useThread(threadId: string | "skip"): Thread | null | undefined {
  return useFound(api.threads.get, threadId === "skip" ? "skip" : { threadId });
}
