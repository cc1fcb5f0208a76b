// The typed functions and the pure parts; React hooks are in `@spool/client/react`.

export * from "./api.generated";
export type { Thread, Message, Part, MessageStatus, Deltas, LogEvent, ServerInfo, Usage, Failure, FinalStatus } from "./documents";
export { isFinal } from "./documents";
export { readFailure, FailureError, saysMissing } from "./errors";
export { applyDeltas, EMPTY_FOLD, textOf, units, type Activity, type Final, type Fold } from "./fold";
export { isRunning, overlay, type LiveMessage, type OverlayInput, type SendOptions, type Unsent } from "./overlay";
export { LiveGeneration, liveGeneration } from "./live";
export { Outbox, type Courier, type OutboxStorage } from "./outbox";
export { Files, type FilePart } from "./files";
export { Account, type AccountToken, type SignInMethods } from "./account";
export { GuestTokens, type GuestToken, type Tokens } from "./guest";
export { GuestSession, type GuestState } from "./session";
export { followShared, messageOf, type Ticket } from "./shared";
export { createSpool, type Spool } from "./spool";
