// Random logs and random deliveries of them, from a seed: what tests of merging are fed with.

import type { LogEvent } from "../documents";
import { units } from "../fold";

export type Random = () => number;

/** mulberry32: small, seeded, good enough to shuffle histories. */
export function rng(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS = ["spool ", "né", "שלום ", "線", "🧵 ", "a", "\n\n", "**b** ", "`x` "];

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

/** A whole log, its last event a `complete` status. */
export function randomLog(random: Random): LogEvent[] {
  const events: LogEvent[] = [];
  let calls = 0;
  const artifacts: { artifactId: string; version: number }[] = [];
  const length = 3 + Math.floor(random() * 30);
  for (let at = 0; at < length; at += 1) {
    const dice = random();
    if (dice < 0.6) events.push({ type: "text", text: pick(random, WORDS) + pick(random, WORDS) });
    else if (dice < 0.75) events.push({ type: "reasoning", text: pick(random, WORDS) });
    else if (dice < 0.85) {
      calls += 1;
      events.push({ type: "tool_start", toolCallId: `tc_${calls}`, tool: "clock", input: { n: calls } });
      if (random() < 0.7) events.push({ type: "tool_end", toolCallId: `tc_${calls}`, output: calls });
    } else if (dice < 0.92) events.push({ type: "activity", kind: "model", label: "waiting" });
    else if (dice < 0.95) events.push({ type: "source", title: "a source", url: "https://example.com/" });
    else {
      // A new one, or a new version of one.
      const known = random() < 0.5 ? artifacts[Math.floor(random() * artifacts.length)] : undefined;
      const artifact = known ?? { artifactId: `art_${artifacts.length + 1}`, version: 0 };
      if (known === undefined) artifacts.push(artifact);
      artifact.version += 1;
      events.push({ type: "artifact", ...artifact, kind: "document", title: "a document", status: "draft" });
    }
  }
  events.push({ type: "status", status: "complete" });
  return events;
}

/** A delivery as a server may make it: from some known offset to some later character boundary. */
export function range(log: readonly LogEvent[], random: Random, cursor: number, upTo?: number) {
  const bounds = boundaries(log);
  const known = bounds.filter((at) => at <= cursor);
  const from = random() < 0.7 ? cursor : pick(random, known);
  const later = bounds.filter((at) => at >= from);
  const to = upTo ?? pick(random, later.slice(0, 12));
  return { from, to, events: cut(log, from, to) };
}

function boundaries(log: readonly LogEvent[]): number[] {
  const bounds = [0];
  let at = 0;
  for (const event of log) {
    if (event.type === "text" || event.type === "reasoning") {
      for (const letter of event.text) bounds.push((at += new TextEncoder().encode(letter).length));
    } else {
      bounds.push((at += units(event)));
    }
  }
  return bounds;
}

/** The events between two offsets, text cut at both ends and neighbours joined, as a late joiner gets them. */
export function cut(log: readonly LogEvent[], from: number, to: number): LogEvent[] {
  const out: LogEvent[] = [];
  let at = 0;
  for (const event of log) {
    const start = at;
    at += units(event);
    if (at <= from || start >= to) continue;
    if (event.type !== "text" && event.type !== "reasoning") {
      out.push(event);
      continue;
    }
    const bytes = new TextEncoder().encode(event.text).slice(Math.max(0, from - start), to - start);
    const text = new TextDecoder().decode(bytes);
    const last = out.at(-1);
    if (last?.type === event.type) out[out.length - 1] = { ...last, text: last.text + text };
    else out.push({ ...event, text });
  }
  return out;
}
