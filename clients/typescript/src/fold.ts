// Folds the events of one generation's log into message parts. Pure: no clock, no client, no React.
//
// An offset counts units from the start of the log: one per UTF-8 byte of text and reasoning, one for any
// other event. Results may arrive twice, longer, late or out of order; only what lies beyond `cursor` is
// ever applied, so the folded text is always a prefix of the log and never shrinks.

import type { ApprovalStatus, FinalStatus, Failure, LogEvent, Part, Usage } from "./documents";

export interface Activity {
  kind: string;
  label: string;
}

export interface Final {
  status: FinalStatus;
  error?: Failure;
  usage?: Usage;
}

export interface Fold {
  /** Everything before this offset is in `parts`. */
  readonly cursor: number;
  readonly parts: readonly Part[];
  /** What the runner says it is doing; cleared by the next token. */
  readonly activity: Activity | null;
  /** How the log ended, once its last event is in. */
  readonly final: Final | null;
}

export const EMPTY_FOLD: Fold = { cursor: 0, parts: [], activity: null, final: null };

/**
 * Applies a `generations:deltas` result that was asked for at offset `from` and reaches to `to`.
 * Returns `fold` itself when the result brings nothing new, or starts beyond what is known (a gap:
 * ask again at `fold.cursor`).
 */
export function applyDeltas(fold: Fold, from: number, events: readonly LogEvent[], to: number): Fold {
  if (from > fold.cursor || to <= fold.cursor) return fold;
  const fresh = skipUnits(events, fold.cursor - from);
  if (fresh === null) return fold;
  const parts = [...fold.parts];
  let { activity, final } = fold;
  let at = fold.cursor;
  for (const event of fresh) {
    const start = at;
    at += units(event);
    if (event.type === "activity") {
      activity = { kind: event.kind, label: event.label };
    } else if (event.type === "status") {
      final = { status: event.status, error: event.error ?? undefined, usage: event.usage ?? undefined };
      activity = null;
      settleTools(parts);
    } else {
      activity = null;
      addToParts(parts, event, start);
    }
  }
  return { cursor: to, parts, activity, final };
}

/** Length of an event in offset units. */
export function units(event: LogEvent): number {
  return event.type === "text" || event.type === "reasoning" ? byteLength(event.text) : 1;
}

/** The visible text of some parts, as the server derives a message's `text`. */
export function textOf(parts: readonly Part[]): string {
  let text = "";
  for (const part of parts) if (part.type === "text") text += part.text;
  return text;
}

function addToParts(parts: Part[], event: LogEvent, start: number): void {
  const last = parts.at(-1);
  switch (event.type) {
    case "text":
      if (event.text === "") return;
      if (last?.type === "text") parts[parts.length - 1] = { ...last, text: last.text + event.text };
      else parts.push({ type: "text", text: event.text });
      return;
    case "reasoning":
      if (event.text === "") return;
      if (last?.type === "reasoning") parts[parts.length - 1] = { ...last, text: last.text + event.text };
      else parts.push({ type: "reasoning", text: event.text });
      return;
    case "tool_start":
      parts.push({
        type: "tool_call",
        toolCallId: event.toolCallId,
        tool: event.tool,
        state: "running",
        input: event.input,
      });
      return;
    case "tool_end": {
      const at = parts.findLastIndex((part) => isOpenCall(part) && part.toolCallId === event.toolCallId);
      const call = parts[at];
      if (call?.type !== "tool_call") return;
      const failed = event.error !== undefined && event.error !== null;
      parts[at] = event.denied === true
        ? { ...call, state: "denied", error: event.error }
        : failed
          ? { ...call, state: "error", error: event.error }
          : { ...call, state: "completed", output: event.output };
      return;
    }
    case "source":
      parts.push({ ...event, sourceId: `s${start}` });
      return;
    case "artifact":
      putCard(parts, { ...event }, (part) => part.type === "artifact" && part.artifactId === event.artifactId);
      return;
    case "approval":
      judgeTool(parts, event);
      putCard(parts, { ...event }, (part) => part.type === "approval" && part.approvalId === event.approvalId);
      return;
    case "steered":
      parts.push({ type: "steered", messageId: event.messageId, text: event.text });
      return;
    case "file":
      parts.push({ ...event });
      return;
    default:
      // An event of a newer server: it has its unit and no rendering here.
      return;
  }
}

// What is told again stands where it stood first.
function putCard(parts: Part[], card: Part, same: (part: Part) => boolean): void {
  const at = parts.findIndex(same);
  if (at === -1) parts.push(card);
  else parts[at] = card;
}

type ToolCall = Extract<Part, { type: "tool_call" }>;

const isOpenCall = (part: Part): part is ToolCall =>
  part.type === "tool_call" && (part.state === "running" || part.state === "awaiting_approval");

// The newest open call of that id waits for a person, goes on, maybe with what they made of it, or will never run.
function judgeTool(parts: Part[], { toolCallId, status, reason, editedInput }: Extract<LogEvent, { type: "approval" }>): void {
  const at = parts.findLastIndex((part) => isOpenCall(part) && part.toolCallId === toolCallId);
  const call = parts[at];
  if (call?.type !== "tool_call") return;
  const judged: Record<ApprovalStatus, Partial<ToolCall>> = {
    pending: { state: "awaiting_approval" },
    approved: { state: "running", input: editedInput ?? call.input },
    rejected: { state: "denied", error: reason ?? undefined },
    expired: { state: "cancelled", error: "approval expired" },
    cancelled: { state: "cancelled" },
  };
  parts[at] = { ...call, ...judged[status] };
}

// A log that ends leaves no tool running.
function settleTools(parts: Part[]): void {
  parts.forEach((part, at) => {
    if (isOpenCall(part)) parts[at] = { ...part, state: "cancelled" };
  });
}

// The events without their first `skip` units; null if that would fall inside a character.
function skipUnits(events: readonly LogEvent[], skip: number): readonly LogEvent[] | null {
  if (skip === 0) return events;
  const rest: LogEvent[] = [];
  let left = skip;
  for (const event of events) {
    const length = units(event);
    if (left >= length) {
      left -= length;
    } else if (left === 0) {
      rest.push(event);
    } else if (event.type === "text" || event.type === "reasoning") {
      const text = withoutBytes(event.text, left);
      if (text === null) return null;
      rest.push({ ...event, text });
      left = 0;
    }
  }
  return rest;
}

function withoutBytes(text: string, bytes: number): string | null {
  let left = bytes;
  let at = 0;
  while (left > 0 && at < text.length) {
    const code = text.codePointAt(at) ?? 0;
    left -= bytesOf(code);
    at += code > 0xffff ? 2 : 1;
  }
  return left === 0 ? text.slice(at) : null;
}

function byteLength(text: string): number {
  let bytes = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.codePointAt(at) ?? 0;
    bytes += bytesOf(code);
    if (code > 0xffff) at += 1;
  }
  return bytes;
}

function bytesOf(code: number): number {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}
