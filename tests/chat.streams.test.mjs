// One log, read from anywhere: any disconnect, any offset, any bytes. Whatever a reader joined together is
// the final text, over SSE and over the official client.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, describe, test } from "node:test";
import { follow, guest, http, live, refusal, send, settled, units, user } from "./lib/clients.mjs";
import { bytewise, FakeLlm, paced } from "./lib/fake-llm.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { Server } from "./lib/server.mjs";
import { followSse, SseParser } from "./lib/sse.mjs";
import { gate, random, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const seed = Number(process.env.SPOOL_TEST_SEED ?? Date.now() % 1_000_000);
const MIXED = "Zoë 你好 👩‍💻🏽 e\u0301\r\n\ttab  \n\n»data: x« 🇮🇱 אב \u2028 end";

/** `text` in deltas of one to four characters. */
function deltas(text, { below }) {
  const characters = [...text];
  const pieces = [];
  while (characters.length > 0) pieces.push(characters.splice(0, 1 + below(4)).join(""));
  return pieces;
}

/** Byte offsets of the character boundaries of `text`, both ends included. */
function boundaries(text) {
  const offsets = [0];
  for (const character of text) offsets.push(offsets.at(-1) + Buffer.byteLength(character));
  return offsets;
}

/** Follows over SSE with a cut as soon as offset `at` is reached, then from there; joins what both gave. */
async function withOneCut(token, generationId, at, query) {
  const first = await followSse(server, token, generationId, { stop: ({ offset }) => Number(offset) >= at });
  if (first.final !== null) return first.text;
  const second = await followSse(server, token, generationId, { offset: first.offset, query });
  assert.notEqual(second.final, null);
  return first.text + second.text;
}

describe("streams", { concurrency: true }, () => {
  test(`ST-03: a disconnect at every offset of a running stream loses and repeats nothing (seed ${seed})`, async (t) => {
    const { client, token } = await user(t, server);
    const { below } = random(seed);
    const start = gate();
    fake.script("every offset", [{ wait: start.opened }, ...deltas(MIXED, { below }).flatMap((text) => [text, { wait: 20 }])]);
    const { generationId, messageId } = await send(client, "every offset");
    const followers = boundaries(MIXED).map((at, n) => withOneCut(token, generationId, at, n % 2 === 0));
    start.open();
    const texts = await Promise.all(followers);
    const { text } = await settled(client, messageId);
    assert.equal(text, MIXED);
    for (const [n, joined] of texts.entries()) assert.equal(joined, text, `cut at boundary ${n}`);
  });

  test("ST-03: every offset of a finished stream gives exactly the rest, over SSE and deltas", async (t) => {
    const { client, token } = await user(t, server);
    const reader = http(server, token);
    fake.script("finished", deltas(MIXED, random(7)));
    const { generationId, messageId } = await send(client, "finished");
    assert.equal((await settled(client, messageId)).text, MIXED);
    const bytes = Buffer.from(MIXED);
    const offsets = boundaries(MIXED);
    for (let at = 0; at < offsets.length; at += 8) {
      await Promise.all(
        offsets.slice(at, at + 8).map(async (offset) => {
          const rest = bytes.subarray(offset).toString();
          const stream = await followSse(server, token, generationId, { offset });
          assert.deepEqual([stream.text, stream.final?.event], [rest, "done"], `SSE from ${offset}`);
          const log = await reader.query("generations:deltas", { generationId, cursor: offset });
          assert.equal(log.events.filter(({ type }) => type === "text").map(({ text }) => text).join(""), rest, `deltas from ${offset}`);
          assert.equal(log.cursor, offset + log.events.reduce((sum, event) => sum + units(event), 0));
          assert.equal(log.status, "complete");
        }),
      );
    }
    // From the very end there is nothing more, and no error.
    const end = (await reader.query("generations:deltas", { generationId, cursor: 0 })).cursor;
    assert.deepEqual((await reader.query("generations:deltas", { generationId, cursor: end })).events, []);
  });

  test("ST-03: an offset that was never given is refused by name, and never answered with torn text", async (t) => {
    const { client, token } = await user(t, server);
    fake.script("torn", ["aé"]);
    const { generationId, messageId } = await send(client, "torn");
    await settled(client, messageId);
    for (const cursor of [2, 1000, -1, 0.5]) {
      const data = await refusal(http(server, token).query("generations:deltas", { generationId, cursor }));
      assert.ok(["bad_request", "offset_mismatch"].includes(data.code), `${cursor}: ${data.code}`);
      for (const query of [true, false]) {
        const answer = await followSse(server, token, generationId, { offset: cursor, query }).then((seen) => seen, (error) => error);
        assert.equal(answer.status, 400, `SSE from ${query ? "?offset=" : "Last-Event-ID: "}${cursor} answered ${JSON.stringify(answer.events)}`);
        assert.equal(JSON.parse(answer.body).code, "bad_request");
      }
    }
  });

  test(`ST-03: random cuts of many readers of many streams, over SSE and the official client (seed ${seed})`, async (t) => {
    const { client, token } = await user(t, server);
    const dice = random(seed + 1);
    const proxy = await Proxy.start(t, server);
    const alphabet = [...MIXED, "word ", "\n", "`code`"];
    const streams = Array.from({ length: 6 }, (_, n) => {
      const text = Array.from({ length: 150 }, () => dice.pick(alphabet)).join("");
      fake.script(`random ${n}`, deltas(text, dice).flatMap((piece) => [piece, { wait: dice.below(15) }]));
      return text;
    });
    const turns = await Promise.all(streams.map((_, n) => send(client, `random ${n}`)));
    const readers = turns.flatMap(({ generationId }) => {
      const far = live(t, server, token, proxy.url);
      const overSync = follow(far, generationId).end(60_000).then(({ text }) => text);
      const overSse = (async () => {
        const all = { text: "", offset: undefined };
        for (;;) {
          let left = 1 + dice.below(6);
          const part = await followSse(server, token, generationId, { offset: all.offset, query: dice.below(2) === 0, stop: () => --left <= 0 });
          all.text += part.text;
          all.offset = part.offset;
          if (part.final !== null) return all.text;
        }
      })();
      return [overSync, overSse];
    });
    const cutting = setInterval(() => proxy.cut(), 250);
    const ending = setTimeout(() => clearInterval(cutting), 2500);
    t.after(() => (clearInterval(cutting), clearTimeout(ending)));
    const texts = await Promise.all(readers);
    for (const [n, { messageId }] of turns.entries()) {
      assert.equal((await settled(client, messageId)).text, streams[n]);
      assert.equal(texts[2 * n], streams[n], `stream ${n} over the official client`);
      assert.equal(texts[2 * n + 1], streams[n], `stream ${n} over SSE`);
    }
  });

  test("ST-15: awkward deltas are byte-equal over SSE, the official client and in the message", async (t) => {
    const { client, token } = await user(t, server);
    const awkward = ["\n", "  a", "data: x", "\r\n", "\r", "\n\n", "id: 5", "", " ", "event: done\ndata: {}\n\n", "👩", "\u200d", "💻", "🏽", "e", "\u0301", "\ufeff", "\u0000", "\u2028", '"\\', "</script>", "\t"];
    fake.script("awkward", awkward.flatMap((text) => [text, { wait: 5 }]));
    const { generationId, messageId } = await send(client, "awkward");
    const [log, stream] = await Promise.all([follow(client, generationId).end(), followSse(server, token, generationId)]);
    const { text } = await settled(client, messageId);
    assert.equal(text, awkward.join(""));
    assert.equal(log.text, text);
    assert.equal(stream.text, text);
    assert.equal((await followSse(server, token, generationId)).text, text);
  });

  test("ST-15: characters torn between network packets arrive whole", async (t) => {
    const { client, token } = await user(t, server);
    fake.script("bytewise", [...bytewise("你好 👩‍💻 ", 1), ...bytewise("ünïcödé", 3)]);
    const { generationId, messageId } = await send(client, "bytewise");
    const stream = await followSse(server, token, generationId);
    assert.equal(stream.text, "你好 👩‍💻 ünïcödé");
    assert.equal((await settled(client, messageId)).text, stream.text);
  });

  test("ST-15: the halves of an emoji in two deltas join", async (t) => {
    const { client, token } = await user(t, server);
    fake.script("halves", ["a", "\ud83d", { wait: 30 }, "\ude00", "b \ud83d", "\ude80"]);
    const { generationId, messageId } = await send(client, "halves");
    const stream = await followSse(server, token, generationId);
    const message = await settled(client, messageId);
    assert.deepEqual([message.status, message.text, stream.text], ["complete", "a😀b 🚀", "a😀b 🚀"]);
  });

  test("ST-14: reasoning and text keep their order in the log and in the parts", async (t) => {
    const { client, token } = await user(t, server);
    fake.script("order", [{ reasoning: "r1" }, "t1", { wait: 40 }, { reasoning: "r2" }, "t2"]);
    const { generationId, messageId } = await send(client, "order");
    const [log, stream] = await Promise.all([follow(client, generationId).end(), followSse(server, token, generationId)]);
    const wanted = [["reasoning", "r1"], ["text", "t1"], ["reasoning", "r2"], ["text", "t2"]];
    const joined = (events) => {
      const parts = [];
      for (const [type, text] of events) {
        if (parts.at(-1)?.[0] === type) parts.at(-1)[1] += text;
        else parts.push([type, text]);
      }
      return parts;
    };
    const spoken = ({ type }) => type === "text" || type === "reasoning";
    assert.deepEqual(joined(log.events.filter(spoken).map(({ type, text }) => [type, text])), wanted);
    assert.deepEqual(joined(stream.events.filter(({ event }) => spoken({ type: event })).map(({ event, data }) => [event, data.text])), wanted);
    assert.deepEqual((await settled(client, messageId)).parts.map(({ type, text }) => [type, text]), wanted);
  });

  test("ST-04: a subscriber that advances gets each byte once", async (t) => {
    const { client } = await user(t, server);
    fake.script("linear", paced(400, 2, () => "0123456789 "));
    const { generationId } = await send(client, "linear");
    const log = await follow(client, generationId).end();
    assert.equal(log.text.length, 4400);
    const received = log.events.reduce((sum, event) => sum + units(event), 0);
    assert.equal(received, log.cursor);
  });

  test("IA-05: a foreign stream is not found, and an anonymous one is refused", async (t) => {
    const { client } = await user(t, server);
    fake.script("private", ["secret"]);
    const { generationId } = await send(client, "private");
    const other = await guest(server);
    const missing = await followSse(server, other.token, generationId.replace(/.$/, (c) => (c === "0" ? "1" : "0"))).catch((error) => error);
    const foreign = await followSse(server, other.token, generationId).catch((error) => error);
    assert.equal(foreign.status, 404);
    assert.equal(foreign.body.replace(/"requestId":"[^"]*"/, ""), missing.body.replace(/"requestId":"[^"]*"/, ""));
    const anonymous = await fetch(`${server.url}/api/stream/${generationId}`);
    assert.equal(anonymous.status, 401);
    const wrong = await followSse(server, other.token, "thr_00000000000000000000000000").catch((error) => error);
    assert.equal(wrong.status, 400);
    assert.equal(JSON.parse(wrong.body).code, "bad_id");
  });
});

/** What `curl -N` gets of `target` until it has `bytes` of it, or all: whole events. */
async function curl(target, token, { headers = [], bytes = Infinity } = {}) {
  const args = ["-sN", "--max-time", "20", "-H", `authorization: Bearer ${token}`, ...headers.flatMap((header) => ["-H", header]), server.url + target];
  const child = spawn("curl", args, { stdio: ["ignore", "pipe", "inherit"] });
  const parser = new SseParser();
  const events = [];
  let seen = 0;
  for await (const chunk of child.stdout) {
    const rest = chunk.subarray(0, bytes - seen);
    seen += rest.length;
    events.push(...parser.push(rest));
    if (seen >= bytes) break;
  }
  child.kill();
  return { text: events.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text).join(""), last: events.at(-1) };
}

test("HT-03: curl -N that is cut anywhere goes on with Last-Event-ID or with ?offset=, without a gap and without a repetition", { timeout: 60_000 }, async (t) => {
  const { client, token } = await user(t, server);
  const words = Array.from({ length: 200 }, (_, n) => `wörd${n} `);
  for (const bytes of [700, 1_500, 4_001]) {
    fake.script(`for curl, ${bytes}`, words.flatMap((word) => [word, { wait: 5 }]));
    const { generationId } = await send(client, `for curl, ${bytes}`);
    const target = `/api/stream/${generationId}`;
    const first = await curl(target, token, { bytes });
    assert.notEqual(first.last.event, "done");
    const byHeader = await curl(target, token, { headers: [`Last-Event-ID: ${first.last.id}`] });
    const byQuery = await curl(`${target}?offset=${first.last.id}`, token);
    for (const rest of [byHeader, byQuery]) {
      assert.equal(first.text + rest.text, words.join(""));
      assert.equal(rest.last.event, "done");
    }
  }
});
