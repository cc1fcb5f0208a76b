// How far a run is that plans, asks and carries out: `undefined` while loading or skipped, `null` if there is none.

import { api, type RuntimeSessionView } from "../api.generated";
import { useFound } from "./useFound";

export function usePlanSession(threadId: string | "skip"): RuntimeSessionView | null | undefined {
  return useFound(api.sessions.getByThread, threadId === "skip" ? "skip" : { threadId });
}
