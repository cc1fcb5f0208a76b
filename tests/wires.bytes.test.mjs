// What an answer of 100 KB in 5,000 deltas costs: bytes on the wire for a reader that catches up and for one
// that follows, and bytes on disk.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import path from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { guest, http, send } from "./lib/clients.mjs";
import { FakeLlm, paced } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { drain, stalled } from "./lib/slow.mjs";
import { SseParser } from "./lib/sse.mjs";
import { gate, until } from "./lib/wait.mjs";

const DELTAS = 5_000;
const DELTA = "0123456789 abcdefgh ";
const PAYLOAD = DELTAS * DELTA.length;
/** Bytes on the wire for a byte of text that comes in one piece (ST-04). */
const CAUGHT_UP = 1.5;
/** Bytes that one delta may cost beside its text: its event, and on the durable wire the place behind it. */
const EVENT = { plain: 80, durable: 250 };
/**
 * Bytes on disk for a byte of text, with the server stopped and before the log is compacted: the message, and the
 * log delta by delta, each with its JSON and its place. docs/decisions says why it is not less.
 */
const ON_DISK = 6;

const fake = await FakeLlm.start({ after });

/** The text in what a reader got, and in how many events it came. */
function textIn(wire, body) {
  const events = new SseParser().push(Buffer.from(body));
  const items = wire === "plain" ? events.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data)) : events.filter(({ event }) => event === "data").flatMap(({ data }) => JSON.parse(data)).filter(({ type }) => type === "text");
  return { text: items.map(({ text }) => text).join(""), pieces: items.length };
}

/** The size of a stopped server's database, with what was still in its write-ahead log. */
async function bytesIn(dir) {
  const database = path.join(dir, "spool.db");
  await promisify(execFile)("sqlite3", [database, "PRAGMA wal_checkpoint(TRUNCATE)"]);
  return (await stat(database)).size;
}

test("ST-04: 100 KB in 5,000 deltas cost little more than themselves on the wires, and a few times themselves on disk", { timeout: 180_000 }, async (t) => {
  const server = await Server.start(t, { env: fake.env, config: "[turns]\nflush_ms = 0" });
  const { token } = await guest(server);
  const rows = http(server, token);
  const ended = ({ generationId }) => until(async () => (await rows.query("generations:get", { generationId })).status === "complete", { timeout: 90_000, what: "the answer to end" });
  await server.stop();
  const before = await bytesIn(server.data);
  await server.start();

  const start = gate();
  fake.script("five thousand", [{ wait: start.opened }, ...paced(DELTAS, 1, () => DELTA)]);
  const turn = await send(rows, "five thousand");
  const targets = { plain: `/api/stream/${turn.generationId}`, durable: `/v1/stream/generations/${turn.generationId}?offset=-1&live=sse` };
  const live = Object.entries(targets).map(([wire, target]) => [wire, drain(stalled(t, server, target, token), 120_000)]);
  await until(async () => /stream_followers 2$/m.test(await (await fetch(`${server.url}/metrics`)).text()), { what: "both readers to follow" });
  start.open();
  for (const [wire, reading] of live) {
    const { bytes, text: body, whole } = await reading;
    const { text, pieces } = textIn(wire, body);
    t.diagnostic(`${wire}, live: ${bytes} bytes in ${pieces} pieces`);
    assert.equal(whole, true);
    assert.equal(text, DELTA.repeat(DELTAS), wire);
    assert.ok(pieces > DELTAS / 5, `${wire}: only ${pieces} pieces, this is not live`);
    // Linear: each byte of text once, and a constant for each piece.
    assert.ok(bytes <= PAYLOAD + pieces * EVENT[wire] + 2_000, `${wire}: ${bytes} bytes for ${pieces} pieces`);
  }
  await ended(turn);
  for (const [wire, target] of Object.entries(targets)) {
    const { bytes, text: body } = await drain(stalled(t, server, target, token));
    t.diagnostic(`${wire}, caught up: ${bytes} bytes, ${(bytes / PAYLOAD).toFixed(2)} for each of text`);
    assert.equal(textIn(wire, body).text, DELTA.repeat(DELTAS), wire);
    assert.ok(bytes <= CAUGHT_UP * PAYLOAD, `${wire}: ${bytes} bytes`);
  }
  await server.stop();
  const grown = (await bytesIn(server.data)) - before;
  t.diagnostic(`on disk: ${grown} bytes more, ${(grown / PAYLOAD).toFixed(2)} for each of text`);
  assert.ok(grown >= PAYLOAD, `${grown} bytes: the answer is not there`);
  assert.ok(grown <= ON_DISK * PAYLOAD, `${grown} bytes for ${PAYLOAD}`);
});
