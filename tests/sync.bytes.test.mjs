// What live queries cost on a socket: bytes for who follows an answer, whether their cursor moves or not; and what
// the server holds for a client that takes nothing, or that says more than it can be answered.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ConvexClient } from "convex/browser";
import WebSocket from "ws";
import { onEnd } from "./lib/cleanup.mjs";
import { follow, guest, http, send, user, watch } from "./lib/clients.mjs";
import { FakeLlm, paced } from "./lib/fake-llm.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
// What the server frees goes back at once: what it holds is what is measured.
const server = await Server.start({ after }, { env: { ...fake.env, MIMALLOC_PURGE_DELAY: "0" } });

const DELTAS = 2_000;
const DELTA = "0123456789 abcdefgh 0123456789 abcdefgh 0123456789";
const PAYLOAD = DELTAS * DELTA.length;
/** A Transition around a result: versions, clocks, the names of its fields. */
const TRANSITION_BYTES = 450;

/** The official client, with a socket that counts what comes: `{client, wire}`. */
function counted(t, token) {
  const wire = { bytes: 0, messages: 0 };
  class Counting extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      this.on("error", () => {});
      this.on("message", (data) => Object.assign(wire, { bytes: wire.bytes + data.length, messages: wire.messages + 1 }));
    }
  }
  const client = new ConvexClient(server.url, { logger: false, unsavedChangesWarning: false, webSocketConstructor: Counting });
  client.setAuth(async () => token);
  onEnd(t, () => client.close().catch(() => {}));
  return { client, wire };
}

const textOf = ({ events }) => events.map(({ text = "" }) => text).join("");

test("ST-04: 100 KB cost who moves their cursor little more than themselves, and who stays a few times themselves", { timeout: 120_000 }, async (t) => {
  const { client: writer, token } = await user(t, server);
  const start = gate();
  fake.script("a hundred thousand", [{ wait: start.opened }, ...paced(DELTAS, 3, () => DELTA)]);
  const { generationId } = await send(writer, "a hundred thousand");
  const [moving, staying] = [counted(t, token), counted(t, token)];
  const log = follow(moving.client, generationId);
  const seen = watch(staying.client, "generations:deltas", { generationId, cursor: 0 });
  await until(() => log.results > 0 || seen.values.length > 0);
  start.open();
  await log.end(90_000);
  await until(() => seen.current?.status === "complete", { what: "the end, where the cursor stayed" });
  for (const text of [log.text, textOf(seen.current)]) assert.equal(text, DELTA.repeat(DELTAS));
  t.diagnostic(`moving: ${moving.wire.bytes} bytes in ${moving.wire.messages} messages; staying: ${staying.wire.bytes} in ${seen.values.length} results`);
  assert.ok(log.prefixes.length > 50, `${log.prefixes.length} steps: this is not live`);
  assert.ok(moving.wire.bytes <= 1.5 * PAYLOAD + moving.wire.messages * TRANSITION_BYTES, `moving: ${moving.wire.bytes} bytes`);
  assert.ok(seen.values.length > 7, `${seen.values.length} results: nobody sees progress`);
  assert.ok(staying.wire.bytes <= 4 * PAYLOAD + staying.wire.messages * TRANSITION_BYTES, `staying: ${staying.wire.bytes} bytes`);
});

test("who stays sees what is said last before a silence, and a newcomer all there is", { timeout: 60_000 }, async (t) => {
  const { client, token, http: rows } = await user(t, server);
  const [more, end] = [gate(), gate()];
  fake.script("then silence", ["x".repeat(1_000), { wait: 2_000 }, "y", { wait: more.opened }, "z", { wait: end.opened }]);
  const { generationId } = await send(client, "then silence");
  const args = { generationId, cursor: 0 };
  const seen = watch(client, "generations:deltas", args);
  await until(() => textOf(seen.current).endsWith("xy"), { what: "the last word before the silence" });
  more.open();
  await until(async () => textOf(await rows.query("generations:deltas", args)).endsWith("xyz"));
  await sleep(150); // older than what every page rests
  assert.equal(textOf(await counted(t, token).client.query("generations:deltas", args)).length, 1_002, "a newcomer waits for nothing");
  await until(() => textOf(seen.current).endsWith("xyz"));
  end.open();
});

test("a query that runs again to an equal result is not told again", async (t) => {
  const { token } = await guest(server);
  const rows = http(server, token);
  fake.script("equal", ["yes"]);
  const { threadId, userMessageId, generationId } = await send(rows, "equal");
  await until(async () => (await rows.query("generations:get", { generationId })).status === "complete");
  const session = await RawSession.open(t, server);
  session.authenticate(token);
  const [message, thread] = session.modify([["messages:get", { messageId: userMessageId }], ["threads:get", { threadId }]]);
  await session.settled();
  const runs = async () => Number(/function_runs_total\{function="messages:get"\} (\d+)/.exec(await (await fetch(`${server.url}/metrics`)).text())[1]);
  const before = await runs();
  const from = session.messages.length;
  await rows.mutation("threads:update", { threadId, title: "new" });
  await session.result(thread, ({ value }) => value.title === "new");
  assert.ok((await runs()) > before, "the message's query reads the thread, so it ran again");
  const told = session.messages.slice(from).flatMap(({ modifications }) => modifications ?? []).map(({ queryId }) => queryId);
  assert.ok(told.includes(thread) && !told.includes(message), JSON.stringify(told));
  await session.close();
});

async function residentMiB() {
  const status = await readFile(`/proc/${server.pid}/status`, "utf8");
  // Pages of the database file that are mapped are not held for anybody.
  return Number(/RssAnon:\s+(\d+)/.exec(status)[1]) / 1024;
}

test("ST-18: sockets that take nothing of a result of 16 MB hold less than 1 MiB each", { timeout: 120_000 }, async (t) => {
  const { http: rows, token } = await user(t, server);
  const service = http(server, await serviceKey(server));
  const threadId = await rows.mutation("threads:create", {});
  const text = "0123456789abcdé ".repeat(470_000);
  const messageId = await service.mutation("messages:append", { threadId, role: "user", text });
  const digest = (text) => createHash("sha256").update(text).digest("hex");
  const open = async (path) => {
    const session = await RawSession.open(t, server, { path });
    session.authenticate(token);
    session.modify();
    await session.settled();
    return session;
  };
  const ask = (session) => session.modify([["messages:get", { messageId }]])[0];
  // One that reads, so that the result is there.
  const reader = await open("/api/sync");
  const shown = await reader.result(ask(reader), undefined, "the message", { timeout: 60_000 });
  assert.equal(digest(shown.value.text), digest(text));
  const slow = await Promise.all(["/api/1.48.0/sync", "/api/sync"].flatMap((path) => Array.from({ length: 12 }, () => open(path))));
  const before = await residentMiB();
  const asked = slow.map((session) => {
    const id = ask(session);
    session.socket.pause();
    return id;
  });
  // Until nothing more goes to the sockets, well before they are sent away.
  let last = 0;
  for (let same = 0; same < 4; ) {
    await sleep(500);
    const now = await residentMiB();
    same = Math.abs(now - last) < 1 ? same + 1 : 0;
    last = now;
  }
  t.diagnostic(`${(last - before).toFixed(1)} MiB for ${slow.length} sockets`);
  assert.ok(last - before < slow.length, `${(last - before).toFixed(1)} MiB for ${slow.length} sockets`);
  for (const at of [0, slow.length - 1]) {
    slow[at].socket.resume();
    const result = await slow[at].result(asked[at], undefined, "the message", { timeout: 60_000 });
    assert.equal(digest(result.value.text), digest(text));
    await slow[at].close();
  }
  for (const session of slow.slice(1, -1)) await session.cut();
});

const FRAME = "x".repeat(8 << 20);

test("mutations of 8 MiB each are answered in their order, however many are said at once", { timeout: 120_000 }, async (t) => {
  const { token } = await guest(server);
  const session = await RawSession.open(t, server);
  session.authenticate(token);
  session.modify();
  await session.settled();
  const { result: threadId } = await session.mutation("threads:create", {});
  const ids = Array.from({ length: 8 }, () => session.request("Mutation", "threads:update", { threadId, title: FRAME }));
  ids.push(session.request("Mutation", "threads:update", { threadId, title: "last" }));
  const answers = await Promise.all(ids.map((id) => session.next((message) => message.requestId === id, `answer ${id}`, { timeout: 90_000 })));
  assert.deepEqual(answers.map(({ success, errorData }) => (success ? "done" : errorData.code)), [...Array(8).fill("too_large"), "done"]);
  const order = session.messages.filter(({ type, requestId }) => type === "MutationResponse" && ids.includes(requestId)).map(({ requestId }) => requestId);
  assert.deepEqual(order, ids);
  await session.close();
});

test("OP-05: an anonymous socket whose mutations cannot be answered is not read any further", { timeout: 120_000 }, async (t) => {
  // A client that never says what it wants to know is never brought up to date, so its mutations wait.
  const session = await RawSession.open(t, server);
  const before = await residentMiB();
  for (let n = 0; n < 24; n += 1) session.request("Mutation", "threads:create", { title: FRAME });
  let last;
  for (let same = 0; same < 4; ) {
    await sleep(700);
    same = session.socket.bufferedAmount === last ? same + 1 : 0;
    last = session.socket.bufferedAmount;
  }
  const grown = (await residentMiB()) - before;
  t.diagnostic(`${(last / 2 ** 20).toFixed(0)} MiB were not taken; the server has ${grown.toFixed(0)} MiB more`);
  assert.ok(last > 64 << 20, "the server took it all");
  assert.ok(grown < 110, `${grown.toFixed(0)} MiB`);
  await session.cut();
});

test("OP-05: the live queries of one socket have arguments of 16 MiB together; the next fails alone", { timeout: 60_000 }, async (t) => {
  const session = await RawSession.open(t, server);
  const args = { threadId: FRAME };
  const [first, second, third, small] = session.modify([["threads:get", args], ["threads:get", args], ["threads:get", args], ["users:me", {}]]);
  await session.settled({ timeout: 30_000 });
  const results = await Promise.all([first, second, third, small].map((id) => session.result(id)));
  const codes = results.map(({ errorData }) => errorData?.code ?? "ok");
  assert.deepEqual(codes.slice(1), ["overloaded", "overloaded", "ok"], JSON.stringify(codes));
  // What is removed makes room.
  session.modify([], [first, second, third]);
  const [again] = session.modify([["threads:get", args]]);
  assert.notEqual((await session.result(again, undefined, undefined, { timeout: 30_000 })).errorData?.code, "overloaded");
  await session.close();
});
