// Threads through the front door: defaults, updates, titles, the default thread, clearing, removing.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, http, live, page, refusal, send, settled, user, watch } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { run, Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

describe("threads", { concurrency: true }, () => {
  test("TH-01: a thread made of nothing has its defaults; given fields are kept", async (t) => {
    const { client } = await user(t, server);
    const plain = await client.query("threads:get", { threadId: await client.mutation("threads:create", {}) });
    assert.deepEqual([plain.title, plain.pinned, plain.tags, plain.status, plain.messageCount], ["New Conversation", false, [], "active", 0]);
    const given = { title: "Mine", model: "other-model", context: "project-1", tags: ["a", "b"] };
    const thread = await client.query("threads:get", { threadId: await client.mutation("threads:create", given) });
    assert.deepEqual([thread.title, thread.model, thread.context, thread.tags], ["Mine", "other-model", "project-1", ["a", "b"]]);
  });

  test("TH-04: absent fields stay, null clears, a closed status is held", async (t) => {
    const { client } = await user(t, server);
    const threadId = await client.mutation("threads:create", { title: "t", tags: ["x"], model: "m" });
    const update = (fields) => client.mutation("threads:update", { threadId, ...fields });
    await update({ pinned: true });
    await update({ title: "renamed" });
    let thread = await client.query("threads:get", { threadId });
    assert.deepEqual([thread.title, thread.pinned, thread.tags, thread.model], ["renamed", true, ["x"], "m"]);
    await update({ model: null, tags: [] });
    thread = await client.query("threads:get", { threadId });
    assert.deepEqual([thread.model ?? null, thread.tags, thread.title], [null, [], "renamed"]);
    const refused = await refusal(update({ status: "exploded", title: "not this" }));
    assert.equal(refused.code, "bad_request");
    assert.match(refused.message, /status/);
    await update({ status: "archived" });
    thread = await client.query("threads:get", { threadId });
    assert.deepEqual([thread.status, thread.title], ["archived", "renamed"]);
  });

  test("TH-05: removing a thread stops its answer and takes everything along", async (t) => {
    const { client, token } = await user(t, server);
    fake.script("th-05", ["some text ", { hang: true }]);
    const sent = await send(client, "th-05");
    const list = watch(live(t, server, token), "threads:page", page());
    await until(() => list.current?.page.length === 1 && fake.of("th-05").length === 1);
    await client.mutation("threads:remove", { threadId: sent.threadId });
    assert.equal(await within(fake.of("th-05")[0].closed, "the provider to see the cancel"), true);
    await until(() => list.current.page.length === 0);
    assert.equal(await client.query("threads:get", { threadId: sent.threadId }), null);
    assert.equal(await codeOf(client.query("messages:page", { threadId: sent.threadId, ...page() })), "not_found");
    assert.equal(await codeOf(client.mutation("turns:send", { threadId: sent.threadId, text: "hello?" })), "not_found");
    for (const path of ["messages:get", "generations:get"]) {
      const args = path === "messages:get" ? { messageId: sent.messageId } : { generationId: sent.generationId };
      const gone = await client.query(path, args).catch(({ data }) => data.code);
      assert.ok(gone === null || gone === "not_found", `${path}: ${JSON.stringify(gone)}`);
    }
    assert.deepEqual(await client.query("generations:active", {}), []);
    assert.equal(await codeOf(client.mutation("threads:remove", { threadId: sent.threadId })), "not_found");
  });

  test("TH-07: the first user message gives the title, a title that a person set is never touched", async (t) => {
    const { client } = await user(t, server);
    const title = async (threadId) => (await client.query("threads:get", { threadId })).title;
    const asked = await send(client, "Hey can you explain   escrow?");
    assert.equal(await title(asked.threadId), "Explain escrow");
    await settled(client, asked.messageId);
    await client.mutation("threads:update", { threadId: asked.threadId, title: "Mine" });
    await settled(client, (await send(client, "Something else entirely", asked.threadId)).messageId);
    assert.equal(await title(asked.threadId), "Mine");

    for (const placeholder of ["New Conversation", "New Chat", "Default Chat", "Research", "Untitled", ""]) {
      const threadId = await client.mutation("threads:create", { title: placeholder });
      await send(client, "please compare two mortgages", threadId);
      assert.equal(await title(threadId), "Compare two mortgages", `instead of "${placeholder}"`);
    }
    const given = await client.mutation("threads:create", { title: "Given" });
    await send(client, "please compare two mortgages", given);
    assert.equal(await title(given), "Given");

    const family = "👨‍👩‍👧‍👦";
    const cut = await title((await send(client, family.repeat(100))).threadId);
    assert.match(cut.replace(/…$/, ""), new RegExp(`^(${family})+$`, "u"), "emoji are cut between graphemes");
    const hebrew = "מה ההבדל בין משכנתא קבועה למשכנתא משתנה ומה עדיף למשפחה צעירה";
    const short = (await title((await send(client, hebrew)).threadId)).replace(/\s*…$/, "");
    assert.ok(hebrew.startsWith(short) && short.length > 10, short);
  });

  test("TH-08: the default thread is made once, can be cleared and not removed", async (t) => {
    const { client, token } = await user(t, server);
    const ids = await Promise.all(Array.from({ length: 50 }, () => http(server, token).mutation("threads:getOrCreateDefault", {})));
    assert.equal(new Set(ids).size, 1);
    const [threadId] = ids;
    assert.equal((await client.query("threads:get", { threadId })).isDefault, true);
    assert.equal((await client.query("threads:page", page())).page.length, 1);
    await settled(client, (await send(client, "in the default thread", threadId)).messageId);
    assert.equal(await codeOf(client.mutation("threads:remove", { threadId })), "cannot_delete_default");
    assert.equal((await client.mutation("threads:clear", { threadId })).deleted, 2);
    assert.equal((await client.query("threads:get", { threadId })).messageCount, 0);
  });

  test("TH-11: clear empties one thread, clearAll removes all, both count", async (t) => {
    const { client } = await user(t, server);
    const threads = [];
    for (let n = 0; n < 3; n += 1) {
      const sent = await send(client, `th-11 ${n}`);
      await settled(client, sent.messageId);
      threads.push(sent.threadId);
    }
    assert.equal((await client.mutation("threads:clear", { threadId: threads[0] })).deleted, 2);
    assert.deepEqual((await client.query("messages:page", { threadId: threads[0], ...page() })).page, []);
    assert.equal((await client.query("threads:get", { threadId: threads[0] })).messageCount, 0);
    assert.equal((await client.query("messages:page", { threadId: threads[1], ...page() })).page.length, 2);
    await settled(client, (await send(client, "after the clearing", threads[0])).messageId);
    assert.equal((await client.mutation("threads:clearAll", {})).deleted, 3);
    assert.deepEqual((await client.query("threads:page", page())).page, []);
  });

  test("TH-12: a change on one device is live on the other", async (t) => {
    const { client, token } = await user(t, server);
    const device = live(t, server, token);
    const list = watch(device, "threads:page", page());
    await until(() => list.current !== undefined);
    const [a, b] = [await client.mutation("threads:create", { title: "a" }), await client.mutation("threads:create", { title: "b" })];
    await until(() => list.current.page.map(({ _id }) => _id).join() === [b, a].join(), { what: "both, the latest first" });
    await client.mutation("threads:update", { threadId: a, title: "renamed", pinned: true });
    await until(() => list.current.page.some(({ title, pinned }) => title === "renamed" && pinned));
    await settled(client, (await send(client, "makes it the latest", a)).messageId);
    await until(() => list.current.page[0]._id === a, { what: "last activity first" });
    await client.mutation("threads:remove", { threadId: b });
    await until(() => list.current.page.length === 1);
    assert.deepEqual(device.faults, []);
  });

  test("PX-03: a stream re-runs no thread list", async (t) => {
    const { client } = await user(t, server);
    fake.script("px-03", Array.from({ length: 50 }, (_, n) => [{ wait: 5 }, `w${n} `]).flat());
    const list = watch(client, "threads:page", page());
    await until(() => list.current !== undefined);
    const { messageId } = await send(client, "px-03");
    await settled(client, messageId);
    await until(() => list.current.page[0]?.activeGenerationId == null);
    assert.ok(list.values.length <= 6, `the list was sent ${list.values.length} times for one answer of 50 tokens`);
  });
});

test("what is left after all of this keeps every invariant", async () => {
  const { code, stdout, stderr } = await run(["doctor", "--data", server.data]);
  assert.equal(code, 0, stdout + stderr);
});
