// Durable streams of many megabytes as server-sent events: what a slow reader costs the server, and that text is
// the same wherever a page cuts it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { guest } from "./lib/clients.mjs";
import { Server } from "./lib/server.mjs";
import { drain, stalled } from "./lib/slow.mjs";
import { SseParser } from "./lib/sse.mjs";
import { until } from "./lib/wait.mjs";

// Memory that is free goes back at once: what is resident is what is held.
const server = await Server.start({ after }, { env: { MIMALLOC_PURGE_DELAY: "0" } });
const { token } = await guest(server);

const READERS = 30;
/** Stored pieces of a large body. */
const CHUNK = 256 << 10;

async function residentMiB() {
  const status = await readFile(`/proc/${server.pid}/status`, "utf8");
  return Number(/RssAnon:\s+(\d+)/.exec(status)[1]) / 1024;
}

/** Memory once it has not grown for a second. */
async function settledMiB() {
  let last = await residentMiB();
  await until(async () => {
    await sleep(1_000);
    const now = await residentMiB();
    const still = now - last < 0.5;
    last = now;
    return still;
  }, { timeout: 60_000, what: "the memory to stay as it is" });
  return last;
}

async function create(path, contentType, bodies) {
  const headers = { authorization: `Bearer ${token}`, "content-type": contentType };
  assert.equal((await fetch(`${server.url}/v1/stream/${path}`, { method: "PUT", headers })).status, 201);
  for (const [n, body] of bodies.entries()) {
    const last = n + 1 === bodies.length ? { "stream-closed": "true" } : {};
    assert.equal((await fetch(`${server.url}/v1/stream/${path}`, { method: "POST", body, headers: { ...headers, ...last } })).status, 204);
  }
  return `/v1/stream/${path}?offset=-1&live=sse`;
}

test("ST-18: readers that stall in a stream of 45 MB hold a page each, not the stream", { timeout: 180_000 }, async (t) => {
  const piece = new Uint8Array(15 << 20).map((_, at) => (at * 7) % 251);
  const target = await create("large/bytes", "application/octet-stream", [piece, piece, piece]);
  // One that reads it all: what a reader costs while it moves is paid before the measurement.
  const seen = await drain(stalled(t, server, target, token));
  const data = new SseParser().push(Buffer.from(seen.text)).filter(({ event }) => event === "data");
  const bytes = Buffer.concat(data.map(({ data }) => Buffer.from(data, "base64")));
  assert.equal(Buffer.compare(bytes, Buffer.concat([piece, piece, piece])), 0);
  const before = await settledMiB();
  const readers = Array.from({ length: READERS }, () => stalled(t, server, target, token));
  await until(() => readers.every((socket) => socket.bytesWritten > 0 && !socket.connecting));
  const grown = (await settledMiB()) - before;
  t.diagnostic(`${READERS} stalled readers: ${Math.round(grown)} MiB more`);
  // A page in base64 is a third of a MiB.
  assert.ok(grown < READERS, `${Math.round(grown)} MiB more`);
});

test("ST-15: text is the same wherever appends and pages cut it", { timeout: 60_000 }, async (t) => {
  // Each piece of the store begins with the LF of a line's end that the one before has begun.
  const lines = ("\n" + "x".repeat(CHUNK - 2) + "\r").repeat(20);
  // Characters of two and four bytes, cut by the pieces and, in the middle of one, by the appends.
  const odd = Buffer.from("a" + "é💥".repeat(300_000));
  for (const [path, bodies] of [["lines", [lines]], ["characters", [odd.subarray(0, 1_000_002), odd.subarray(1_000_002)]]]) {
    const { text } = await drain(stalled(t, server, await create(`large/${path}`, "text/plain", bodies), token));
    const events = new SseParser().push(Buffer.from(text));
    assert.ok(events.filter(({ event }) => event === "data").length > 3, "it came in pages");
    const joined = events.filter(({ event }) => event === "data").map(({ data }) => data).join("");
    const whole = Buffer.concat(bodies.map((body) => Buffer.from(body))).toString();
    assert.ok(joined === whole.replace(/\r\n|\r/g, "\n"), `${path}: ${joined.length} characters of ${whole.length}`);
    for (const [n, { event }] of events.entries()) if (event === "data") assert.equal(events[n + 1].event, "control");
    assert.equal(JSON.parse(events.at(-1).data).streamClosed, true);
  }
});

test("bytes that are no text are said as U+FFFD in events, and stay what they are", async (t) => {
  const bytes = Buffer.from([0x61, 0xff, 0x62, 0xc3]);
  const target = await create("large/broken", "text/plain", [bytes]);
  const { text } = await drain(stalled(t, server, target, token));
  assert.equal(new SseParser().push(Buffer.from(text))[0].data, "a\ufffdb\ufffd");
  const read = await fetch(`${server.url}/v1/stream/large/broken`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(Buffer.from(await read.arrayBuffer()), bytes);
});
