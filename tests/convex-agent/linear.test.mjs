// What an answer costs on the wire: each of its bytes comes once, and a constant with each delta.
//
// Seen as it comes, the constant is what one step of the hook costs, whatever was said before: the result
// with its delta, the confirmation that the query now begins at the new cursor, and that query's first, empty
// result. Seen late, it is the frame of a delta in one large result.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { answerOf, checkRenders, checkStored, guestOf, joined, over, shows, tab, text, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);

const STEP_BYTES = 1250;
const FRAME_BYTES = 150;
const DELTA = `${"0123456789".repeat(9)}"quoted"\n`; // 100 bytes, 103 as JSON

/** What an answer of `deltas` deltas costs a tab that shows each of them. */
async function cost(t, deltas) {
  const user = await guestOf(server);
  const view = tab(t, server, user);
  const { append, finish, messageId } = await written(server, key, user);
  await until(() => answerOf(view.now) !== undefined);
  const { wire } = view.client;
  const before = { ...wire };
  for (let n = 0; n < deltas; n += 1) {
    await append(text(DELTA));
    await until(() => joined(answerOf(view.now)).length === DELTA.length * (n + 1), { every: 1, what: `delta ${n}` });
  }
  const streamed = wire.bytes - before.bytes;
  const messages = wire.messages - before.messages;
  await finish();
  await over(view);
  await checkStored(user, view, messageId);
  checkRenders(view);
  return { streamed, messages, all: wire.bytes - before.bytes };
}

test("100 KB in 1000 deltas, each seen alone", async (t) => {
  const small = await cost(t, 250);
  const large = await cost(t, 1000);
  t.diagnostic(`250 deltas: ${JSON.stringify(small)}, 1000 deltas: ${JSON.stringify(large)}`);
  const payload = JSON.stringify(DELTA).length * 1000;
  assert.ok(large.streamed <= 1.5 * (payload + 1000 * STEP_BYTES), `${large.streamed} bytes for ${payload}`);
  // The stored message has its text twice, as `text` and in its parts.
  assert.ok(large.all - large.streamed <= 1.5 * 2 * payload, `the stored message: ${large.all - large.streamed} bytes`);
  assert.ok(large.streamed <= 4 * 1.1 * small.streamed, `four times the answer, ${(large.streamed / small.streamed).toFixed(2)} times the bytes`);
});

test("100 KB to a tab that comes late", async (t) => {
  const user = await guestOf(server);
  const { append, finish, messageId } = await written(server, key, user);
  for (let n = 0; n < 1000; n += 1) await append(text(DELTA));
  const view = tab(t, server, user);
  await shows(view, DELTA.repeat(1000));
  const { bytes } = view.client.wire;
  t.diagnostic(`${bytes} bytes`);
  await finish();
  await over(view);
  await checkStored(user, view, messageId);
  checkRenders(view);
  const payload = JSON.stringify(DELTA).length * 1000;
  assert.ok(bytes <= 1.5 * (payload + 1000 * FRAME_BYTES), `${bytes} bytes for ${payload}`);
});
