// Connections on which nothing is said for a while: the server says something, so that no proxy ends them.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { onEnd } from "./lib/cleanup.mjs";
import { send, user } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

/** Twice the silence after which something is said, and some time to be late. */
const PATIENCE_MS = 35_000;

/** A reader of `target`: its text as it grows, and `over` once the server has ended it. */
async function listen(t, target, token) {
  const leave = new AbortController();
  onEnd(t, () => leave.abort());
  const response = await fetch(server.url + target, { headers: { authorization: `Bearer ${token}` }, signal: leave.signal });
  assert.equal(response.status, 200);
  const reader = { text: "" };
  reader.over = (async () => {
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) reader.text += text;
  })();
  reader.over.catch(() => {});
  reader.said = () => reader.text.match(/^:|^event: control$/gm)?.length ?? 0;
  return reader;
}

test("HT-03: a silent stream is kept open by comments, also after a token, and the Durable Streams wire says its place", { timeout: 150_000 }, async (t) => {
  const { client, token } = await user(t, server);
  const [first, second] = [gate(), gate()];
  fake.script("silence", [{ wait: first.opened }, "one", { wait: second.opened }, "two"]);
  const { threadId, generationId } = await send(client, "silence");
  const wires = {
    plain: await listen(t, `/api/stream/${generationId}`, token),
    sdk: await listen(t, `/api/chat/${threadId}/stream?activeStreamId=${generationId}`, token),
    durable: await listen(t, `/v1/stream/generations/${generationId}?offset=-1&live=sse`, token),
  };
  const readers = Object.entries(wires);
  const spoke = async ([name, reader], before) => until(() => reader.said() > before, { timeout: PATIENCE_MS, what: `${name} to say something in the silence` });
  await until(() => wires.durable.said() === 1, { what: "the durable reader to hear where it is" });
  await Promise.all(readers.map((reader) => spoke(reader, reader[0] === "durable" ? 1 : 0)));
  first.open();
  await Promise.all(readers.map(([name, reader]) => until(() => reader.text.includes("one"), { what: `${name} to have the token` })));
  // The control event behind the token's own data is no sign of life.
  await until(() => /one[^]*event: control[^]*\n\n/.test(wires.durable.text));
  await Promise.all(readers.map((reader) => spoke(reader, reader[1].said())));
  second.open();
  await Promise.all(readers.map(([name, { over }]) => within(over, `${name} to end`)));
  for (const [name, { text }] of readers) {
    assert.ok(text.includes("two"), name);
    // A comment is a line of its own, between events.
    if (name !== "durable") assert.match(text, /\n\n:\n\n|^:\n\n/, name);
  }
});
