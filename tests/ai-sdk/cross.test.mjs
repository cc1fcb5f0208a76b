// One log, every client: a turn that begins through the AI SDK is read on over plain events to any offset
// and finished over the Convex client, on another "device" each time, byte for byte.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { stream } from "@durable-streams/client";
import { ConvexClient } from "convex/browser";
import WebSocket from "ws";
import { onEnd } from "../lib/cleanup.mjs";
import { FakeLlm, rounds } from "../lib/fake-llm.mjs";
import { Server } from "../lib/server.mjs";
import { followSse } from "../lib/sse.mjs";
import { random, until } from "../lib/wait.mjs";
import { chunks, deltasOf, guestOf, releases, textOf, transport, userMessage } from "./lib.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const seed = Number(process.env.SPOOL_TEST_SEED ?? Date.now() % 1_000_000);
const { below } = random(seed);
const MIXED = "Zoë 你好 👩‍💻🏽 e\u0301\r\n\ttab  \n\n»data: x« 🇮🇱 אב \u2028 end. ";

const joined = (events) => events.filter(({ type }) => type === "text").map(({ text }) => text).join("");

async function guest(t) {
  const { token, rows } = await guestOf(server);
  const live = new ConvexClient(server.url, { webSocketConstructor: WebSocket, logger: false, unsavedChangesWarning: false });
  live.setAuth(async () => token);
  onEnd(t, () => live.close());
  return { token, rows, live };
}

/** Follows the deltas over a socket from `cursor` on, as a live query per page, to the end. */
async function finish(live, generationId, cursor) {
  let text = "";
  for (;;) {
    const page = await new Promise((resolve, reject) => {
      const stop = live.onUpdate("generations:deltas", { generationId, cursor }, (page) => page.events.length > 0 && resolve([page, stop]), reject);
    });
    page[1]();
    text += joined(page[0].events);
    cursor = page[0].cursor;
    if (page[0].events.some(({ type }) => type === "status")) return text;
  }
}

/** Neighbouring text joined, as a log means it whatever its batching was. */
function joinedUp(events) {
  const all = [];
  for (const event of events) {
    const last = all.at(-1);
    if ((event.type === "text" || event.type === "reasoning") && last?.type === event.type) last.text += event.text;
    else all.push({ ...event });
  }
  return all;
}

const unitsOf = (event) => (event.type === "text" || event.type === "reasoning" ? Buffer.byteLength(event.text) : 1);

/** What of `events` lies before `offset`: bytes of text count one each, everything else is one. */
function before(events, offset) {
  const taken = [];
  let at = 0;
  for (const event of joinedUp(events)) {
    const left = offset - at;
    if (left <= 0) break;
    at += unitsOf(event);
    taken.push(at <= offset ? event : { ...event, text: Buffer.from(event.text).subarray(0, left).toString() });
  }
  return taken;
}

/** The places where a log can be cut: before every character and every event. */
function placesOf(events) {
  const places = [0];
  for (const event of joinedUp(events)) {
    if (event.type === "text" || event.type === "reasoning") for (const character of event.text) places.push(places.at(-1) + Buffer.byteLength(character));
    else places.push(places.at(-1) + 1);
  }
  return places;
}

/** Reads a generation as a durable stream from `offset` on, until its end or until `enough(events, offset)`. */
async function durable(token, generationId, { offset = 0, live = "sse", enough = () => false } = {}) {
  const leave = new AbortController();
  const url = `${server.url}/v1/stream/generations/${generationId}`;
  const session = await stream({ url, headers: { Authorization: `Bearer ${token}` }, offset: offset === 0 ? "-1" : String(offset), live, signal: leave.signal });
  const read = { events: [], offset };
  await new Promise((resolve, reject) => {
    session.subscribeJson((batch) => {
      read.events.push(...batch.items);
      read.offset = Number(batch.offset);
      if (batch.streamClosed || enough(read)) resolve();
    });
    // A session may count as closed before its last batch is handed out.
    session.closed.catch((error) => !leave.signal.aborted && reject(error));
  });
  leave.abort();
  return read;
}

/** Follows the deltas over a Convex socket from exactly `cursor` to the end. */
async function convex(live, generationId, cursor) {
  const events = [];
  while (events.at(-1)?.type !== "status") {
    const page = await new Promise((resolve, reject) => {
      const stop = live.onUpdate("generations:deltas", { generationId, cursor }, (page) => page.events.length > 0 && (stop?.(), resolve(page)), reject);
    });
    events.push(...page.events);
    cursor = page.cursor;
  }
  return events;
}

/** A call of a tool as the provider writes it; this server has no such tool, so the call ends at once. */
const toolCall = {
  raw: Buffer.from(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: "call-1", type: "function", function: { name: "look", arguments: '{"q":"é"}' } }] }, finish_reason: null }] })}\n\n`),
};

describe(`one answer with text, reasoning and a tool (seed ${seed})`, { concurrency: true }, () => {
  for (const release of releases) {
    for (const middle of [false, true]) {
      test(`ai ${release.version} begins, the durable streams client goes on${middle ? ", plain events" : ""}, Convex finishes`, async (t) => {
        const { token, rows, live } = await guest(t);
        const key = `durable ${release.version} ${middle}`;
        const characters = Array.from(MIXED.repeat(4));
        const thoughts = Array.from("thinking: é 💭 你 ");
        const said = [...thoughts.flatMap((one) => [{ reasoning: one }, { wait: 1 }]), ...characters.flatMap((one) => [one, { wait: 2 }]), toolCall];
        fake.script(key, rounds(said, []));
        let response;
        const sdk = transport(release, server, token, { fetch: async (url, init) => (response = await fetch(url, init)).clone() });
        const leave = new AbortController();
        const chat = `durable-${randomUUID()}`;
        const ui = await sdk.sendMessages({ chatId: chat, trigger: "submit-message", messages: [userMessage("u", key)], abortSignal: leave.signal });
        const generationId = response.headers.get("x-spool-generation-id");
        const shown = (async () => {
          let message;
          for await (const state of release.sdk.readUIMessageStream({ stream: ui, onError: () => {} })) message = state;
          return textOf(message);
        })();
        const opened = await chunks(response, (seen) => deltasOf(seen).length > 0);
        leave.abort();
        assert.ok(characters.join("").startsWith(await shown));
        const begun = { reasoning: deltasOf(opened, "reasoning-delta"), text: deltasOf(opened) };
        const joint = opened.at(-1).id;
        assert.equal(joint, Buffer.byteLength(begun.reasoning + begun.text), "the id is behind what was shown");

        // On from that id, live, to a random place: whatever batch it lies in, the rest of that batch is forgotten.
        const wanted = below(Buffer.byteLength(characters.join("").slice(begun.text.length)) - 80) + 40;
        const first = await durable(token, generationId, { offset: joint, live: middle ? "long-poll" : "sse", enough: ({ offset }) => offset - joint > wanted });
        const taken = placesOf(first.events).findLast((at) => at <= wanted);
        let place = joint + taken;
        let seen = [...["reasoning", "text"].map((type) => ({ type, text: begun[type] })), ...before(first.events, taken)];
        const pieces = [begun.text, joined(before(first.events, taken))];
        if (middle) {
          const plain = await followSse(server, token, generationId, { offset: place, stop: ({ offset }) => Number(offset) > place + 30 });
          seen = [...seen, ...plain.events.map(({ event, data }) => ({ type: event, ...data }))];
          pieces.push(plain.text);
          place = Number(plain.offset);
        }
        const rest = await convex(live, generationId, place);
        assert.equal([...pieces, joined(rest)].join(""), characters.join(""), "what each client had is the whole, byte for byte");
        const whole = joinedUp([...seen, ...rest]);
        assert.deepEqual(whole.map(({ type }) => type), ["reasoning", "text", "tool_start", "tool_end", "status"]);
        assert.equal(whole[0].text, thoughts.join(""));
        assert.equal(whole[1].text, characters.join(""));
        assert.deepEqual(whole[2].input, { q: "é" });
        const thread = await until(() => rows.query("threads:find", { externalId: chat }));
        const messages = await rows.query("messages:page", { threadId: thread._id, paginationOpts: { numItems: 5, cursor: null } });
        const stored = messages.page[1];
        assert.equal(stored.text, whole[1].text);
        assert.deepEqual(stored.parts.filter(({ type }) => type === "reasoning").map(({ text }) => text).join(""), whole[0].text);

        // The log that is over, cut at many random places: the two halves are the whole, byte for byte.
        const places = placesOf(whole);
        const cuts = Array.from({ length: 12 }, () => places[below(places.length - 1)]);
        await Promise.all(cuts.map(async (cut) => {
          const [half, other] = [before((await durable(token, generationId)).events, cut), await convex(live, generationId, cut)];
          assert.deepEqual(joinedUp([...half, ...other]), whole, `cut at ${cut}`);
          // And the other way round: Convex up to there, the durable stream from there on.
          const [page, tail] = [await rows.query("generations:deltas", { generationId, cursor: 0 }), await durable(token, generationId, { offset: cut, live: false })];
          assert.deepEqual(joinedUp([...before(page.events, cut), ...tail.events]), whole, `cut at ${cut}`);
        }));
      });
    }
  }
});

describe(`across the wires (seed ${seed})`, { concurrency: true }, () => {
  for (const release of releases) {
    test(`ai ${release.version} begins, plain events go on, Convex finishes`, async (t) => {
      const { token, rows, live } = await guest(t);
      const key = `cross ${release.version}`;
      const characters = Array.from(MIXED.repeat(6));
      fake.script(key, characters.flatMap((character) => [character, { wait: 2 }]));
      let response;
      const sdk = transport(release, server, token, { fetch: async (url, init) => (response = await fetch(url, init)).clone() });
      const leave = new AbortController();
      const chat = `cross-${randomUUID()}`;
      const stream = await sdk.sendMessages({ chatId: chat, trigger: "submit-message", messages: [userMessage("u", key)], abortSignal: leave.signal });
      const generationId = response.headers.get("x-spool-generation-id");

      // The SDK shows some of it; its bytes up to an `id:` line are the first third.
      const first = below(150) + 1;
      const shown = (async () => {
        let message;
        for await (const state of release.sdk.readUIMessageStream({ stream, onError: () => {} })) message = state;
        return textOf(message);
      })();
      const seen = await chunks(response, (seen) => (seen.at(-1).id ?? 0) >= first);
      leave.abort();
      const begun = deltasOf(seen);
      assert.ok((await shown).startsWith(begun) || begun.startsWith(await shown));
      assert.equal(Buffer.byteLength(begun), seen.at(-1).id);

      // Plain events from there, cut at random again.
      const second = seen.at(-1).id + below(150) + 1;
      const middle = await followSse(server, token, generationId, { offset: seen.at(-1).id, stop: ({ offset }) => Number(offset) >= second });

      const rest = middle.final === null ? await finish(live, generationId, Number(middle.offset)) : "";
      assert.equal(begun + middle.text + rest, characters.join(""));

      // And by single requests, from the same place.
      const page = await rows.query("generations:deltas", { generationId, cursor: Number(middle.offset) });
      assert.equal(joined(page.events), rest);
      const thread = await until(() => rows.query("threads:find", { externalId: chat }));
      const messages = await rows.query("messages:page", { threadId: thread._id, paginationOpts: { numItems: 5, cursor: null } });
      assert.equal(messages.page[1].text, characters.join(""));
    });
  }
});
