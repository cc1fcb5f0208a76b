// CL-04 for one log: whatever order, overlap and repetition results arrive in, the folded text is a growing
// prefix of the log.

import { describe, expect, it } from "vitest";
import type { LogEvent } from "./documents";
import { applyDeltas, EMPTY_FOLD, textOf, units, type Fold } from "./fold";
import { randomLog, range, rng } from "./testing/histories";

describe("a fold", () => {
  it("joins neighbouring text, keeps reasoning apart and settles tools", () => {
    const events: LogEvent[] = [
      { type: "reasoning", text: "hm" },
      { type: "text", text: "a" },
      { type: "text", text: "é" },
      { type: "tool_start", toolCallId: "tc_1", tool: "clock", input: {} },
      { type: "tool_start", toolCallId: "tc_2", tool: "search", input: { q: "x" } },
      { type: "tool_end", toolCallId: "tc_1", output: 12 },
      { type: "activity", kind: "model", label: "waiting" },
      { type: "file", uploadId: "upl_1", mediaType: "image/png", name: "a.png", size: 3 },
      { type: "status", status: "stopped" },
    ];
    const fold = applyDeltas(EMPTY_FOLD, 0, events, 11);
    expect(fold.parts).toEqual([
      { type: "reasoning", text: "hm" },
      { type: "text", text: "aé" },
      { type: "tool_call", toolCallId: "tc_1", tool: "clock", state: "completed", input: {}, output: 12 },
      { type: "tool_call", toolCallId: "tc_2", tool: "search", state: "cancelled", input: { q: "x" } },
      { type: "file", uploadId: "upl_1", mediaType: "image/png", name: "a.png", size: 3 },
    ]);
    expect(fold.final).toEqual({ status: "stopped" });
    expect(fold.activity).toBeNull();
  });

  it("tells what was denied from what failed, and what was said meanwhile", () => {
    const events: LogEvent[] = [
      { type: "tool_start", toolCallId: "tc_1", tool: "pay", input: {} },
      { type: "tool_start", toolCallId: "tc_2", tool: "pay", input: {} },
      { type: "tool_end", toolCallId: "tc_1", error: "not in this role", denied: true },
      { type: "tool_end", toolCallId: "tc_2", error: "no money" },
      { type: "steered", messageId: "msg_1", text: "in francs" },
    ];
    const fold = applyDeltas(EMPTY_FOLD, 0, events, 5);
    expect(fold.parts.map((part) => (part.type === "tool_call" ? [part.state, part.error] : part))).toEqual([
      ["denied", "not in this role"],
      ["error", "no money"],
      { type: "steered", messageId: "msg_1", text: "in francs" },
    ]);
  });

  it("lets a call follow its approval, and keeps a card in its place", () => {
    const asked = { type: "approval", approvalId: "apr_1", kind: "tool_call", toolCallId: "tc_1" } as const;
    const plan = { type: "artifact", artifactId: "art_1", kind: "plan", title: "Plan" } as const;
    const events: LogEvent[] = [
      { ...plan, version: 1 },
      { type: "tool_start", toolCallId: "tc_1", tool: "pay", input: {} },
      { ...asked, status: "pending" },
      { ...plan, version: 2 },
    ];
    const waiting = applyDeltas(EMPTY_FOLD, 0, events, 4);
    expect(waiting.parts).toEqual([
      { ...plan, version: 2 },
      { type: "tool_call", toolCallId: "tc_1", tool: "pay", state: "awaiting_approval", input: {} },
      { ...asked, status: "pending" },
    ]);
    const denied = applyDeltas(waiting, 4, [{ ...asked, status: "rejected", reason: "no" }, { type: "tool_end", toolCallId: "tc_1", output: 1 }], 6);
    expect(denied.parts[1]).toEqual({ type: "tool_call", toolCallId: "tc_1", tool: "pay", state: "denied", input: {}, error: "no" });
    expect(denied.parts[2]).toEqual({ ...asked, status: "rejected", reason: "no" });
  });

  it("shows a call with the arguments that were approved", () => {
    const asked = { type: "approval", approvalId: "apr_1", kind: "tool_call", toolCallId: "tc_1" } as const;
    const events: LogEvent[] = [
      { type: "tool_start", toolCallId: "tc_1", tool: "pay", input: { amount: 500 } },
      { ...asked, status: "pending" },
      { ...asked, status: "approved", editedInput: { amount: 50 } },
    ];
    expect(applyDeltas(EMPTY_FOLD, 0, events, 3).parts[0]).toMatchObject({ state: "running", input: { amount: 50 } });
  });

  it("keeps all that was told of a card, and names a source as the streams do", () => {
    const plan = { type: "artifact", artifactId: "art_1", kind: "plan", title: "Plan", version: 1, status: "draft" } as const;
    const asked = { type: "approval", approvalId: "apr_1", kind: "plan", status: "pending", question: "Go?", artifactId: "art_1", version: 1, expiresAt: 5 } as const;
    const source = { type: "source", title: "T", url: "https://example.com/" } as const;
    const events: LogEvent[] = [{ type: "text", text: "é" }, { type: "activity", kind: "read", label: "reading" }, plan, asked, source];
    expect(applyDeltas(EMPTY_FOLD, 0, events, 6).parts.slice(1)).toEqual([plan, asked, { ...source, sourceId: "s5" }]);
  });

  it("CL-04: an artifact that was seen stays in its place, and never goes back to an older version", () => {
    let versions = 0;
    for (let seed = 1; seed <= 400; seed += 1) {
      const random = rng(seed);
      const log = randomLog(random);
      const end = log.reduce((sum, event) => sum + units(event), 0);
      let fold: Fold = EMPTY_FOLD;
      let seen: { artifactId: string; version: number }[] = [];
      const look = () => {
        const now = fold.parts.flatMap((part) => (part.type === "artifact" ? [part] : []));
        expect(now.slice(0, seen.length).map(({ artifactId }) => artifactId), `seed ${seed}`).toEqual(seen.map(({ artifactId }) => artifactId));
        seen.forEach((before, at) => expect(now[at]?.version, `seed ${seed}`).toBeGreaterThanOrEqual(before.version));
        expect(new Set(now.map(({ artifactId }) => artifactId)).size, `seed ${seed}: one twice`).toBe(now.length);
        seen = now;
      };
      for (let step = 0; step < 60; step += 1) {
        const { from, events, to } = range(log, random, fold.cursor);
        fold = applyDeltas(fold, from, events, to);
        look();
      }
      const rest = range(log, () => 0.999999, fold.cursor, end);
      fold = applyDeltas(fold, rest.from, rest.events, end);
      look();
      const newest = new Map(log.flatMap((event) => (event.type === "artifact" ? [[event.artifactId, event.version]] : [])));
      expect(new Map(seen.map(({ artifactId, version }) => [artifactId, version]))).toEqual(newest);
      versions += [...newest.values()].filter((version) => version > 1).length;
    }
    expect(versions).toBeGreaterThan(20);
  });

  it("ignores a result that starts beyond what it knows", () => {
    expect(applyDeltas(EMPTY_FOLD, 3, [{ type: "text", text: "late" }], 7)).toBe(EMPTY_FOLD);
  });

  it("ignores a result it already has", () => {
    const fold = applyDeltas(EMPTY_FOLD, 0, [{ type: "text", text: "abc" }], 3);
    expect(applyDeltas(fold, 0, [{ type: "text", text: "ab" }], 2)).toBe(fold);
  });

  it("takes only the new bytes of a result that was sent again, longer", () => {
    const fold = applyDeltas(EMPTY_FOLD, 0, [{ type: "text", text: "né" }], 3);
    expect(textOf(applyDeltas(fold, 0, [{ type: "text", text: "née" }], 4).parts)).toBe("née");
  });

  it("keeps the identity of parts that did not change", () => {
    const first = applyDeltas(EMPTY_FOLD, 0, [{ type: "reasoning", text: "r" }, { type: "text", text: "a" }], 2);
    const second = applyDeltas(first, 2, [{ type: "text", text: "b" }], 3);
    expect(second.parts[0]).toBe(first.parts[0]);
    expect(textOf(first.parts)).toBe("a");
  });

  it("shows a growing prefix of the log over random deliveries", () => {
    for (let seed = 1; seed <= 400; seed += 1) {
      const random = rng(seed);
      const log = randomLog(random);
      const end = log.reduce((sum, event) => sum + units(event), 0);
      const truth = log.map((event) => (event.type === "text" ? event.text : "")).join("");
      let fold: Fold = EMPTY_FOLD;
      let shown = "";
      const look = () => {
        const text = textOf(fold.parts);
        expect(text.startsWith(shown), `seed ${seed}: text shrank`).toBe(true);
        expect(truth.startsWith(text), `seed ${seed}: text is not of the log`).toBe(true);
        shown = text;
      };
      for (let step = 0; step < 60; step += 1) {
        const { from, events, to } = range(log, random, fold.cursor);
        fold = applyDeltas(fold, from, events, to);
        look();
      }
      const rest = range(log, () => 0.999999, fold.cursor, end);
      fold = applyDeltas(fold, rest.from, rest.events, end);
      look();
      expect(shown, `seed ${seed}: text is missing`).toBe(truth);
      expect(fold.final?.status).toBe("complete");
    }
  });
});
