// One thread in `useUIMessages`: answers stream in, become stored messages without a seam, fail, are stopped.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { answerOf, checkRenders, checkStored, dictate, guestOf, joined, over, shows, tab, text, texts, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);

/** Line ends of every kind, words of other wires, characters of several units that come in pieces. */
const AWKWARD = ["Zeile\r\n", "zwei\n", "\n", "data: x\n\n", "event: end\r", "id: 7\n", "👩", "\u200d👩", "\u200d👧 ", "e", "\u0301 ", "\u2028\u2029", "\\n \"q\" ", "</script> ", "[DONE]", "\n "];

const count = (length, word = (n) => `w${n} `) => Array.from({ length }, (_, n) => word(n));

describe("useUIMessages", { concurrency: 4 }, () => {
  test("reasoning, awkward text, a tool and a source, step by step", async (t) => {
    const user = await guestOf(server);
    const view = tab(t, server, user);
    await until(() => view.now?.status === "Exhausted");
    const { messageId, append, finish } = await written(server, key, user);
    const part = (type) => answerOf(view.now)?.parts.find((part) => part.type === type);
    for (const [n, word] of ["hm ", "é ", "so"].entries()) {
      await append({ type: "reasoning", text: word });
      await until(() => joined(answerOf(view.now), "reasoning") === "hm é so".slice(0, [3, 5, 7][n]));
    }
    let said = "";
    const say = async (word) => {
      await append(text(word));
      await shows(view, (said += word));
    };
    for (const word of AWKWARD) await say(word);
    // Progress does not cut the text.
    await append({ type: "activity", kind: "read", label: "reading" });
    await append({ type: "activity", kind: "read", label: "reading on" });
    await say("after the progress ");
    assert.equal(answerOf(view.now).parts.filter(({ type }) => type === "text").length, 1);
    await append({ type: "tool_start", toolCallId: "c1", tool: "search", input: { q: "data: x\n" } });
    await until(() => part("tool-search")?.state === "input-available");
    assert.deepEqual(part("tool-search").input, { q: "data: x\n" });
    await append({ type: "tool_end", toolCallId: "c1", output: { found: [1, null] } });
    await until(() => part("tool-search")?.state === "output-available");
    assert.deepEqual(part("tool-search").output, { found: [1, null] });
    await append({ type: "source", title: "T", url: "https://example.com/?a=1&b=2" });
    await until(() => part("source-url")?.url === "https://example.com/?a=1&b=2");
    for (const word of ["and ", "then\r\n", "the end 🎉"]) await say(word);
    assert.deepEqual([answerOf(view.now).status, answerOf(view.now).order], ["streaming", 1]);
    const streamed = answerOf(view.now);
    await finish();
    await over(view);
    await checkStored(user, view, messageId);
    checkRenders(view);
    const kinds = ({ parts }) => parts.map(({ type }) => type).filter((type) => type !== "step-start");
    assert.deepEqual(kinds(answerOf(view.now)), ["reasoning", "text", "tool-search", "source-url", "text"]);
    assert.deepEqual(kinds(streamed), kinds(answerOf(view.now)));
    assert.equal(texts(view, 1).filter((text) => text !== "").length, AWKWARD.length + 4, "each delta was on the screen");
  });

  test("at a model's own pace, by either name of the query", async (t) => {
    const user = await guestOf(server);
    const views = ["messages:listMessages", "ai/streaming:listMessages"].map((path) => tab(t, server, user, { path }));
    for (const view of views) await until(() => view.now?.status === "Exhausted");
    const deltas = [...AWKWARD, ...count(50), ...AWKWARD];
    const { messageId } = await dictate(user, { reasoning: ["a ", "b ", "c "], deltas, delayMs: 20 });
    for (const view of views) {
      await over(view);
      assert.equal((await checkStored(user, view, messageId)).text, deltas.join(""));
      checkRenders(view);
      assert.ok(texts(view, 1).length > 10, `${texts(view, 1).length} prefixes`);
      assert.equal(view.now.results.length, 2);
    }
  });

  test("a late mount has what there is at once, and the rest as it comes", async (t) => {
    const user = await guestOf(server);
    const { messageId, append, finish } = await written(server, key, user);
    const words = count(40);
    for (const word of words.slice(0, 20)) await append(text(word));
    const view = tab(t, server, user);
    await shows(view, words.slice(0, 20).join(""));
    for (const [n, word] of words.entries()) {
      if (n < 20) continue;
      await append(text(word));
      await shows(view, words.slice(0, n + 1).join(""));
    }
    await finish();
    await over(view);
    await checkStored(user, view, messageId);
    checkRenders(view);
    const seen = texts(view, 1).filter((text) => text !== "");
    assert.deepEqual(seen, count(21, (n) => words.slice(0, 20 + n).join("")));
  });

  test("a late mount of a log that comes in several pages", async (t) => {
    const user = await guestOf(server);
    const { messageId, append, finish } = await written(server, key, user);
    const pages = count(5, (n) => `${n}é🎉\n`.repeat(15_000));
    for (const page of pages) await append(text(page));
    const view = tab(t, server, user);
    await shows(view, pages.join(""));
    await append(text("end"));
    await shows(view, `${pages.join("")}end`);
    await finish();
    await over(view);
    await checkStored(user, view, messageId);
    checkRenders(view);
    assert.ok(texts(view, 1).length > 3);
  });

  test("events that show nothing hold up nothing", async (t) => {
    const user = await guestOf(server);
    const view = tab(t, server, user);
    const { messageId, append, finish } = await written(server, key, user);
    await append({ type: "tool_end", toolCallId: "nobody's", output: 1 });
    await append({ type: "activity", kind: "wait", label: "thinking" });
    const late = tab(t, server, user);
    for (const said of ["é", "éé"]) {
      for (const each of [view, late]) await until(() => answerOf(each.now)?.status === "streaming");
      await append(text("é"));
      for (const each of [view, late]) await shows(each, said);
      await append({ type: "activity", kind: "wait", label: "thinking on" });
    }
    await finish();
    for (const each of [view, late]) {
      await over(each);
      await checkStored(user, each, messageId);
      checkRenders(each);
    }
  });

  test("two tabs, one of them late, between the lines of a running model", async (t) => {
    const user = await guestOf(server);
    const first = tab(t, server, user);
    const deltas = count(80);
    const { messageId } = await dictate(user, { deltas, delayMs: 20 });
    await until(() => joined(answerOf(first.now)).includes("w40 "));
    const second = tab(t, server, user);
    for (const view of [first, second]) {
      await over(view);
      await checkStored(user, view, messageId);
      checkRenders(view);
    }
    assert.ok(texts(second, 1).length > 5);
  });

  test("turns in a row, and one that waited for the one before", async (t) => {
    const user = await guestOf(server);
    const view = tab(t, server, user);
    for (const n of [0, 1]) {
      const deltas = count(20, (at) => `${n}.${at} `);
      const { messageId } = await dictate(user, { deltas, delayMs: 15 });
      await until(() => answerOf(view.now)?.order === 2 * n + 1);
      await over(view);
      await checkStored(user, view, messageId);
      assert.ok(texts(view, 2 * n + 1).length > 4);
    }
    await dictate(user, { deltas: count(20), delayMs: 15 });
    const script = `/script ${JSON.stringify({ deltas: count(20, (n) => `v${n} `), delayMs: 15 })}`;
    await user.rows.mutation("turns:send", { threadId: user.threadId, text: script, ifBusy: "queue" });
    await until(() => view.now.results.length === 8 && view.now.results.every(({ status }) => status === "success"), { timeout: 30_000, what: "four turns" });
    assert.deepEqual(view.now.results.filter(({ role }) => role === "assistant").slice(2).map((message) => joined(message)), [count(20).join(""), count(20, (n) => `v${n} `).join("")]);
    checkRenders(view);
  });

  test("an answer that breaks off ends failed and keeps its text", async (t) => {
    const user = await guestOf(server);
    const view = tab(t, server, user);
    const { messageId } = await dictate(user, { deltas: count(20), delayMs: 15, failAfter: 12 });
    await over(view, "failed");
    assert.equal((await checkStored(user, view, messageId)).text, count(12).join(""));
    assert.ok(texts(view, 1).length > 3);
    checkRenders(view);
  });

  test("an answer that was stopped keeps its text", async (t) => {
    const user = await guestOf(server);
    const view = tab(t, server, user);
    const { messageId, generationId } = await dictate(user, { deltas: count(2000), delayMs: 15 });
    await until(() => joined(answerOf(view.now)).includes("w20 "));
    const seen = joined(answerOf(view.now));
    await user.rows.mutation("generations:stop", { generationId });
    await over(view);
    const stored = await checkStored(user, view, messageId);
    assert.equal(stored.status, "stopped");
    assert.ok(stored.text.startsWith(seen) && stored.text.length < count(2000).join("").length);
    checkRenders(view);
  });
});
