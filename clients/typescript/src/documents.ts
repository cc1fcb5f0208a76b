// The names the rest of this package uses for what the functions return. All derived from the generated
// `api`, so a changed function shows up here first.

import type { FunctionReturnType } from "convex/server";
import type { api } from "./api.generated";

export type Thread = NonNullable<FunctionReturnType<typeof api.threads.get>>;
export type Message = FunctionReturnType<typeof api.messages.page>["page"][number];
export type Part = Message["parts"][number];
export type MessageStatus = Message["status"];
export type Deltas = FunctionReturnType<typeof api.generations.deltas>;
export type LogEvent = Deltas["events"][number];
type StatusEvent = Extract<LogEvent, { type: "status" }>;
export type ApprovalStatus = Extract<LogEvent, { type: "approval" }>["status"];
export type ServerInfo = FunctionReturnType<typeof api.server.info>;
/** Why something failed: a code of the closed list, a sentence for people, and whether trying again may help. */
export type Failure = NonNullable<Message["error"]>;
export type FinalStatus = StatusEvent["status"];
export type Usage = NonNullable<StatusEvent["usage"]>;

export function isFinal(status: string): status is FinalStatus {
  return status === "complete" || status === "error" || status === "stopped" || status === "interrupted";
}
