// Readers that take nothing for half a minute while there is more: each wire sends them away in its own words,
// and they go on where they were. (`/api/stream/…`: chat.large.test.mjs.) All of them are slow at the same time.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { send, settled, user } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { drain, stalled } from "./lib/slow.mjs";
import { SseParser } from "./lib/sse.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

const SLOW_MS = 33_000;
const PIECE = "0123456789abcdé ".repeat(256);
const digest = (text) => createHash("sha256").update(text).digest("hex");
const events = (text) => new SseParser().push(Buffer.from(text));

/** An answer of 12 MB whose reader at `target(threadId, generationId)` slept through it: `{token, turn, text, seen}`. */
async function sleptThrough(t, key, target) {
  const { client, token } = await user(t, server);
  const start = gate();
  fake.script(key, [{ wait: start.opened }, ...Array.from({ length: 3000 }, (_, n) => `${n} ${PIECE}`)]);
  const turn = await send(client, key);
  const slow = stalled(t, server, target(turn), token);
  await until(() => slow.bytesWritten > 0 && !slow.connecting);
  start.open();
  const { text } = await settled(client, turn.messageId, 90_000);
  await sleep(SLOW_MS);
  return { token, turn, text, seen: await drain(slow) };
}

describe("slow readers", { concurrency: true }, () => {
  test("ST-18: an AI SDK stream says so in an error chunk, and breaks", { timeout: 180_000 }, async (t) => {
    const at = ({ threadId, generationId }, more = "") => `/api/chat/${threadId}/stream?activeStreamId=${generationId}${more}`;
    const { token, turn, text, seen } = await sleptThrough(t, "slow sdk", at);
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
    const { token, turn, text, seen } = await sleptThrough(t, "slow durable", at);
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
    const { client, token } = await user(t, server);
    fake.script("slow socket", Array.from({ length: 3000 }, (_, n) => `${n} ${PIECE}`));
    const { messageId } = await send(client, "slow socket");
    await settled(client, messageId, 90_000);
    const session = await RawSession.open(t, server);
    session.authenticate(token);
    session.modify();
    await session.settled();
    session.socket.pause();
    session.modify([1, 2, 3].map(() => ["messages:get", { messageId }]));
    await sleep(SLOW_MS);
    session.socket.resume();
    const { code, reason } = await within(session.closed, "the server's close", 30_000);
    assert.equal(code, 1013);
    assert.match(reason, /^Overloaded/);
  });
});
