// Turns through the front door with a scripted provider: ids first, progress, stop, errors, retry. Streams
// byte by byte are in chat.streams, what is stored of a turn in chat.messages.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { follow, http, live, page, send, settled, user, watch } from "./lib/clients.mjs";
import { FakeLlm, paced } from "./lib/fake-llm.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { followSse } from "./lib/sse.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

describe("turns", { concurrency: true }, () => {
  test("ST-01 MS-03: ids, both messages and the generation are there before the model says a word", async (t) => {
    const { client } = await user(t, server);
    const word = gate();
    fake.script("st-01", [{ wait: word.opened }, "at last"]);
    const sent = await send(client, "st-01");
    const seen = watch(client, "messages:page", { threadId: sent.threadId, ...page(), order: "asc" });
    await until(() => seen.current !== undefined);
    const [question, answer] = seen.current.page;
    assert.equal(seen.current.page.length, 2);
    assert.deepEqual([question._id, question.role, question.status, question.text], [sent.userMessageId, "user", "complete", "st-01"]);
    assert.deepEqual([answer._id, answer.role, answer.text], [sent.messageId, "assistant", ""]);
    assert.equal(answer.generationId, sent.generationId);
    assert.ok(["pending", "streaming"].includes(answer.status));
    await until(() => fake.of("st-01").length === 1, { what: "the provider call" });
    word.open();
    assert.equal((await settled(client, sent.messageId)).text, "at last");
  });

  test("MS-06: what waits is answered in its order with the application closed", async (t) => {
    const { client, http: later } = await user(t, server);
    const word = gate();
    for (const n of [1, 2, 3]) fake.script(`ms-06 question ${n}`, n === 1 ? [{ wait: word.opened }, "answer 1"] : [`answer ${n}`]);
    const threadId = await client.mutation("threads:create", {});
    for (const n of [1, 2, 3]) await client.mutation("turns:send", { threadId, text: `ms-06 question ${n}`, ifBusy: "queue" });
    await within(client.close(), "the client to close");
    word.open();
    const said = async () => (await later.query("messages:page", { threadId, ...page(), order: "asc" })).page;
    await until(async () => (await said()).filter(({ role, status }) => role === "assistant" && status === "complete").length === 3, { what: "three answers" });
    assert.deepEqual((await said()).map(({ text, status }) => [text, status]), [1, 2, 3].flatMap((n) => [[`ms-06 question ${n}`, "complete"], [`answer ${n}`, "complete"]]));
    assert.deepEqual([1, 2, 3].map((n) => fake.of(`ms-06 question ${n}`).length), [1, 1, 1]);
  });

  test("ST-02: each token is shown before the next is asked for", async (t) => {
    const { client } = await user(t, server);
    const words = Array.from({ length: 30 }, (_, n) => ({ text: `w${n} `, gate: gate() }));
    fake.script("st-02 lock step", words.flatMap(({ text, gate: { opened } }) => [text, { wait: opened }]));
    const { generationId } = await send(client, "st-02 lock step");
    const log = follow(client, generationId);
    let expected = "";
    for (const word of words) {
      expected += word.text;
      await until(() => log.text === expected, { what: `the text to reach "${word.text}"` });
      word.gate.open();
    }
    assert.equal((await log.end()).final.status, "complete");
  });

  test("ST-02: 100 tokens at 30 ms show at least 50 growing prefixes", async (t) => {
    const { client } = await user(t, server);
    fake.script("st-02 paced", paced(100, 30));
    const { generationId, messageId } = await send(client, "st-02 paced");
    const log = await follow(client, generationId).end();
    assert.ok(log.prefixes.length >= 50, `${log.prefixes.length} prefixes`);
    assert.ok(log.prefixes.every((prefix, n) => n === 0 || prefix.startsWith(log.prefixes[n - 1])));
    assert.equal((await settled(client, messageId)).text, log.text);
  });

  test("ST-05 ST-06: who joins at half gets the text so far in one piece, then the tail", async (t) => {
    const { client, token } = await user(t, server);
    const half = gate();
    fake.script("st-05", [...paced(50, 1), { wait: half.opened }, ...paced(50, 1, (n) => `tail${n} `)]);
    const { generationId, messageId } = await send(client, "st-05");
    const early = follow(client, generationId);
    await until(() => early.text.endsWith("w49 "));
    const late = follow(live(t, server, token), generationId);
    await until(() => late.text.length > 0);
    assert.equal(late.prefixes[0], early.text);
    const overSse = followSse(server, token, generationId, { stop: ({ text }) => text === early.text && half.open() });
    const [a, b, c] = await Promise.all([early.end(), late.end(), overSse]);
    assert.equal(c.events.find(({ event }) => event === "text").data.text, late.prefixes[0]);
    const { text, status } = await settled(client, messageId);
    assert.equal(status, "complete");
    assert.deepEqual([a.text, b.text, c.text], [text, text, text]);
    assert.equal(c.final.event, "done");
  });

  test("ST-12: the answer is stored when everybody has left", async (t) => {
    const { client, http: reader } = await user(t, server);
    const left = gate();
    fake.script("st-12", ["before ", { wait: left.opened }, "after"]);
    const { generationId, messageId } = await send(client, "st-12");
    const log = follow(client, generationId);
    await until(() => log.text === "before ");
    await client.close();
    left.open();
    await until(async () => (await reader.query("messages:get", { messageId })).status === "complete");
    assert.equal((await reader.query("messages:get", { messageId })).text, "before after");
  });

  test("ST-10: stop on another device ends the provider call and keeps the partial text", async (t) => {
    const { client, token } = await user(t, server);
    fake.script("st-10", ["one ", "two ", { hang: true }]);
    const { threadId, generationId, messageId } = await send(client, "st-10");
    const log = follow(client, generationId);
    await until(() => log.text === "one two ");
    const device = http(server, token);
    assert.deepEqual(await device.mutation("generations:stop", { generationId }), { stopped: true });
    const [request] = fake.of("st-10");
    assert.equal(await within(request.closed, "the provider to see the cancel"), true);
    assert.equal((await log.end()).final.status, "stopped");
    const message = await settled(client, messageId);
    assert.deepEqual([message.status, message.text], ["stopped", "one two "]);
    const again = await device.mutation("generations:stop", { generationId });
    assert.equal(again.stopped, false);
    assert.equal(typeof again.reason, "string");
    assert.equal((await followSse(server, token, generationId)).final.event, "stopped");
    assert.deepEqual(await client.query("generations:active", {}), []);
    assert.equal((await settled(client, (await send(client, "after the stop", threadId)).messageId)).status, "complete");
  });

  test("ST-10: from the call that stops it, an answer is over and the provider left within half a second", async (t) => {
    const { client, token } = await user(t, server);
    const device = http(server, token);
    const times = [];
    for (let n = 0; n < 5; n += 1) {
      const key = `st-10 timed ${n}`;
      fake.script(key, ["one ", { hang: true }]);
      const { generationId } = await send(client, key);
      const log = follow(client, generationId);
      await until(() => log.text === "one ");
      const asked = performance.now();
      const after = (promise) => promise.then(() => performance.now() - asked);
      device.mutation("generations:stop", { generationId }).catch(() => {});
      times.push(await Promise.all([after(within(fake.of(key)[0].closed, "the cancel")), after(log.end())]));
    }
    t.diagnostic(`ms to the provider's cancel and to the end: ${times.map((pair) => pair.map(Math.round).join("/")).join(", ")}`);
    // The median: a machine that does other things may be late once or twice.
    for (const at of [0, 1]) assert.ok(times.map((pair) => pair[at]).sort((a, b) => a - b)[2] < 500);
  });

  test("ST-10: stop before the first token", async (t) => {
    const { client } = await user(t, server);
    fake.script("stop early", [{ hang: true }]);
    const { generationId, messageId } = await send(client, "stop early");
    await until(() => fake.of("stop early").length === 1);
    await client.mutation("generations:stop", { generationId });
    const message = await settled(client, messageId);
    assert.deepEqual([message.status, message.text], ["stopped", ""]);
    assert.equal(await within(fake.of("stop early")[0].closed, "the cancel"), true);
  });

  const failures = {
    "an error inside the stream": [[{ error: "scripted trouble" }], "provider_error", /scripted trouble/],
    "a broken connection": [[{ cut: true }], "provider_cut", /./],
    "an end without a reason": [[{ end: true }], "provider_cut", /./],
    "a chunk that is no JSON": [[{ raw: Buffer.from("data: {nonsense\n\n") }], "provider_error", /./],
  };
  for (const [name, [end, code, message]] of Object.entries(failures)) {
    test(`ST-09: ${name} at token 20 keeps the 20 tokens and leaves the streaming state everywhere`, async (t) => {
      const { client, token } = await user(t, server);
      const key = `st-09 ${name}`;
      fake.script(key, [...paced(20, 1), { wait: 50 }, ...end]);
      const { threadId, generationId, messageId } = await send(client, key);
      const [log, overSse] = await Promise.all([follow(client, generationId).end(), followSse(server, token, generationId)]);
      const stored = await settled(client, messageId);
      const text = Array.from({ length: 20 }, (_, n) => `w${n} `).join("");
      assert.deepEqual([stored.status, stored.text, log.text, overSse.text], ["error", text, text, text]);
      assert.equal(stored.error.code, code);
      assert.match(stored.error.message, message);
      assert.equal(log.final.error.code, code);
      assert.equal(overSse.final.event, "error");
      assert.equal((overSse.final.error ?? overSse.final).code, code);
      assert.equal((await client.query("threads:get", { threadId })).activeGenerationId ?? null, null);
      assert.equal((await client.query("generations:get", { generationId })).status, "error");
    });
  }

  test("ST-09: a provider that refuses is named, without its key", async (t) => {
    const { client } = await user(t, server);
    fake.script("refused 401", [{ status: 401, message: "bad key sk-fake-key-of-the-tests", type: "authentication_error" }]);
    fake.script("refused 503", [{ status: 503, message: "come back later" }]);
    for (const [key, status, retryable] of [["refused 401", "401", false], ["refused 503", "503", true]]) {
      const { error, text } = await settled(client, (await send(client, key)).messageId);
      assert.equal(error.code, "provider_error");
      assert.match(error.message, new RegExp(status));
      assert.ok(!error.message.includes("sk-fake"), error.message);
      assert.equal(error.retryable, retryable);
      assert.equal(text, "");
    }
  });

  test("MS-15: retry replaces the failed answer under the same message", async (t) => {
    const { client } = await user(t, server);
    fake.script("ms-15", (n) => (n === 0 ? ["half an ", { error: "trouble" }] : ["a whole answer"]));
    const first = await send(client, "ms-15");
    assert.equal((await settled(client, first.messageId)).status, "error");
    const retried = await client.mutation("turns:retry", { messageId: first.messageId });
    assert.equal(retried.messageId, first.messageId);
    const log = await follow(client, retried.generationId).end();
    assert.equal(log.text, "a whole answer");
    const message = await settled(client, first.messageId);
    assert.deepEqual([message.status, message.text, message.attempt, message.error], ["complete", "a whole answer", 2, undefined]);
    assert.equal(message.generationId, retried.generationId);
    const { page: history } = await client.query("messages:page", { threadId: first.threadId, ...page() });
    assert.equal(history.length, 2);
    const prompt = fake.of("ms-15")[1].body.messages.filter(({ role }) => role !== "system");
    assert.deepEqual(prompt.map(({ role }) => role), ["user"], "the failed text is not part of the prompt");
  });

  test("ST-16: active generations and the thread's own come from stored state", async (t) => {
    const { client } = await user(t, server);
    const end = gate();
    fake.script("st-16", ["x", { wait: end.opened }]);
    const turns = [await send(client, "st-16 a"), await send(client, "st-16 b")];
    const active = watch(client, "generations:active", {});
    await until(() => active.current?.length === 2);
    assert.deepEqual(new Set(active.current.map(({ _id }) => _id)), new Set(turns.map(({ generationId }) => generationId)));
    for (const { threadId, generationId } of turns) {
      assert.equal((await client.query("threads:get", { threadId })).activeGenerationId, generationId);
    }
    end.open();
    await until(() => active.current.length === 0);
  });

  test("ST-16: after a restart they are what was stored: an answer that a backend makes is active and goes on", async (t) => {
    const own = await Server.start(t, { env: fake.env });
    const { http: rows, token } = await user(t, own);
    const service = http(own, await serviceKey(own));
    const [threadId, other] = [await rows.mutation("threads:create", {}), await rows.mutation("threads:create", {})];
    const open = (threadId) => service.mutation("generations:open", { threadId, text: "go" });
    const append = (generationId, text) => service.mutation("generations:append", { generationId, events: [{ type: "text", text }] });
    const [{ generationId, messageId }, over] = [await open(threadId), await open(other)];
    for (const id of [generationId, over.generationId]) await append(id, "half ");
    await service.mutation("generations:finish", { generationId: over.generationId, status: "complete" });

    await own.restart();
    const active = await rows.query("generations:active", {});
    assert.deepEqual(active.map(({ _id, status, cursor }) => [_id, status, cursor]), [[generationId, "streaming", 5]]);
    assert.equal((await rows.query("threads:get", { threadId })).activeGenerationId, generationId);
    assert.equal((await rows.query("threads:get", { threadId: other })).activeGenerationId ?? null, null);
    const list = { threadId, ...page(), streamArgs: { kind: "list" } };
    const { streams } = await rows.query("messages:listMessages", list);
    assert.deepEqual(streams.messages.map(({ streamId, status }) => [streamId, status]), [[generationId, "streaming"]]);

    await append(generationId, "and half");
    await service.mutation("generations:finish", { generationId, status: "complete" });
    assert.equal((await followSse(own, token, generationId)).text, "half and half");
    assert.equal((await rows.query("messages:get", { messageId })).status, "complete");
    assert.deepEqual(await rows.query("generations:active", {}), []);
  });

  for (const flush of [0, 50, 250, 1000]) {
    test(`ST-17: with flush_ms = ${flush} the first delta is not delayed, and writes are bounded`, async (t) => {
      const own = await Server.start(t, { env: fake.env, config: `[turns]\nflush_ms = ${flush}\n` });
      const { client } = await user(t, own);
      const appends = async () => Number((await (await fetch(`${own.url}/metrics`)).text()).match(/^spool_log_appends_total (\d+)/m)[1]);
      const [first, rest] = [gate(), gate()];
      const key = `st-17 ${flush}`;
      fake.script(key, [{ wait: first.opened }, "w ", { wait: rest.opened }, ...paced(200, 5, () => "w ")]);
      const { generationId } = await send(client, key);
      await until(() => fake.of(key).length === 1);
      const log = follow(client, generationId);
      let begun = performance.now();
      first.open();
      await until(() => log.text === "w ", { every: 1 });
      const delay = performance.now() - begun;
      const before = await appends();
      begun = performance.now();
      rest.open();
      assert.equal((await log.end()).text, "w ".repeat(201));
      const [took, writes] = [performance.now() - begun, (await appends()) - before];
      t.diagnostic(`the first delta after ${delay.toFixed(0)} ms, then ${writes} writes in ${took.toFixed(0)} ms`);
      assert.ok(delay < 900, `the first delta took ${delay} ms`);
      assert.ok(writes >= 1);
      if (flush > 0) assert.ok(writes <= took / flush + 2, `${writes} writes in ${took} ms`);
      else assert.ok(writes > took / 50 + 2, `${writes} writes in ${took} ms: tokens were gathered`);
    });
  }

  test("ST-19: the blocking call is the streaming one, awaited", async (t) => {
    const { client, token } = await user(t, server);
    const end = gate();
    fake.script("st-19", ["streamed ", { wait: end.opened }, "and awaited"]);
    const threadId = await client.mutation("threads:create", {});
    const waiting = client.action("turns:sendAndWait", { threadId, text: "st-19" });
    const watcher = live(t, server, token);
    const active = watch(watcher, "generations:active", {});
    const running = await until(() => active.current?.[0]);
    const log = follow(watcher, running._id);
    await until(() => log.text === "streamed ");
    end.open();
    const message = await within(waiting, "the blocking call");
    assert.equal(message.text, "streamed and awaited");
    assert.equal((await log.end()).text, message.text);
    assert.deepEqual(await client.query("messages:get", { messageId: message._id }), message);
  });

  test("MS-09 MS-13: reasoning is apart from the text; model, usage and finish reason are kept", async (t) => {
    const { client } = await user(t, server);
    fake.script("ms-09", [{ reasoning: "let me " }, { reasoning: "think" }, "the ", "answer"]);
    const { generationId, messageId } = await send(client, "ms-09");
    const log = await follow(client, generationId).end();
    const message = await settled(client, messageId);
    assert.deepEqual(message.parts.map(({ type, text }) => [type, text]), [["reasoning", "let me think"], ["text", "the answer"]]);
    assert.deepEqual([message.text, log.text, log.reasoning], ["the answer", "the answer", "let me think"]);
    assert.deepEqual([message.model, message.finishReason], ["fake-model", "stop"]);
    assert.deepEqual([message.usage.inputTokens, message.usage.outputTokens], [7, 2]);
  });
});
