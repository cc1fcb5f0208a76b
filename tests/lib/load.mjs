// People who use a server that dies under them: what they did, what was acknowledged, what they saw, and
// whether all of that is still so. Everything that breaks a promise goes to `violations`.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { guest, live } from "./clients.mjs";
import { followSse } from "./sse.mjs";

/** One call over HTTP: `{value}`, `{refused: {code, …}}`, or `{lost: true}` when no answer came. */
export async function call(server, token, kind, path, args) {
  let status, body;
  try {
    const response = await fetch(`${server.url}/api/${kind}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ path, args, format: "json" }),
      signal: AbortSignal.timeout(20_000),
    });
    status = response.status;
    body = await response.json();
  } catch {
    return { lost: true };
  }
  if (body.status === "success") return { value: body.value };
  return { refused: body.errorData ?? { ...body, httpStatus: status } };
}

const FINAL = new Set(["complete", "error", "stopped", "interrupted"]);

export class Person {
  static async join(server, dice, violations, t) {
    const person = new Person(server, dice, violations);
    Object.assign(person, await guest(server));
    person.client = live(t, server, person.token);
    return person;
  }

  constructor(server, dice, violations) {
    Object.assign(this, { server, dice, violations });
    this.threads = new Map(); // id → {title, maybe: [titles whose update got no answer], turns, removed}
    this.unanswered = []; // turns to send again under their request id
    this.created = []; // {title, id?} through the official client, which must be there exactly once
    this.counts = { acknowledged: 0, lost: 0, refused: 0, seen: 0 };
    this.touched = new Set();
    this.running = false;
  }

  violate(what) {
    this.violations.push(`${this.userId}: ${what}`);
  }

  async call(kind, path, args) {
    const answer = await call(this.server, this.token, kind, path, args);
    if (answer.lost) this.counts.lost += 1;
    else if (answer.refused) this.counts.refused += 1;
    else if (kind !== "query") this.counts.acknowledged += 1;
    if (answer.refused && !["thread_busy", "invalid_transition", "not_found"].includes(answer.refused.code)) {
      this.violate(`${path} was refused: ${JSON.stringify(answer.refused)}`);
    }
    return answer;
  }

  /** Acts until `rest()`; ends by itself when the server is gone. */
  act() {
    this.running = true;
    this.acting = Promise.all([this.loop(), this.loop(), this.loopLive()]);
  }

  async rest() {
    this.running = false;
    await this.acting;
  }

  async loop() {
    while (this.running) {
      const roll = this.dice.next();
      const alive = [...this.threads].filter(([, thread]) => !thread.removed && !thread.busy);
      if (this.unanswered.length > 0 && roll < 0.5) await this.deliver(this.unanswered.shift());
      else if (alive.length < 2 || roll < 0.15) await this.create();
      else {
        const [id, thread] = this.dice.pick(alive);
        thread.busy = true;
        this.touched.add(id);
        if (roll < 0.45) await this.rename(id, thread);
        else if (roll < 0.5 && alive.length > 4) await this.remove(id, thread);
        else await this.send(id, thread);
        thread.busy = false;
      }
      if (this.failing) await sleep(5);
    }
  }

  async loopLive() {
    while (this.running) {
      const entry = { title: `live ${randomUUID()}` };
      this.created.push(entry);
      // Not awaited while the server is away: the promise resolves after a later reconnect.
      const promise = this.client.mutation("threads:create", { title: entry.title }).then(
        (id) => ((entry.id = id), (this.counts.acknowledged += 1)),
        (error) => this.violate(`the official client's mutation was rejected: ${error.message}`),
      );
      entry.promise = promise;
      await Promise.race([promise, sleep(100)]);
      await sleep(20);
    }
  }

  async create() {
    const title = `thread ${randomUUID()}`;
    const { value } = await this.call("mutation", "threads:create", { title });
    if (value !== undefined) {
      this.threads.set(value, { title, maybe: [], turns: [], removed: false });
      this.touched.add(value);
    }
    this.failing = value === undefined;
  }

  async rename(threadId, thread) {
    const title = `renamed ${randomUUID()}`;
    const { lost, value } = await this.call("mutation", "threads:update", { threadId, title });
    this.failing = lost;
    if (lost) thread.maybe.push(title);
    else if (value !== undefined) Object.assign(thread, { title, maybe: [] });
  }

  async remove(threadId, thread) {
    const { lost, value } = await this.call("mutation", "threads:remove", { threadId });
    this.failing = lost;
    thread.removed = true;
    thread.certainlyRemoved = value !== undefined;
  }

  async send(threadId, thread) {
    const words = Array.from({ length: 3 + this.dice.below(12) }, () => this.dice.pick(["α", "beta ", "\n", "γ δ ", "👩‍💻", "five "]));
    const script = { deltas: words, delayMs: this.dice.below(15) };
    if (this.dice.below(8) === 0) script.failAfter = this.dice.below(words.length);
    const turn = { requestId: randomUUID(), threadId, text: `/script ${JSON.stringify(script)}`, expected: words.join(""), seen: "" };
    thread.turns.push(turn);
    await this.deliver(turn);
  }

  async deliver(turn) {
    const { requestId, threadId, text } = turn;
    const { lost, refused, value } = await this.call("mutation", "turns:send", { threadId, text, requestId });
    this.failing = lost;
    if (lost) this.unanswered.push(turn);
    if (refused?.code === "thread_busy") turn.refused = true;
    if (value === undefined) return;
    turn.ids = value;
    if (this.dice.below(10) === 0) await this.call("mutation", "generations:stop", { generationId: value.generationId });
    this.touched.add(threadId);
    void this.watch(turn);
  }

  /** Keeps what a reader was shown; the connection may break anywhere. */
  async watch(turn) {
    const stop = (stream) => {
      turn.seen = stream.text;
      this.counts.seen += 1;
      return false;
    };
    try {
      const { final, text } = await followSse(this.server, this.token, turn.ids.generationId, { stop });
      if (final === null) return;
      if (final.event === "done" && text !== turn.expected) this.violate(`a finished stream said ${JSON.stringify(text)}`);
      turn.final = final.status;
      turn.seen = text;
    } catch {
      // The server was killed; what was seen until then counts.
    }
  }

  /** Checks what was touched since the last check (or everything) against the server. */
  async verify({ all = false } = {}) {
    const ids = all ? [...this.threads.keys()] : [...this.touched];
    this.touched.clear();
    for (const id of ids) await this.verifyThread(id, this.threads.get(id));
    return ids.length;
  }

  async verifyThread(threadId, thread) {
    const found = await call(this.server, this.token, "query", "threads:get", { threadId });
    if (found.value === undefined) return this.violate(`threads:get ${threadId}: ${JSON.stringify(found)}`);
    if (thread.removed) {
      if (found.value !== null && thread.certainlyRemoved) this.violate(`${threadId} was removed and is back`);
      return;
    }
    if (found.value === null) return this.violate(`${threadId} was acknowledged and is gone`);
    if (![thread.title, ...thread.maybe].includes(found.value.title)) {
      this.violate(`${threadId} is called "${found.value.title}" and not "${thread.title}"`);
    }
    const args = { threadId, paginationOpts: { numItems: 1000, cursor: null } };
    const { value } = await call(this.server, this.token, "query", "messages:page", args);
    if (value === undefined) return this.violate(`messages:page ${threadId} failed`);
    const messages = new Map(value.page.map((message) => [message._id, message]));
    const requests = value.page.map(({ requestId }) => requestId).filter((id) => id !== undefined);
    if (new Set(requests).size !== requests.length) this.violate(`${threadId} has a request twice`);
    if (value.page.some(({ seq }, n) => seq !== value.page[0].seq + n)) this.violate(`${threadId}: the order is not dense`);
    if (value.page.length !== found.value.messageCount) this.violate(`${threadId}: ${value.page.length} messages, counted ${found.value.messageCount}`);
    for (const turn of thread.turns) if (turn.ids !== undefined) this.verifyTurn(turn, messages);
  }

  verifyTurn({ ids, text, expected, seen, final }, messages) {
    const [question, answer] = [messages.get(ids.userMessageId), messages.get(ids.messageId)];
    if (question === undefined || answer === undefined) return this.violate(`an acknowledged turn is gone: ${JSON.stringify(ids)}`);
    if (question.text !== text) this.violate(`${ids.userMessageId} has another text`);
    if (final !== undefined && answer.status !== final) this.violate(`${ids.messageId} was shown as ${final} and is ${answer.status}`);
    if (!FINAL.has(answer.status)) return; // its text is still in the log
    if (answer.status === "complete" ? answer.text !== expected : !expected.startsWith(answer.text)) {
      this.violate(`${ids.messageId} (${answer.status}) says ${JSON.stringify(answer.text)} instead of ${JSON.stringify(expected)}`);
    }
    if (!answer.text.startsWith(seen)) this.violate(`${ids.messageId} (${answer.status}) lost what was seen: ${JSON.stringify(seen)} → ${JSON.stringify(answer.text)}`);
  }

  /** What the official client made is there exactly once. */
  async verifyCreated() {
    await Promise.race([Promise.all(this.created.map(({ promise }) => promise)), sleep(20_000)]);
    const titles = new Map();
    for (let cursor = null, done = false; !done; ) {
      const { value } = await call(this.server, this.token, "query", "threads:page", { paginationOpts: { numItems: 500, cursor } });
      if (value === undefined) return this.violate("threads:page failed");
      for (const { title, _id } of value.page) titles.set(title, [...(titles.get(title) ?? []), _id]);
      cursor = value.continueCursor;
      done = value.isDone;
    }
    for (const { title, id } of this.created) {
      const found = titles.get(title) ?? [];
      if (id === undefined) this.violate(`"${title}" never resolved; it is there ${found.length} times`);
      else if (found.length !== 1 || found[0] !== id) this.violate(`"${title}" resolved to ${id} and is there as ${JSON.stringify(found)}`);
    }
    for (const fault of this.client.faults) this.violate(`the official client threw: ${fault.message}`);
  }
}
