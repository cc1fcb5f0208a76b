// Readers that take nothing for half a minute while there is more: each wire sends them away in its own words,
// and they go on where they were. (`/api/stream/…` over HTTP/1.0: chat.large.test.mjs.) All of them are slow at the
// same time.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ConvexClient } from "convex/browser";
import WebSocket from "ws";
import { onEnd } from "./lib/cleanup.mjs";
import { follow, http, user } from "./lib/clients.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { drain, stalled } from "./lib/slow.mjs";
import { SseParser } from "./lib/sse.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const server = await Server.start({ after });
const service = http(server, await serviceKey(server));

/** More than the 30 s and the time to fill what lies between, less than the 60 s after which the kernel lets go. */
const SLOW_MS = 42_000;
const PIECE = "0123456789abcdé ".repeat(12_500);
const digest = (text) => createHash("sha256").update(text).digest("hex");
const events = (text) => new SseParser().push(Buffer.from(text));

/** An answer of 12 MB that is over, for all readers: `{token, turn, text}`. */
const answered = (async () => {
  const { http: rows, token } = await user({ after }, server);
  const threadId = await rows.mutation("threads:create", {});
  const turn = { threadId, ...(await service.mutation("generations:open", { threadId, text: "go" })) };
  const pieces = Array.from({ length: 60 }, (_, n) => `${n} ${PIECE}`);
  for (const text of pieces) await service.mutation("generations:append", { generationId: turn.generationId, events: [{ type: "text", text }] });
  await service.mutation("generations:finish", { generationId: turn.generationId, status: "complete" });
  return { token, turn, text: pieces.join("") };
})();

/** An answer that a backend makes while somebody reads: `{token, turn, append, finish}`. */
async function running(t) {
  const { http: rows, token } = await user(t, server);
  const threadId = await rows.mutation("threads:create", {});
  const turn = { threadId, ...(await service.mutation("generations:open", { threadId, text: "go" })) };
  const { generationId } = turn;
  const append = (...texts) => service.mutation("generations:append", { generationId, events: texts.map((text) => ({ type: "text", text })) });
  return { token, turn, append, finish: () => service.mutation("generations:finish", { generationId, status: "complete" }) };
}

/** Reads until `word` is here, and then nothing more; `drain` gets that, too. */
function stopAt(socket, word) {
  let seen = Buffer.alloc(0);
  const found = new Promise((resolve) => {
    socket.on("data", function read(bytes) {
      seen = Buffer.concat([seen, bytes]);
      if (!seen.includes(word)) return;
      socket.off("data", read).pause();
      socket.unshift(seen);
      resolve();
    });
  });
  socket.resume();
  return within(found, `${word} to be read`);
}

/** The same, and what a reader at `target(turn)` got of it who slept at first: `seen`. */
async function sleptOver(t, target) {
  const answer = await answered;
  const slow = stalled(t, server, target(answer.turn), answer.token);
  await until(() => slow.bytesWritten > 0 && !slow.connecting);
  await sleep(SLOW_MS);
  return { ...answer, seen: await drain(slow) };
}

const plain = ({ generationId }, offset = 0) => `/api/stream/${generationId}?offset=${offset}`;
const textOf = (read) => events(read.text).filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text).join("");

/** That a reader of an event stream was sent away in words; returns where it can go on. */
function sentAway(seen) {
  const last = events(seen.text).at(-1);
  assert.deepEqual([seen.status, seen.whole, last?.event], [200, true, "error"]);
  const { code, retryable, offset } = JSON.parse(last.data);
  assert.deepEqual([code, retryable, offset], ["overloaded", true, Buffer.byteLength(textOf(seen))]);
  return offset;
}

describe("slow readers", { concurrency: true }, () => {
  test("ST-18: an event stream that came late says so in an error event", { timeout: 180_000 }, async (t) => {
    const { token, turn, text, seen } = await sleptOver(t, plain);
    const rest = await drain(stalled(t, server, plain(turn, sentAway(seen)), token));
    assert.deepEqual([events(rest.text).at(-1).event, digest(textOf(seen) + textOf(rest))], ["done", digest(text)]);
  });

  test("ST-18: so does one whose reader kept up before it stopped", { timeout: 180_000 }, async (t) => {
    const { token, turn, append, finish } = await running(t);
    await append("here ");
    const slow = stalled(t, server, plain(turn), token);
    await stopAt(slow, "here ");
    for (let n = 0; n < 40; n += 1) await append(`${n} ${PIECE}`);
    await finish();
    await sleep(SLOW_MS);
    const seen = await drain(slow);
    const rest = await drain(stalled(t, server, plain(turn, sentAway(seen)), token));
    const text = ["here ", ...Array.from({ length: 40 }, (_, n) => `${n} ${PIECE}`)].join("");
    assert.deepEqual([events(rest.text).at(-1).event, digest(textOf(seen) + textOf(rest))], ["done", digest(text)]);
  });

  test("ST-18: so does one whose model is silent after what was not read", { timeout: 180_000 }, async (t) => {
    const { token, turn, append, finish } = await running(t);
    await append("here ");
    const slow = stalled(t, server, plain(turn), token);
    await stopAt(slow, "here ");
    await append(...Array.from({ length: 10 }, () => PIECE));
    await sleep(SLOW_MS);
    const seen = await drain(slow);
    const rest = stalled(t, server, plain(turn, sentAway(seen)), token);
    await append("the end");
    await finish();
    assert.equal(digest(textOf(seen) + textOf(await drain(rest))), digest(`here ${PIECE.repeat(10)}the end`));
  });

  test("ST-18: an AI SDK stream says so in an error chunk, and breaks", { timeout: 180_000 }, async (t) => {
    const at = ({ threadId, generationId }, more = "") => `/api/chat/${threadId}/stream?activeStreamId=${generationId}${more}`;
    const { token, turn, text, seen } = await sleptOver(t, at);
    const chunks = (read) => events(read.text).map(({ data, id }) => ({ id, ...(data === "[DONE]" ? { type: data } : JSON.parse(data)) }));
    const said = (read) => chunks(read).map(({ delta = "" }) => delta).join("");
    const last = chunks(seen).at(-1);
    assert.deepEqual([seen.status, last.type, seen.whole], [200, "error", false]);
    assert.match(last.errorText, /too slow/);
    assert.equal(Number(last.id), Buffer.byteLength(said(seen)));
    const rest = await drain(stalled(t, server, at(turn, `&offset=${last.id}`), token));
    assert.deepEqual([rest.whole, chunks(rest).at(-1).type, digest(said(seen) + said(rest))], [true, "[DONE]", digest(text)]);
  });

  test("ST-18: a Durable Streams connection ends behind the place to come back to", { timeout: 180_000 }, async (t) => {
    const at = ({ generationId }, offset = "-1") => `/v1/stream/generations/${generationId}?offset=${offset}&live=sse`;
    const { token, turn, text, seen } = await sleptOver(t, at);
    const of = (read, name) => events(read.text).filter(({ event }) => event === name).map(({ data }) => JSON.parse(data));
    const said = (read) => of(read, "data").flat().map((event) => event.text ?? "").join("");
    const place = of(seen, "control").at(-1);
    assert.deepEqual([seen.status, seen.whole, place.streamClosed, place.upToDate], [200, true, undefined, undefined]);
    assert.equal(Number(place.streamNextOffset), Buffer.byteLength(said(seen)));
    const rest = await drain(stalled(t, server, at(turn, place.streamNextOffset), token));
    assert.equal(of(rest, "control").at(-1).streamClosed, true);
    assert.equal(digest(said(seen) + said(rest)), digest(text));
  });

  test("ST-18: a sync socket is closed with 1013 and a reason", { timeout: 180_000 }, async (t) => {
    const { token, turn: { messageId } } = await answered;
    const session = await RawSession.open(t, server);
    session.authenticate(token);
    session.modify();
    await session.settled();
    session.modify([1, 2, 3].map(() => ["messages:get", { messageId }]));
    // Once the first of many megabytes is here, nothing more is taken.
    const first = gate();
    session.socket.on("message", function pause(data) {
      if (data.length < 100_000) return;
      session.socket.off("message", pause).pause();
      first.open();
    });
    await within(first.opened, "the first of it");
    await sleep(SLOW_MS);
    session.socket.resume();
    const { code, reason } = await within(session.closed, "the server's close", 30_000);
    assert.equal(code, 1013);
    assert.match(reason, /^Overloaded/);
  });

  test("ST-18: the official client that was sent away comes back by itself, and follows the answer to its end", { timeout: 180_000 }, async (t) => {
    const { token, turn, text } = await answered;
    const sockets = [];
    const closes = [];
    class Socket extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { perMessageDeflate: false });
        this.on("error", () => {});
        this.on("close", (code, reason) => closes.push([code, reason.toString()]));
        sockets.push(this);
      }
    }
    const client = new ConvexClient(server.url, { logger: false, unsavedChangesWarning: false, webSocketConstructor: Socket });
    onEnd(t, () => client.close().catch(() => {}));
    client.setAuth(async () => token);
    const paused = gate();
    let before;
    const log = follow(client, turn.generationId, {
      onText({ text }) {
        if (before !== undefined) return;
        before = text;
        // The message has its text twice, more than any kernel holds; nothing of it is taken.
        client.onUpdate("messages:get", { messageId: turn.messageId }, () => {});
        sockets[0].pause();
        paused.open();
      },
    });
    await within(paused.opened, "the first of the answer");
    await sleep(SLOW_MS);
    sockets[0].resume();
    await log.end(60_000);
    assert.equal(digest(log.text), digest(text));
    assert.ok(before.length < text.length, "it was in the middle when it stopped");
    assert.deepEqual([sockets.length >= 2, closes[0]?.[0]], [true, 1013]);
    assert.match(closes[0][1], /^Overloaded/);
  });
});
