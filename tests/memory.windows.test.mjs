// Windows, summaries and memory through the front door: what the model is really sent.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { codeOf, page, settled, user } from "./lib/clients.mjs";
import { Server } from "./lib/server.mjs";
import { ToolServer } from "./lib/tool-server.mjs";
import { gate, until } from "./lib/wait.mjs";

/** The time-out is six tenths of a second, so that it can go by in a test. */
const config = `
instructions = "Be brief."

[windows.short]
timeout_minutes = 0.01

[summaries]
wait_seconds = 10
`;
const suite = { after };
const llm = await FakeLlm.start(suite);
const server = await Server.start(suite, { config, env: llm.env });

const isSummary = ({ body }) => body.messages[0].content.startsWith("You keep the summary of a conversation");
const systemOf = ({ body }) => body.messages.find((message) => message.role === "system")?.content ?? "";
const said = ({ body }) => body.messages.filter((message) => message.role !== "system").map((message) => message.content);
const count = (text, part) => text.split(part).length - 1;
const open = (client, args = {}) => client.mutation("threads:getOrCreate", args);

async function turn(client, threadId, text) {
  const sent = await client.mutation("turns:send", { threadId, text });
  return settled(client, sent.messageId);
}

/** Null until one is made. */
async function summaryOf(client, threadId) {
  const summary = await client.query("summaries:get", { threadId });
  return summary.version > 0 ? summary : null;
}

/** Opens again until the window of before is over. */
async function nextWindow(client, before) {
  return until(async () => {
    // Asking renews the window, so each look is a time-out after the one before.
    await new Promise((resolve) => setTimeout(resolve, 700));
    const opened = await open(client, { app: "short" });
    return opened.threadId !== before && opened;
  }, { what: "the window to be over" });
}

async function metric(name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(text.match(new RegExp(`^spool_${name}_total (\\d+)`, "m"))?.[1] ?? 0);
}

test("SE-05, SE-07, SE-08, AG-11: after sixteen messages the summary stands for the oldest six, once, and each builds on the last", async (t) => {
  const { client } = await user(t, server);
  const mark = "walnut";
  llm.script("<new_messages>\nUser: walnut 0", ["The first walnuts."]);
  llm.script("<summary_so_far>\nThe first walnuts.", [`All walnuts. ${"and more ".repeat(2000)}`]);
  const { threadId } = await open(client);
  for (let n = 0; n < 7; n += 1) await turn(client, threadId, `${mark} ${n}`);
  assert.equal(await summaryOf(client, threadId), null);
  await turn(client, threadId, `${mark} 7`);
  const first = await until(() => summaryOf(client, threadId), { what: "a summary" });
  assert.deepEqual([first.text, first.summarizedMessageCount, first.throughSeq, first.model], ["The first walnuts.", 6, 5, "fake-model"]);

  await turn(client, threadId, `${mark} 8`);
  const ninth = llm.of(`${mark} 8`).find((request) => !isSummary(request));
  assert.equal(count(JSON.stringify(ninth.body), "The first walnuts."), 1);
  assert.match(systemOf(ninth), /^Be brief\.\n\nEarlier conversation, in summary:\nThe first walnuts\.$/);
  assert.equal(said(ninth).length, 11, "the ten newest, and the question");
  assert.equal(said(ninth)[0], `${mark} 3`);

  for (let n = 9; n < 12; n += 1) await turn(client, threadId, `${mark} ${n}`);
  const second = await until(async () => {
    const summary = await client.query("summaries:get", { threadId });
    return summary.version === 2 && summary;
  }, { what: "the second summary" });
  assert.ok(second.text.startsWith("All walnuts."));
  assert.ok(second.tokens <= 500 && second.text.split(/\s+/).length <= 500, `${second.tokens} tokens`);
  assert.ok(second.summarizedMessageCount >= 12);
  const asked = llm.requests.filter((request) => isSummary(request) && request.asked.includes(mark));
  assert.equal(asked.length, 2);
  assert.ok(asked[1].asked.includes("The first walnuts."), "it is built on the one before");
  assert.ok(!asked[1].asked.includes(`${mark} 0\n`), "and what that one has is not told again");
});

test("SE-09: a summary that fails or hangs harms no turn, is counted, and the next turn tries again", async (t) => {
  const { client } = await user(t, server);
  const hanging = gate();
  t.after(() => hanging.open());
  const summaries = [[{ status: 500, message: "scripted" }], [{ wait: hanging.opened }, "Chestnuts, in short."]];
  llm.script("<new_messages>\nUser: chestnut 0", (n) => summaries[Math.min(n, 1)]);
  const failed = await metric("summaries_failed");
  const { threadId } = await open(client);
  for (let n = 0; n < 8; n += 1) assert.equal((await turn(client, threadId, `chestnut ${n}`)).status, "complete");
  await until(async () => (await metric("summaries_failed")) === failed + 1, { what: "the failure to be counted" });
  assert.equal(count(server.stderr, "a summary could not be made"), 1);
  // The second attempt hangs beside two answers that do not wait for it.
  for (let n = 8; n < 10; n += 1) assert.equal((await turn(client, threadId, `chestnut ${n}`)).status, "complete");
  assert.equal(await summaryOf(client, threadId), null);
  hanging.open();
  const made = await until(() => summaryOf(client, threadId), { what: "a summary" });
  assert.equal(made.text, "Chestnuts, in short.");
});

test("SE-02, SE-06: a window that closes without a summary gets one, and the next answer has it", async (t) => {
  const { client } = await user(t, server);
  const writing = gate();
  t.after(() => writing.open());
  llm.script("<new_messages>\nUser: a plum", [{ wait: writing.opened }, "They want a plum and a pear."]);
  const first = await open(client, { app: "short" });
  for (const fruit of ["a plum", "a pear"]) await turn(client, first.threadId, fruit);
  const second = await nextWindow(client, first.threadId);
  assert.deepEqual([second.isNew, second.previousSummary], [true, undefined]);
  assert.notEqual(second.sessionId, first.sessionId);
  const sent = await client.mutation("turns:send", { threadId: second.threadId, text: "go on with the fruit" });
  const asked = await until(() => llm.requests.find((request) => isSummary(request) && request.asked.includes("a plum")), { what: "the summary to be asked for" });
  assert.match(asked.asked, /User: a plum\n\nAssistant: Hello from the fake model\.\n\nUser: a pear/);
  assert.equal(llm.of("go on with the fruit").length, 0, "the answer waits for the summary");
  writing.open();
  assert.equal((await settled(client, sent.messageId)).status, "complete");
  const [request] = llm.of("go on with the fruit");
  assert.equal(count(systemOf(request), "They want a plum and a pear."), 1);
  assert.deepEqual(said(request), ["go on with the fruit"], "what the summary has is not sent besides");
  const listed = await client.query("threads:page", page());
  assert.deepEqual(listed.page.map((thread) => thread._id), [second.threadId, first.threadId]);
  const windows = await client.query("windows:page", { app: "short", ...page() });
  assert.deepEqual(windows.page.map((window) => window.threadId), [second.threadId, first.threadId]);
});

test("SE-06: where that summary fails, the end of the conversation before is quoted", async (t) => {
  const { client } = await user(t, server);
  llm.script("<new_messages>\nUser: an apple", [{ status: 500, message: "scripted" }]);
  const first = await open(client, { app: "short" });
  await turn(client, first.threadId, "an apple");
  const second = await nextWindow(client, first.threadId);
  await turn(client, second.threadId, "and now the quince?");
  const system = systemOf(llm.of("and now the quince?")[0]);
  assert.match(system, /The end of the earlier conversation:\nUser: an apple\nAssistant: Hello from the fake model\./);
});

test("SE-05: without a model the summary is made of excerpts, and says so", async (t) => {
  const own = await Server.start(t, { config: '[providers.demo]\nkind = "demo"\nwords_per_second = 0' });
  const { client } = await user(t, own);
  const { threadId } = await open(client);
  for (let n = 0; n < 8; n += 1) await turn(client, threadId, `This is question ${n}. It goes on and on.`);
  const summary = await until(() => summaryOf(client, threadId), { what: "a summary" });
  assert.equal(summary.model, "excerpts");
  assert.match(summary.text, /^Excerpts, made without a model:\n- User: This is question 0\.\n- Assistant: .+\n- User: This is question 1\.\n/);
});

test("SE-03: fifty calls at once open one window", async (t) => {
  const { http } = await user(t, server);
  const opened = await Promise.all(Array.from({ length: 50 }, () => open(http, { app: "race" })));
  assert.equal(new Set(opened.map((one) => one.threadId)).size, 1);
  assert.equal(opened.filter((one) => one.isNew).length, 1);
});

test("AG-04, AG-12: profile, instructions and memory are told as they are now", async (t) => {
  const { client } = await user(t, server);
  const { threadId } = await open(client, { app: "profile" });
  await client.mutation("profile:set", { fields: { city: "Rome" } });
  await client.mutation("instructions:set", { text: "Answer in Latin." });
  await client.mutation("memory:update", { baseVersion: 0, entries: [{ text: "keeps bees" }] });
  await turn(client, threadId, "first of the profile");
  await client.mutation("profile:set", { fields: { city: "Oslo" }, baseVersion: 1 });
  assert.equal(await codeOf(client.mutation("profile:set", { fields: {}, baseVersion: 1 })), "history_conflict");
  await turn(client, threadId, "second of the profile");
  const [first, second] = ["first", "second"].map((nth) => systemOf(llm.of(`${nth} of the profile`)[0]));
  const order = ["Be brief.", "- city: Rome", "Answer in Latin.", "- [m1] keeps bees"].map((part) => first.indexOf(part));
  assert.ok(order.every((at, n) => at >= 0 && (n === 0 || at > order[n - 1])), first);
  assert.ok(second.includes("- city: Oslo") && !second.includes("Rome"), second);
});

test("SE-08 AG-02 SE-11: a greeting in a new window is told each section once, in order, and earlier windows are hidden by no one but the front end", async (t) => {
  const tools = await ToolServer.start(t);
  tools.on("see", { listed: "a house with a mulberry" });
  const own = await Server.start(t, {
    env: llm.env,
    config: `
[windows.short]
timeout_minutes = 0.01
hide_earlier = true
[summaries]
wait_seconds = 10
[roles]
default = "broker"
[roles.known.broker]
name = "Broker"
[agents.assistant]
instructions = "The base of it."
greeting = "Greet them warmly."
page_tool = "see"
[agents.assistant.roles.broker]
instructions = "The words for a broker."
${tools.config("see", "writes = false", '{ type = "object" }')}
`,
  });
  const { client } = await user(t, own);
  llm.script("<new_messages>\nUser: a medlar", ["They want a medlar."]);
  const first = await open(client, { app: "short" });
  assert.equal(first.hideEarlier, true);
  await turn(client, first.threadId, "a medlar");
  await client.mutation("profile:set", { fields: { city: "Bergen" } });
  await client.mutation("instructions:set", { text: "Answer in Norse." });
  await client.mutation("memory:update", { baseVersion: 0, entries: [{ text: "keeps goats" }] });
  const second = await nextWindow(client, first.threadId);
  assert.deepEqual([second.isNew, second.hideEarlier], [true, true]);
  await until(() => summaryOf(client, first.threadId), { what: "the summary" });
  // Nothing is hidden by the server: the new conversation is empty by itself, and the earlier one is where it was.
  assert.deepEqual((await client.query("messages:listMessages", { threadId: second.threadId, ...page() })).page, []);
  await client.mutation("todos:update", { threadId: second.threadId, baseVersion: 0, todos: [{ text: "plant it", status: "pending" }] });
  const looked = { pageType: "deal", entityType: "house", entityId: "7" };
  const sent = await client.mutation("turns:send", { threadId: second.threadId, text: "", page: looked });
  assert.equal((await settled(client, sent.messageId)).status, "complete");
  const { sections } = await client.query("debug:prompt", { generationId: sent.generationId });
  assert.deepEqual(sections.map(({ label }) => label), ["base", "role", "profile", "memory", "page", "summary", "todos", "greeting"]);
  const request = llm.requests.find(({ system }) => system?.includes("The base of it.") && system.includes("Greet them warmly."));
  const parts = ["The base of it.", "The words for a broker.", "- city: Bergen", "Answer in Norse.", "keeps goats", "a house with a mulberry", "Earlier conversation, in summary:\nThey want a medlar.", "- to do: plant it", "Greet them warmly."];
  const places = parts.map((part) => request.system.indexOf(part));
  assert.ok(places.every((at, n) => at >= 0 && (n === 0 || at > places[n - 1])), request.system);
  for (const part of parts) assert.equal(count(request.system, part), 1, part);
  assert.equal(request.system, sections.map(({ text }) => text).join("\n\n"), "what is shown is what was sent");
  assert.deepEqual(tools.of("see").map(({ input }) => input), [looked]);

  const windows = await client.query("windows:page", { app: "short", ...page() });
  assert.deepEqual(windows.page.map(({ threadId }) => threadId), [second.threadId, first.threadId]);
  const listed = await client.query("threads:page", page());
  assert.deepEqual(listed.page.map(({ _id }) => _id), [second.threadId, first.threadId]);
  const earlier = await client.query("messages:listMessages", { threadId: first.threadId, ...page() });
  assert.ok(earlier.page.some(({ text }) => text === "a medlar"), "it remains reachable");
});

test("AG-05: an empty message opens an empty conversation, and is refused later", async (t) => {
  const { client } = await user(t, server);
  const opened = await open(client, { app: "greeting", greeting: true });
  assert.equal((await settled(client, opened.messageId)).text, "Hello from the fake model.");
  const empty = { threadId: opened.threadId, text: "" };
  assert.equal(await codeOf(client.mutation("turns:send", empty)), "empty_message");
  assert.equal((await open(client, { app: "greeting", greeting: true })).messageId, undefined);
  const { page: messages } = await client.query("messages:page", { threadId: opened.threadId, ...page() });
  assert.deepEqual(messages.map(({ role, text, opening }) => [role, text, opening]), [
    ["user", "", true],
    ["assistant", "Hello from the fake model.", undefined],
  ]);
  await turn(client, opened.threadId, "what did you greet me with?");
  assert.deepEqual(said(llm.of("what did you greet me with?")[0]).slice(1), ["Hello from the fake model.", "what did you greet me with?"]);
});

test("SE-10: clearing the memory stops what runs, and the next prompt has nothing of before", async (t) => {
  const own = await Server.start(t, { config, env: llm.env });
  const { client } = await user(t, own);
  const secret = "xylophone-in-the-attic";
  llm.script(`<new_messages>\nUser: ${secret}`, [`They have a ${secret}.`]);
  llm.script(`${secret} for ever`, [secret, { hang: true }]);
  const first = await open(client, { app: "short" });
  await turn(client, first.threadId, `${secret} once`);
  const second = await nextWindow(client, first.threadId);
  await until(() => summaryOf(client, first.threadId), { what: "the summary" });
  const third = await nextWindow(client, second.threadId);
  assert.equal(third.previousSummary, `They have a ${secret}.`);
  await client.mutation("memory:update", { baseVersion: 0, entries: [{ text: secret }] });
  await client.mutation("turns:send", { threadId: third.threadId, text: `${secret} for ever` });
  const running = await until(() => llm.of(`${secret} for ever`)[0], { what: "an answer that runs" });
  await until(async () => (await client.query("threads:get", { threadId: third.threadId })).activeGenerationId, { what: "it to be known" });

  assert.deepEqual(await client.mutation("memory:clearAll", {}), { cleared: true });
  assert.equal(await running.closed, true, "the provider is left");
  for (const { threadId } of [first, second, third]) assert.equal(await client.query("threads:get", { threadId }), null);
  assert.deepEqual((await client.query("memory:get", {})).entries, []);
  const { threadId } = await open(client, { app: "short" });
  await turn(client, threadId, "what do you know of me?");
  const [request] = llm.of("what do you know of me?");
  assert.ok(!JSON.stringify(request.body).includes(secret), "the next prompt has nothing old");
});
