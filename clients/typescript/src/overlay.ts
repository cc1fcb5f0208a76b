// Lays what is live over what is stored: the message page from the database, the folds of running
// generations, and the messages that are still on their way out. Pure.
//
// Keys are the heart of it: an optimistic message and the row that replaces it have one key, so a list
// rendered by key neither doubles nor remounts them.

import { isFinal, type Failure, type Message, type MessageStatus, type Part, type Usage } from "./documents";
import type { FilePart } from "./files";
import type { Activity, Fold } from "./fold";
import { textOf } from "./fold";

/** How a message wants to be taken: by whom, and what becomes of it while an answer is being made. */
export interface SendOptions {
  agent?: string;
  role?: string;
  ifBusy?: "queue" | "steer";
}

/** A message on its way to the server, made by this client. */
export interface Unsent {
  requestId: string;
  /** `null` while its thread does not exist yet. */
  threadId: string | null;
  text: string;
  /** Uploaded already. */
  files?: readonly FilePart[];
  options?: SendOptions;
  createdAt: number;
  state: "sending" | "sent" | "failed";
  error?: Failure;
}

/** What a UI renders. */
export interface LiveMessage {
  /** Stable over the whole life of the message, optimistic part included. */
  readonly key: string;
  /** The server's id; `null` until there is a row. */
  readonly id: string | null;
  readonly role: Message["role"];
  /** Of an unsent message: on its way, waiting for its turn, or refused. */
  readonly status: MessageStatus | "sending" | "queued" | "failed";
  readonly parts: readonly Part[];
  readonly text: string;
  readonly createdAt: number;
  readonly generationId: string | null;
  readonly requestId: string | null;
  readonly model: string | null;
  readonly agentId: string | null;
  readonly usage: Usage | null;
  readonly error: Failure | null;
  readonly activity: Activity | null;
  /** Of a message that waits for the end of an answer, or for its next step. */
  readonly waits: "queue" | "steer" | null;
}

export interface OverlayInput {
  /** Stored messages, oldest first. */
  rows: readonly Message[];
  /** Folds of the generations that rows still point at, by generation id. */
  folds: ReadonlyMap<string, Fold>;
  /** Unsent messages of this thread, oldest first. */
  unsent: readonly Unsent[];
  /** The last result: views that did not change keep their identity. */
  previous: readonly LiveMessage[];
}

/** Whether the message is still being written. */
export function isRunning(view: LiveMessage): boolean {
  return view.role === "assistant" && (view.status === "pending" || view.status === "streaming");
}

/** The generation whose log carries the row's text for now, if any. */
export function liveGeneration(row: Message): string | null {
  return isFinal(row.status) ? null : (row.generationId ?? null);
}

export function overlay({ rows, folds, unsent, previous }: OverlayInput): readonly LiveMessage[] {
  const known = new Map(previous.map((view) => [view.key, view]));
  const keyOfId = new Map(previous.map((view) => [view.id, view.key]));
  const stored = new Set<string>();
  const views: LiveMessage[] = [];
  let questionKey: string | null = null;
  for (const row of rows) {
    const requestId = row.requestId ?? null;
    if (requestId !== null && row.role === "user") stored.add(requestId);
    // The answer that read it shows it at its place.
    if (row.steered !== undefined) continue;
    // An opening without a word has nothing to show.
    if (row.opening === true) {
      questionKey = requestId;
      continue;
    }
    const key = keyOfId.get(row._id) ?? keyOf(row, questionKey);
    views.push(keep(known.get(key), viewOf(row, key, liveFold(row, folds))));
    questionKey = row.role === "user" ? requestId : null;
  }
  let answering = views.some(isRunning);
  for (const entry of unsent) {
    if (stored.has(entry.requestId)) continue;
    const status = entry.state === "failed" ? "failed" : answering ? "queued" : "sending";
    const view = keep(known.get(entry.requestId), unsentView(entry, status));
    if (status === "failed") views.splice(placeOf(view, views, previous), 0, view);
    else views.push(view);
    if (status !== "sending") continue;
    views.push(keep(known.get(answerKey(entry.requestId)), awaitedView(entry)));
    answering = true;
  }
  return views.length === previous.length && views.every((view, at) => view === previous[at]) ? previous : views;
}

// A failed message stays where it was when the conversation goes on without it.
function placeOf(failed: LiveMessage, views: readonly LiveMessage[], previous: readonly LiveMessage[]): number {
  const was = previous.findIndex((view) => view.key === failed.key);
  const before = was > 0 ? previous[was - 1]?.key : undefined;
  const at = views.findIndex((view) => view.key === before);
  return before === undefined || at < 0 ? views.length : at + 1;
}

function answerKey(requestId: string): string {
  return `answer:${requestId}`;
}

// Only for a row that was not shown before: loading earlier messages must not rename those on the screen.
// The answer takes its key from the question before it: that is the one thing known of it before it exists.
function keyOf(row: Message, questionKey: string | null): string {
  if (row.role === "user") return row.requestId ?? row._id;
  return row.role === "assistant" && questionKey !== null ? answerKey(questionKey) : row._id;
}

function liveFold(row: Message, folds: ReadonlyMap<string, Fold>): Fold | undefined {
  const generation = liveGeneration(row);
  return generation === null ? undefined : folds.get(generation);
}

function viewOf(row: Message, key: string, fold: Fold | undefined): LiveMessage {
  const live = fold !== undefined && fold.parts.length > 0;
  const parts = live ? fold.parts : row.parts;
  const error = fold?.final?.error ?? row.error ?? null;
  return {
    key,
    id: row._id,
    role: row.role,
    status: fold?.final?.status ?? (live && row.status === "pending" ? "streaming" : row.status),
    parts,
    text: live ? textOf(fold.parts) : row.text,
    createdAt: row._creationTime,
    generationId: row.generationId ?? null,
    requestId: row.requestId ?? null,
    model: row.model ?? null,
    agentId: row.agentId ?? null,
    usage: fold?.final?.usage ?? row.usage ?? null,
    error,
    activity: fold?.activity ?? null,
    waits: waitOf(row),
  };
}

function waitOf(row: Message): LiveMessage["waits"] {
  if (row.role !== "user" || row.status !== "pending") return null;
  return row.steers === true ? "steer" : "queue";
}

const BLANK = { id: null, generationId: null, model: null, agentId: null, usage: null, error: null, activity: null, waits: null } as const;

function unsentView(entry: Unsent, status: "sending" | "queued" | "failed"): LiveMessage {
  return {
    ...BLANK,
    key: entry.requestId,
    role: "user",
    status,
    parts: [...(entry.files ?? []), ...(entry.text === "" ? [] : [{ type: "text" as const, text: entry.text }])],
    text: entry.text,
    createdAt: entry.createdAt,
    requestId: entry.requestId,
    error: entry.error ?? null,
    waits: status === "queued" ? waitWanted(entry) : null,
  };
}

function waitWanted({ options }: Unsent): LiveMessage["waits"] {
  return options?.ifBusy ?? null;
}

function awaitedView(entry: Unsent): LiveMessage {
  return {
    ...BLANK,
    key: answerKey(entry.requestId),
    role: "assistant",
    status: "pending",
    parts: [],
    text: "",
    createdAt: entry.createdAt,
    requestId: entry.requestId,
  };
}

// Rows arrive as new objects whenever any message of their page changes; an equal view keeps its identity.
function keep(old: LiveMessage | undefined, next: LiveMessage): LiveMessage {
  if (old === undefined) return next;
  const parts = keepParts(old.parts, next.parts);
  const same =
    parts === old.parts &&
    old.id === next.id &&
    old.status === next.status &&
    old.text === next.text &&
    old.createdAt === next.createdAt &&
    old.generationId === next.generationId &&
    old.requestId === next.requestId &&
    old.model === next.model &&
    old.agentId === next.agentId &&
    old.waits === next.waits &&
    sameJson(old.usage, next.usage) &&
    sameJson(old.error, next.error) &&
    sameJson(old.activity, next.activity);
  return same ? old : { ...next, parts };
}

function keepParts(old: readonly Part[], next: readonly Part[]): readonly Part[] {
  if (old === next) return old;
  const parts = next.map((part, at) => {
    const before = old[at];
    return before !== undefined && sameJson(before, part) ? before : part;
  });
  return parts.length === old.length && parts.every((part, at) => part === old[at]) ? old : parts;
}

function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const left = Object.entries(a).filter(([, value]) => value !== undefined);
  const right = new Map(Object.entries(b).filter(([, value]) => value !== undefined));
  return left.length === right.size && left.every(([key, value]) => right.has(key) && sameJson(value, right.get(key)));
}
