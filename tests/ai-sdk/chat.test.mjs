// What an application sees that uses the AI SDK as it is: every release drives the real server through its
// own transport and chat state.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { FakeLlm, paced } from "../lib/fake-llm.mjs";
import { Server } from "../lib/server.mjs";
import { gate } from "../lib/wait.mjs";
import { answerOf, chat, guestOf, reasoningOf, releases, request, shows, textOf, transport, userMessage } from "./lib.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const demo = await Server.start({ after }, { config: '[providers.demo]\nkind = "demo"\nwords_per_second = 400\n' });
const AWKWARD = "Zoë 你好 👩‍💻🏽 e\u0301\r\n\ttab  \n\ndata: [DONE]\n\nid: 7\nevent: x\n»\u2028\u2029« 🇮🇱 אב \u0007\\u0000 end";

const page = { numItems: 50, cursor: null };
async function messagesOf(rows, id) {
  const thread = await rows.query("threads:find", { externalId: id });
  return (await rows.query("messages:page", { threadId: thread._id, paginationOpts: page })).page;
}

/** One delta per character, with halves of nothing. */
const characters = (text) => Array.from(text);

for (const release of releases) {
  describe(`ai ${release.version}`, { concurrency: true }, () => {
    /** A chat of a new guest, and what is needed to look behind it. */
    async function begin(t, at = server, init = {}) {
      const { token, rows } = await guestOf(at);
      const id = (release.escapes ? "chat/?#%é " : "chat-") + randomUUID();
      return { token, rows, id, chat: chat(t, release, at, token, { id, ...init }) };
    }

    test("text and reasoning arrive byte for byte, under the server's message id", async (t) => {
      const { chat, rows, id } = await begin(t);
      fake.script(`awkward ${release.version}`, [{ reasoning: "hm " }, { reasoning: "é\n" }, ...characters(AWKWARD)]);
      await chat.sendMessage({ text: `awkward ${release.version}` });
      assert.deepEqual([chat.status, chat.faults], ["ready", []]);
      const [question, answer] = await messagesOf(rows, id);
      assert.equal(answer.text, AWKWARD);
      assert.equal(textOf(answerOf(chat)), AWKWARD);
      assert.equal(reasoningOf(answerOf(chat)), "hm é\n");
      assert.equal(answerOf(chat).id, answer._id);
      assert.equal(question.requestId, chat.messages[0].id);
      assert.deepEqual(answerOf(chat).parts.map(({ type, state }) => [type, state]), [["step-start", undefined], ["reasoning", "done"], ["text", "done"]]);
    });

    test("tool calls, sources and progress; nothing is asked of the client", async (t) => {
      const told = [];
      const { chat, rows, id } = await begin(t, demo, {
        sendAutomaticallyWhen: release.sdk.lastAssistantMessageIsCompleteWithToolCalls,
        onToolCall: () => told.push("asked to call a tool"),
      });
      await chat.sendMessage({ text: "use a tool, bitte schön" });
      assert.deepEqual([chat.status, chat.faults, told], ["ready", [], []]);
      const parts = answerOf(chat).parts;
      const call = parts.find(({ type }) => type === "tool-count_words");
      assert.deepEqual([call.state, call.output], ["output-available", { words: 5, characters: 23, longest: "schön" }]);
      assert.deepEqual(parts.filter(({ type }) => type === "source-url").map(({ url }) => url), ["https://www.unicode.org/reports/tr29/"]);
      const messages = await messagesOf(rows, id);
      assert.equal(messages.length, 2);
      assert.equal(textOf(answerOf(chat)), messages[1].text);
    });

    test("a failed answer is an error with its message, and can be made again", async (t) => {
      const { chat, rows, id } = await begin(t);
      fake.script(`fail ${release.version}`, (n) => (n === 0 ? ["half", " of", { error: "out of breath" }] : ["whole"]));
      await chat.sendMessage({ text: `fail ${release.version}` });
      const [, failed] = await messagesOf(rows, id);
      assert.equal(chat.status, "error");
      assert.equal(chat.error.message, failed.error.message);
      assert.equal(textOf(answerOf(chat)), "half of");
      await chat.regenerate();
      assert.equal(chat.status, "ready");
      const [, again, ...more] = await messagesOf(rows, id);
      assert.deepEqual(more, []);
      assert.deepEqual([again.text, again._id, again.attempt], ["whole", failed._id, 2]);
      assert.deepEqual([textOf(answerOf(chat)), answerOf(chat).id], ["whole", failed._id]);
    });

    test("stopped from elsewhere: the stream ends in order, with what there is", async (t) => {
      const { chat, rows, id, token } = await begin(t);
      fake.script(`stop ${release.version}`, ["some ", "words", { hang: true }]);
      const sent = chat.sendMessage({ text: `stop ${release.version}` });
      await shows(chat, "some words");
      const stopped = await request(server, token, `/${encodeURIComponent(id)}/stop`, { body: { assistantMessage: answerOf(chat) } });
      assert.deepEqual(await stopped.json(), { stopped: true });
      await sent;
      assert.deepEqual([chat.status, chat.faults], ["ready", []]);
      const [, answer] = await messagesOf(rows, id);
      assert.deepEqual([answer.status, answer.text, textOf(answerOf(chat))], ["stopped", "some words", "some words"]);
    });

    test("who asks for it hears why an answer ended early", async (t) => {
      const major = release.version.split(".")[0];
      const { token, id } = await begin(t);
      const key = `why ${release.version}`;
      fake.script(key, ["some", { hang: true }]);
      const headers = { authorization: `Bearer ${token}`, "x-spool-ai-sdk": major };
      const sdk = transport(release, server, token, { headers });
      const stream = await sdk.sendMessages({ chatId: id, trigger: "submit-message", messages: [userMessage("u", key)], abortSignal: AbortSignal.timeout(30_000) });
      const seen = [];
      for await (const chunk of stream) {
        seen.push(chunk);
        if (chunk.type === "text-delta") await request(server, token, `/${encodeURIComponent(id)}/stop`, { method: "POST" });
      }
      assert.deepEqual(seen.at(-1), major === "7" ? { type: "abort", reason: "stopped" } : { type: "abort" });
    });

    test("a reload in mid-stream and a second tab get the same bytes; leaving stops nothing", async (t) => {
      const { chat: first, rows, id, token } = await begin(t);
      const rest = gate();
      const key = `resume ${release.version}`;
      fake.script(key, [{ reasoning: "first" }, ...characters(AWKWARD), { wait: rest.opened }, ...paced(20, 5), AWKWARD]);
      const sent = first.sendMessage({ text: key });
      await shows(first, AWKWARD);
      const before = structuredClone(first.messages.slice(0, 1));
      const tab = chat(t, release, server, token, { id, messages: before });
      const following = tab.resumeStream();
      await shows(tab, AWKWARD);
      await first.stop(); // only a disconnect
      const reloaded = chat(t, release, server, token, { id, messages: structuredClone(before) });
      const resumed = reloaded.resumeStream();
      await shows(reloaded, AWKWARD);
      rest.open();
      await Promise.all([following, resumed, sent]);
      const [, answer] = await messagesOf(rows, id);
      assert.equal(answer.status, "complete");
      for (const reader of [tab, reloaded]) {
        assert.deepEqual([reader.status, reader.faults], ["ready", []]);
        assert.equal(textOf(answerOf(reader)), answer.text);
        assert.equal(reasoningOf(answerOf(reader)), "first");
        assert.deepEqual([answerOf(reader).id, reader.messages.length], [answer._id, 2]);
      }
      assert.equal(await transport(release, server, token).reconnectToStream({ chatId: id }), null);
    });

    test("the same message posted twice is one turn, read twice", async (t) => {
      const { rows, id, token } = await begin(t);
      const key = `twice ${release.version}`;
      const hold = gate();
      fake.script(key, ["once ", { wait: hold.opened }, "only"]);
      const post = () =>
        transport(release, server, token).sendMessages({
          chatId: id,
          trigger: "submit-message",
          messages: [userMessage("same-id", key)],
          abortSignal: AbortSignal.timeout(30_000),
        });
      const streams = await Promise.all([post(), post()]);
      hold.open();
      const whole = await Promise.all([...streams, await post()].map((stream) => last(release, stream)));
      const messages = await messagesOf(rows, id);
      assert.equal(messages.length, 2);
      assert.equal(fake.of(key).length, 1);
      for (const message of whole) assert.deepEqual([message.id, textOf(message)], [messages[1]._id, "once only"]);
    });

    test("sendMessage() without anything sends the last message again: it is the same turn", async (t) => {
      const { chat, rows, id } = await begin(t);
      const key = `resubmit ${release.version}`;
      fake.script(key, ["said once"]);
      await chat.sendMessage({ text: key });
      const [, answer] = await messagesOf(rows, id);
      chat.messages = chat.messages.slice(0, 1);
      await chat.sendMessage();
      assert.deepEqual([chat.status, chat.faults, textOf(answerOf(chat)), answerOf(chat).id], ["ready", [], "said once", answer._id]);
      assert.deepEqual([(await messagesOf(rows, id)).length, fake.of(key).length], [2, 1]);
      await chat.sendMessage({ text: "changed", messageId: chat.messages[0].id });
      assert.equal(chat.status, "error");
      assert.match(chat.error.message + JSON.stringify(chat.error.data ?? ""), /another text/);
    });

    test("from an offset on, the rest completes the message that was kept", async (t) => {
      const { id, token } = await begin(t);
      const key = `offset ${release.version}`;
      const rest = gate();
      fake.script(key, [{ reasoning: "why" }, ...characters(AWKWARD), { wait: rest.opened }, "…", ...characters(AWKWARD)]);
      const seen = { offset: null, generation: null };
      const watched = transport(release, server, token, { fetch: (url, init) => watch(url, init, seen) });
      const leave = new AbortController();
      const stream = await watched.sendMessages({ chatId: id, trigger: "submit-message", messages: [userMessage("u", key)], abortSignal: leave.signal });
      let kept;
      for await (const message of release.sdk.readUIMessageStream({ stream, onError: () => {} })) {
        kept = structuredClone(message);
        if (textOf(kept) === AWKWARD) leave.abort();
      }
      assert.equal(seen.offset, Buffer.byteLength(`why${AWKWARD}`));
      rest.open();
      const place = `?offset=${seen.offset}&activeStreamId=${seen.generation}`;
      const resuming = transport(release, server, token, {
        prepareReconnectToStreamRequest: ({ api, headers, id }) => ({ api: `${api}/${encodeURIComponent(id)}/stream${place}`, headers }),
      });
      const whole = await last(release, await resuming.reconnectToStream({ chatId: id, headers: { authorization: `Bearer ${token}` } }), kept);
      assert.deepEqual([textOf(whole), reasoningOf(whole), whole.id], [`${AWKWARD}…${AWKWARD}`, "why", kept.id]);
    });

    test("another's chat is not there", async (t) => {
      const { chat: theirs, rows, id } = await begin(t);
      fake.script(`mine ${release.version}`, ["secret"]);
      await theirs.sendMessage({ text: `mine ${release.version}` });
      const thread = await rows.query("threads:find", { externalId: id });
      const { token, rows: others } = await guestOf(server);
      const intruder = chat(t, release, server, token, { id: thread._id });
      await intruder.sendMessage({ text: "hello?" });
      assert.equal(intruder.status, "error");
      assert.match(intruder.error.message + JSON.stringify(intruder.error.data ?? ""), /No such chat/);
      await assert.rejects(transport(release, server, token).reconnectToStream({ chatId: thread._id }));
      // The same name is another chat for another user.
      assert.equal(await transport(release, server, token).reconnectToStream({ chatId: id }), null);
      fake.script(`yours ${release.version}`, ["hi"]);
      const same = chat(t, release, server, token, { id });
      await same.sendMessage({ text: `yours ${release.version}` });
      assert.deepEqual((await messagesOf(others, id)).map(({ text }) => text), [`yours ${release.version}`, "hi"]);
      assert.equal((await messagesOf(rows, id)).length, 2);
    });
  });
}

/** The message that a stream adds up to. */
async function last({ sdk }, stream, message) {
  let newest;
  const errors = [];
  for await (const state of sdk.readUIMessageStream({ stream, message, terminateOnError: true, onError: (error) => errors.push(error) })) newest = state;
  assert.deepEqual(errors, []);
  return newest;
}

/** A fetch that notes the newest `id:` and the generation of what it lets through. */
async function watch(url, init, seen) {
  const response = await fetch(url, init);
  seen.generation = response.headers.get("x-spool-generation-id");
  const decoder = new TextDecoder();
  const note = new TransformStream({
    transform(bytes, controller) {
      for (const [, id] of decoder.decode(bytes, { stream: true }).matchAll(/^id: (\d+)$/gm)) seen.offset = Number(id);
      controller.enqueue(bytes);
    },
  });
  return new Response(response.body.pipeThrough(note), { status: response.status, headers: response.headers });
}
