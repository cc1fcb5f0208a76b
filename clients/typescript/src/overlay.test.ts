// CL-01 and CL-04 for a whole list: over random timings of rows, deltas and acknowledgements no message is
// doubled, none vanishes, and the text of each only grows.

import { describe, expect, it } from "vitest";
import type { LogEvent, Message } from "./documents";
import { applyDeltas, EMPTY_FOLD, textOf, units, type Fold } from "./fold";
import { isRunning, overlay, type LiveMessage, type Unsent } from "./overlay";
import { cut, randomLog, range, rng } from "./testing/histories";

const row = (fields: Partial<Message> & Pick<Message, "_id" | "role" | "seq">): Message => ({
  _creationTime: fields.seq,
  createdAt: fields.seq,
  origin: "client",
  threadId: "thr_1",
  status: "complete",
  parts: [],
  text: "",
  ...fields,
});

const question = (requestId: string, seq = 1): Message =>
  row({ _id: `msg_q${seq}`, role: "user", seq, text: "hi", parts: [{ type: "text", text: "hi" }], requestId });

const unsent = (requestId: string, fields: Partial<Unsent> = {}): Unsent => ({
  requestId,
  threadId: "thr_1",
  text: "hi",
  createdAt: 5,
  state: "sending",
  ...fields,
});

const lay = (rows: Message[], folds: Map<string, Fold>, out: Unsent[], previous: readonly LiveMessage[] = []) =>
  overlay({ rows, folds, unsent: out, previous });

describe("an overlay", () => {
  it("shows an unsent message with the answer it waits for, and replaces both under the same keys", () => {
    const before = lay([], new Map(), [unsent("r1")]);
    expect(before.map((view) => [view.role, view.status])).toEqual([["user", "sending"], ["assistant", "pending"]]);
    const rows = [question("r1"), row({ _id: "msg_a", role: "assistant", seq: 2, status: "pending", generationId: "gen_1" })];
    const after = lay(rows, new Map(), [unsent("r1", { state: "sent" })], before);
    expect(after.map((view) => view.key)).toEqual(before.map((view) => view.key));
    expect(after.map((view) => view.id)).toEqual(["msg_q1", "msg_a"]);
  });

  it("shows a failed message without an answer", () => {
    const views = lay([], new Map(), [unsent("r1", { state: "failed", error: { code: "overloaded", message: "busy", retryable: true } })]);
    expect(views.map((view) => view.status)).toEqual(["failed"]);
    expect(views[0]?.error?.code).toBe("overloaded");
  });

  it("awaits one answer at a time: what is sent after it is queued", () => {
    const views = lay([], new Map(), [unsent("r1"), unsent("r2")]);
    expect(views.map((view) => [view.key, view.status])).toEqual([["r1", "sending"], ["answer:r1", "pending"], ["r2", "queued"]]);
  });

  it("says what waits for its turn and what steers, and shows what was taken up in the answer alone", () => {
    const answer = row({ _id: "msg_a", role: "assistant", seq: 2, status: "streaming", generationId: "gen_1" });
    const waiting = [
      row({ _id: "msg_w", role: "user", seq: 3, status: "pending", requestId: "r2" }),
      row({ _id: "msg_s", role: "user", seq: 4, status: "pending", requestId: "r3", steers: true }),
    ];
    const out = [unsent("r4", { options: { ifBusy: "steer" } }), unsent("r5")];
    const views = lay([question("r1"), answer, ...waiting], new Map(), out);
    expect(views.map((view) => [view.requestId, view.waits])).toEqual([["r1", null], [null, null], ["r2", "queue"], ["r3", "steer"], ["r4", "steer"], ["r5", null]]);
    const taken = row({ _id: "msg_s", role: "user", seq: 4, requestId: "r3", steered: "gen_1" });
    expect(lay([question("r1"), answer, taken], new Map(), [unsent("r3", { state: "sent" })], views).map((view) => view.requestId)).toEqual(["r1", null]);
  });

  it("shows of a conversation that was opened without a word only the answer, under the key it was awaited with", () => {
    const before = lay([], new Map(), [unsent("r1", { text: "" })]);
    const opening = row({ _id: "msg_o", role: "user", seq: 0, requestId: "r1", opening: true });
    const answer = row({ _id: "msg_a", role: "assistant", seq: 1, status: "pending", generationId: "gen_1" });
    expect(lay([opening, answer], new Map(), [unsent("r1", { text: "", state: "sent" })], before).map((view) => view.key)).toEqual(["answer:r1"]);
  });

  it("keeps a failed message in its place when the conversation goes on without it", () => {
    const failed = unsent("r1", { state: "failed" });
    const answer = row({ _id: "msg_a", role: "assistant", seq: 2, text: "yes", parts: [{ type: "text", text: "yes" }] });
    const first = lay([question("r0"), answer], new Map(), [failed]);
    const second = lay([question("r0"), answer], new Map(), [failed, unsent("r2")], first);
    const third = lay([question("r0"), answer, question("r2", 3)], new Map(), [failed], second);
    expect(third.map((view) => view.key)).toEqual(["r0", "answer:r0", "r1", "r2"]);
  });

  it("keeps the key of an answer when its question is loaded later", () => {
    const answer = row({ _id: "msg_a", role: "assistant", seq: 2, text: "yes", parts: [{ type: "text", text: "yes" }] });
    const first = lay([answer], new Map(), []);
    const second = lay([question("r1"), answer], new Map(), [], first);
    expect(second[1]).toBe(first[0]);
  });

  it("returns the same list and the same views when rows come again unchanged", () => {
    const rows = () => [question("r1"), row({ _id: "msg_a", role: "assistant", seq: 2, text: "yes", parts: [{ type: "text", text: "yes" }] })];
    const first = lay(rows(), new Map(), []);
    expect(lay(rows(), new Map(), [], first)).toBe(first);
  });

  it("never lays the log of one attempt over another", () => {
    const fold = applyDeltas(EMPTY_FOLD, 0, [{ type: "text", text: "old" }], 3);
    const retried = row({ _id: "msg_a", role: "assistant", seq: 2, status: "pending", generationId: "gen_2" });
    expect(lay([retried], new Map([["gen_1", fold]]), [])[0]?.text).toBe("");
  });

  it("takes an error from the log before the row has it", () => {
    const failure = { code: "provider_error", message: "no", retryable: true };
    const fold = applyDeltas(EMPTY_FOLD, 0, [{ type: "status", status: "error", error: failure }], 1);
    const [view] = lay([row({ _id: "msg_a", role: "assistant", seq: 2, status: "streaming", generationId: "gen_1" })], new Map([["gen_1", fold]]), []);
    expect(view?.status).toBe("error");
    expect(view?.error).toEqual(failure);
    expect(view !== undefined && isRunning(view)).toBe(false);
  });

  it("doubles, loses and shrinks nothing over 1,000 random timings", () => {
    for (let seed = 1; seed <= 1000; seed += 1) play(seed);
  });
});

// One send, in which the row, the acknowledgement, the deltas and the finished row come in any order that a
// server can produce.
function play(seed: number): void {
  const random = rng(seed);
  const log: LogEvent[] = randomLog(random);
  const end = log.reduce((sum, event) => sum + units(event), 0);
  const whole = applyDeltas(EMPTY_FOLD, 0, cut(log, 0, end), end);
  let out: Unsent[] = [unsent("r1")];
  let rows: Message[] = [];
  let fold: Fold = EMPTY_FOLD;
  let views: readonly LiveMessage[] = [];
  let shown = "";
  let partCount = 0;
  const look = () => {
    views = lay(rows, new Map([["gen_1", fold]]), out, views);
    const note = `seed ${seed}`;
    expect(views.map((view) => view.key), note).toEqual(["r1", "answer:r1"]);
    const answer = views[1] as LiveMessage;
    expect(answer.text.startsWith(shown), `${note}: text shrank`).toBe(true);
    expect(answer.parts.length >= partCount, `${note}: a part vanished`).toBe(true);
    shown = answer.text;
    partCount = answer.parts.length;
  };
  const arrive = () => {
    const answer = row({ _id: "msg_a", role: "assistant", seq: 2, status: random() < 0.5 ? "pending" : "streaming", generationId: "gen_1" });
    rows = [question("r1"), answer];
  };
  const acknowledge = () => {
    out = random() < 0.5 ? [unsent("r1", { state: "sent" })] : rows.length > 0 ? [] : out;
  };
  look();
  if (random() < 0.3) acknowledge();
  look();
  arrive();
  look();
  for (let step = 0; step < 20; step += 1) {
    if (random() < 0.2) acknowledge();
    const next = range(log, random, fold.cursor);
    fold = applyDeltas(fold, next.from, next.events, next.to);
    look();
  }
  rows = [question("r1"), row({ ...(rows[1] as Message), status: "complete", parts: [...whole.parts], text: textOf(whole.parts) })];
  look();
  if (random() < 0.5) {
    fold = EMPTY_FOLD;
    look();
  }
  expect(shown).toBe(textOf(whole.parts));
}
