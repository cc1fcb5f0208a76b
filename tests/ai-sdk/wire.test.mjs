// The bytes of the wire, without the SDK's help: headers, chunks, offsets, stop.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { FakeLlm } from "../lib/fake-llm.mjs";
import { Server, serviceKey } from "../lib/server.mjs";
import { gate, until } from "../lib/wait.mjs";
import { chunks, deltasOf, guestOf, kindsOf, refused, request, text, userMessage, written } from "./lib.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const key = await serviceKey(server);

const guest = () => guestOf(server);

const EVENTS = [
  { type: "activity", kind: "wait", label: "thinking" },
  { type: "reasoning", text: "hm é" },
  text("one\n"),
  { type: "activity", kind: "read", label: "reading" },
  text("twö "),
  { type: "tool_start", toolCallId: "c1", tool: "search", input: { q: "x" } },
  { type: "tool_start", toolCallId: "c2", tool: "search", input: [1] },
  { type: "tool_end", toolCallId: "c1", output: { found: null } },
  { type: "tool_end", toolCallId: "c2", error: "nothing" },
  { type: "source", title: "T", url: "https://example.com/?a=1&b=2", snippet: "s" },
  text("three"),
];

describe("the wire", { concurrency: true }, () => {
  test("headers and the exact chunks of an answer with everything", async () => {
    const { generationId, messageId, append, finish, stream } = await written(server, key);
    const response = await stream();
    for (const event of EVENTS) await append(event);
    await finish();
    assert.equal(response.status, 200);
    const expected = { "content-type": "text/event-stream", "cache-control": "no-cache", "x-vercel-ai-ui-message-stream": "v1", "x-accel-buffering": "no", "x-spool-generation-id": generationId };
    for (const [name, value] of Object.entries(expected)) assert.equal(response.headers.get(name), value);
    const seen = await chunks(response);
    const all = seen.map(({ chunk }) => chunk);
    assert.deepEqual(all.filter(({ type }) => !/-delta$/.test(type)), [
      { type: "start", messageId },
      { type: "start-step" },
      { type: "data-activity", data: { kind: "wait", label: "thinking" }, transient: true },
      { type: "reasoning-start", id: "reasoning" },
      { type: "reasoning-end", id: "reasoning" },
      { type: "text-start", id: "text" },
      { type: "data-activity", data: { kind: "read", label: "reading" }, transient: true },
      { type: "text-end", id: "text" },
      { type: "tool-input-available", toolCallId: "c1", toolName: "search", input: { q: "x" }, providerExecuted: true },
      { type: "tool-input-available", toolCallId: "c2", toolName: "search", input: [1], providerExecuted: true },
      { type: "tool-output-available", toolCallId: "c1", output: { found: null }, providerExecuted: true },
      { type: "tool-output-error", toolCallId: "c2", errorText: "nothing", providerExecuted: true },
      { type: "finish-step" },
      { type: "start-step" },
      { type: "source-url", sourceId: "s20", url: "https://example.com/?a=1&b=2", title: "T", providerMetadata: { spool: { snippet: "s" } } },
      { type: "text-start", id: "text" },
      { type: "text-end", id: "text" },
      { type: "finish-step" },
      { type: "finish" },
      "[DONE]",
    ]);
    assert.deepEqual([deltasOf(seen), deltasOf(seen, "reasoning-delta")], ["one\ntwö three", "hm é"]);
    const ids = seen.map(({ id }) => id);
    assert.ok(ids.every((id, n) => n === 0 || id >= ids[n - 1]));
  });

  test("a late joiner gets what there is in one piece, then the tail", async () => {
    const { append, finish, stream } = await written(server, key);
    for (const word of ["a", "b", "c", "d"]) await append(text(word));
    const seen = chunks(await stream());
    await until(async () => (await append(text("e"))).appended);
    await finish();
    const deltas = (await seen).filter(({ chunk }) => chunk.type === "text-delta").map(({ chunk }) => chunk.delta);
    assert.match(deltas[0], /^abcd/);
    assert.equal(deltas.join(""), "abcde");
  });

  test("from every offset: the rest, for strangers and for those who hold the open parts", async () => {
    const { append, finish, stream, generationId } = await written(server, key);
    for (const event of EVENTS) await append(event);
    await finish();
    const whole = await chunks(await stream(`?activeStreamId=${generationId}`));
    const offsets = [...new Set(whole.map(({ id }) => id))].filter((id) => id !== null);
    assert.ok(offsets.length > 10);
    for (const offset of offsets) {
      const seen = whole.filter(({ id, chunk }) => id !== null && id <= offset && chunk !== "[DONE]");
      for (const parts of ["", "&parts=open"]) {
        const rest = await chunks(await stream(`?activeStreamId=${generationId}&offset=${offset}${parts}`));
        assert.equal(deltasOf(seen) + deltasOf(rest), deltasOf(whole), `${offset}${parts}`);
        assert.ok(!kindsOf(rest).includes("start"));
        const open = new Set(parts === "" ? [] : openParts(whole, offset));
        for (const { chunk } of rest) {
          if (/-start$/.test(chunk.type)) open.add(chunk.id);
          if (/-(delta|end)$/.test(chunk.type)) assert.ok(open.has(chunk.id), `${offset}${parts}: ${JSON.stringify(chunk)}`);
          if (/-end$/.test(chunk.type)) open.delete(chunk.id);
        }
        assert.equal(open.size, 0);
        assert.equal(rest.at(-1).chunk, "[DONE]");
      }
      const byHeader = await chunks(await stream(`?activeStreamId=${generationId}&offset=0`, { headers: { "last-event-id": String(offset) } }));
      assert.equal(deltasOf(seen) + deltasOf(byHeader), deltasOf(whole));
    }
  });

  test("only those who ask are told more than the common subset", async () => {
    const { append, finish, stream, generationId } = await written(server, key);
    await append(text("a"));
    await finish({ status: "complete", finishReason: "max_tokens" });
    const last = async (query, headers) => (await chunks(await stream(`?activeStreamId=${generationId}${query}`, { headers }))).at(-2).chunk;
    assert.deepEqual(await last("", {}), { type: "finish" });
    assert.deepEqual(await last("&aiSdk=6", {}), { type: "finish", finishReason: "length" });
    assert.deepEqual(await last("&aiSdk=7", {}), { type: "finish", finishReason: "length" });
    assert.deepEqual(await last("", { "x-spool-ai-sdk": "7" }), { type: "finish", finishReason: "length" });
    assert.equal((await refused(await stream("?aiSdk=8"))).code, "bad_request");
  });

  test("nothing active is 204, whatever the offset; what ended can be read by its id", async () => {
    const { say, stream, post } = await guest();
    assert.equal((await stream()).status, 204);
    fake.script("idle", ["done"]);
    const response = await say("idle");
    const generation = response.headers.get("x-spool-generation-id");
    await chunks(response);
    assert.equal((await stream()).status, 204);
    assert.equal((await stream("?offset=2")).status, 204);
    const rest = await chunks(await stream(`?activeStreamId=${generation}&offset=2`));
    assert.equal(deltasOf(rest), "ne");
    const end = await chunks(await stream(`?activeStreamId=${generation}&offset=5`));
    assert.deepEqual(kindsOf(end), ["[DONE]"]);
    const anew = await post({ trigger: "regenerate-message" });
    assert.notEqual(anew.headers.get("x-spool-generation-id"), generation);
    assert.equal(deltasOf(await chunks(anew)), "done");
    assert.equal(deltasOf(await chunks(await stream(`?activeStreamId=${generation}`))), "done", "the older one is still there");
  });

  test("a chat that is busy says so, and the running answer goes on", async () => {
    const { say } = await guest();
    const hold = gate();
    fake.script("busy", ["a", { wait: hold.opened }, "b"]);
    const first = await say("busy");
    const second = await refused(await say("another"));
    assert.deepEqual([second.status, second.code, second.generationId], [409, "thread_busy", first.headers.get("x-spool-generation-id")]);
    hold.open();
    assert.equal(deltasOf(await chunks(first)), "ab");
  });

  test("stop: only what is meant, from anywhere, and never by leaving", async () => {
    const { say, token, id, stream, rows } = await guest();
    const stop = async (body) => (await request(server, token, `/${id}/stop`, { method: "POST", body })).json();
    fake.script("stop me", ["some", { hang: true }]);
    const leave = new AbortController();
    const response = await request(server, token, "", { body: { id, message: userMessage("m1", "stop me") }, signal: leave.signal });
    await chunks(response, (seen) => deltasOf(seen) === "some").finally(() => leave.abort());
    const generation = response.headers.get("x-spool-generation-id");
    const reading = await stream();
    assert.equal((await stop({ activeStreamId: "gen_00000000000000000000000000" })).stopped, false);
    assert.deepEqual(await stop({ activeStreamId: generation, assistantMessage: { id: "x", role: "assistant", parts: [text("forged")] } }), { stopped: true });
    const seen = await chunks(reading);
    assert.deepEqual(kindsOf(seen).slice(-4), ["text-end", "finish-step", "abort", "[DONE]"]);
    assert.deepEqual([(await stop()).stopped, (await stop("{}")).stopped], [false, false]);
    const thread = await rows.query("threads:find", { externalId: id });
    const { page } = await rows.query("messages:page", { threadId: thread._id, paginationOpts: { numItems: 10, cursor: null } });
    assert.deepEqual(page.map(({ text, status }) => [text, status]), [["stop me", "complete"], ["some", "stopped"]]);
  });

  test("stop: the id of an earlier answer stops nothing of the one that is made now", async () => {
    const { say, token, id, stream } = await guest();
    const stop = async (activeStreamId) => (await request(server, token, `/${id}/stop`, { body: { activeStreamId } })).json();
    fake.script("was over", ["one"]);
    const earlier = await say("was over");
    await chunks(earlier);
    fake.script("goes on", ["two", { hang: true }]);
    const now = await say("goes on");
    const [old, running] = [earlier, now].map(({ headers }) => headers.get("x-spool-generation-id"));
    await chunks(await stream(), (seen) => deltasOf(seen) === "two");
    assert.equal((await stop(old)).stopped, false);
    assert.equal((await stream()).headers.get("x-spool-generation-id"), running, "it goes on");
    assert.equal((await stop(running)).stopped, true);
    assert.deepEqual(kindsOf(await chunks(now)).slice(-2), ["abort", "[DONE]"]);
  });

  test("regenerate: the same message, by its id, by its question, or the newest", async () => {
    const { say, post } = await guest();
    fake.script("again", (n) => (n < 3 ? [`try ${n}`, { error: "not yet" }] : ["there"]));
    const begun = await chunks(await say("again", "question"));
    const { messageId } = begun[0].chunk;
    const bodies = [{ messageId }, { messageId: "question" }, {}];
    for (const [n, body] of bodies.entries()) {
      const seen = await chunks(await post({ trigger: "regenerate-message", messages: [], ...body }));
      assert.equal(seen[0].chunk.messageId, messageId);
      assert.equal(deltasOf(seen), n < 2 ? `try ${n + 1}` : "there");
    }
    const anew = await chunks(await post({ trigger: "regenerate-message", messageId }));
    assert.deepEqual([anew[0].chunk.messageId, deltasOf(anew)], [messageId, "there"]);
    await chunks(await say("again", "later"));
    const complete = await refused(await post({ trigger: "regenerate-message", messageId }));
    assert.deepEqual([complete.status, complete.code, complete.reason], [409, "invalid_transition", "not_newest"]);
    const other = await guest();
    fake.script("other", ["x"]);
    await chunks(await other.say("other"));
    assert.equal((await refused(await other.post({ trigger: "regenerate-message", messageId }))).code, "not_found");
  });

  test("many first requests of one chat at once make one thread", async () => {
    const { say, rows } = await guest();
    fake.script("race", ["x"]);
    const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => say("race", `race-${n}`)));
    const statuses = answers.map(({ status }) => status);
    assert.ok(statuses.includes(200) && statuses.every((status) => status === 200 || status === 409), `${statuses}`);
    for (const answer of answers) await answer.text();
    const { page } = await rows.query("threads:page", { paginationOpts: { numItems: 10, cursor: null } });
    assert.equal(page.length, 1);
  });

  test("a server that stops breaks the response instead of ending it; what there was can be read again", async (t) => {
    const own = await Server.start(t, { env: fake.env });
    const { token } = await (await fetch(`${own.url}/api/auth/guest`, { method: "POST" })).json();
    fake.script("shutdown", ["kept", { hang: true }]);
    const response = await request(own, token, "", { body: { id: "c", messages: [userMessage("u", "shutdown")] } });
    const generation = response.headers.get("x-spool-generation-id");
    const reading = chunks(response, (seen) => deltasOf(seen) === "kept" && own.stop() && false);
    await assert.rejects(reading, TypeError);
    await own.exited;
    await own.start();
    await until(async () => (await request(own, token, "/c/stream")).status === 204);
    const again = await chunks(await request(own, token, `/c/stream?activeStreamId=${generation}`));
    assert.deepEqual([deltasOf(again), kindsOf(again).slice(-3)], ["kept", ["text-end", "error", "[DONE]"]]);
  });

  test("bytes grow with the text, not with its square", async () => {
    const { append, finish, stream } = await written(server, key);
    const response = await stream();
    const word = "sixteen letters ";
    for (let n = 0; n < 400; n += 1) await append(text(word));
    await finish();
    const bytes = (await response.text()).length;
    assert.ok(bytes < 400 * (word.length + 80) + 1000, `${bytes}`);
  });
});

/** The parts that are open for a reader who has everything up to `offset`. */
function openParts(whole, offset) {
  const open = new Set();
  for (const [n, { chunk, id }] of whole.entries()) {
    // A chunk without an `id:` of its own belongs to the event whose `id:` comes next.
    const own = id !== (n === 0 ? null : whole[n - 1].id);
    const belongs = own ? id : (whole.slice(n).find((later) => later.id !== id)?.id ?? Infinity);
    if (belongs > offset) break;
    if (/^(text|reasoning)-start$/.test(chunk.type)) open.add(chunk.id);
    if (/^(text|reasoning)-end$/.test(chunk.type)) open.delete(chunk.id);
  }
  return open;
}
