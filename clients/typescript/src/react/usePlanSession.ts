// How far a run is that plans, asks and carries out: `undefined` while loading or skipped, `null` if there is none.

import { makeFunctionReference } from "convex/server";
import { useFound } from "./useFound";

export type Phase = "planning" | "awaiting_approval" | "executing" | "done";
export interface RuntimeSessionView {
  _id: string;
  phase?: Phase;
  planArtifactId?: string;
  planVersion?: number;
  rejection?: string;
}
const getByThread = makeFunctionReference<"query", { threadId: string }, RuntimeSessionView | null>("sessions:getByThread");

export function usePlanSession(threadId: string | "skip"): RuntimeSessionView | null | undefined {
  return useFound(getByThread, threadId === "skip" ? "skip" : { threadId });
}
