// Large messages and a slow reader: what may be stored may be read again, and who stalls is told where to go on.
// (What readers cost that stall: wires.stalled.test.mjs.)

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import net from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { onEnd } from "./lib/cleanup.mjs";
import { page, send, settled, user } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { SseParser } from "./lib/sse.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

const PIECE = "0123456789abcdé ".repeat(256);
const digest = (text) => createHash("sha256").update(text).digest("hex");

/** A reader that has asked for the stream and does not read it. */
function stalled(t, generationId, token) {
  const socket = net.connect({ port: server.port, host: "127.0.0.1" });
  onEnd(t, () => socket.destroy());
  socket.pause();
  socket.on("error", () => {});
  socket.write(`GET /api/stream/${generationId} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`);
  return socket;
}

/** Reads a stalled stream to its end: its text, and the error that ended it, if one did. */
async function readOn(socket) {
  const parser = new SseParser();
  let head = true;
  let text = "";
  let error;
  const over = gate();
  socket.on("data", (bytes) => {
    let rest = bytes;
    if (head) {
      const end = bytes.indexOf("\r\n\r\n");
      assert.ok(end >= 0, "the response's head is in the first packet");
      assert.match(bytes.toString("latin1", 0, end), /^HTTP\/1\.[01] 200/);
      rest = bytes.subarray(end + 4);
      head = false;
    }
    for (const { event, data } of parser.push(rest)) {
      if (event === "text") text += JSON.parse(data).text;
      if (event === "error") error = JSON.parse(data);
      if (event === "done" || event === "error") over.open();
    }
  });
  socket.on("close", () => over.fail(new Error("closed before the end of the stream")));
  socket.resume();
  await within(over.opened, "the stalled reader to catch up", 60_000);
  return { text, error };
}

test("a reader that takes nothing for half a minute is sent away, and told where to come back", { timeout: 120_000 }, async (t) => {
  const { client, token } = await user(t, server);
  fake.script("twelve megabytes for nobody", Array.from({ length: 3000 }, (_, n) => `${n} ${PIECE}`));
  const { generationId, messageId } = await send(client, "twelve megabytes for nobody");
  const { text: whole } = await settled(client, messageId, 60_000);
  // It begins when all is there, so that it is slow for more than 30 s and, on any machine, less than 60 s.
  const slow = stalled(t, generationId, token);
  await until(() => slow.bytesWritten > 0 && !slow.connecting);
  await sleep(40_000);
  const { text, error } = await readOn(slow);
  assert.equal(error.code, "overloaded");
  assert.equal(error.retryable, true);
  assert.equal(error.offset, Buffer.byteLength(text));
  const rest = await readOn(stalled(t, `${generationId}?offset=${error.offset}`, token));
  assert.deepEqual([rest.error, digest(text + rest.text)], [undefined, digest(whole)]);
});

test("an answer of any size leaves its thread readable", { timeout: 120_000 }, async (t) => {
  const { client, http: reader } = await user(t, server);
  fake.script("twelve megabytes", Array.from({ length: 3000 }, (_, n) => `${n} ${PIECE}`));
  const { threadId, generationId, messageId } = await send(client, "twelve megabytes");
  const generation = await until(
    async () => {
      const found = await client.query("generations:get", { generationId });
      return ["complete", "error"].includes(found.status) && found;
    },
    { timeout: 60_000, every: 200, what: "the large answer to end" },
  );
  if (generation.status === "error") assert.equal(generation.error.code, "too_large");
  assert.equal((await everything(reader, threadId)).at(-1)._id, messageId);
});

/** All messages of a thread, page by page as the UI reads them. */
async function everything(reader, threadId) {
  const messages = [];
  for (let cursor = null; ; ) {
    const result = await reader.query("messages:page", { threadId, ...page(30, cursor), order: "asc" });
    messages.push(...result.page);
    if (result.isDone) return messages;
    assert.notEqual(result.continueCursor, cursor, "the pages go on");
    cursor = result.continueCursor;
  }
}

test("the largest message that is taken can be read", async (t) => {
  const { http: writer } = await user(t, server);
  const threadId = await writer.mutation("threads:create", {});
  let taken;
  for (let bytes = 15 << 20; taken === undefined; bytes -= 1 << 20) {
    const text = "x".repeat(bytes);
    taken = await writer.mutation("messages:append", { threadId, role: "user", text }).catch(({ data }) => assert.equal(data?.code, "too_large"));
  }
  assert.equal((await writer.query("messages:get", { messageId: taken }))._id, taken);
  assert.equal((await everything(writer, threadId)).length, 1);
});

test("a thread of many large messages is read page by page, whatever number is asked for", async (t) => {
  const { http: writer } = await user(t, server);
  const threadId = await writer.mutation("threads:create", {});
  const ids = [];
  for (let n = 0; n < 20; n += 1) ids.push(await writer.mutation("messages:append", { threadId, role: "user", text: "y".repeat(1 << 20) }));
  assert.deepEqual((await everything(writer, threadId)).map(({ _id }) => _id), ids);
});
