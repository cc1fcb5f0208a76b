// What a turn leaves in its thread: once per request, one running at a time, parts and order.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { codeOf, http, live, page, refusal, settled, user, watch } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { serviceKey, Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

describe("messages of a turn", { concurrency: true }, () => {
  test("MS-03: no view of the thread ever has the question without its answer's place", async (t) => {
    const { client, token } = await user(t, server);
    const other = live(t, server, token);
    const threadId = await client.mutation("threads:create", {});
    const seen = watch(other, "messages:page", { threadId, ...page(), order: "asc" });
    await until(() => seen.current !== undefined);
    for (let n = 0; n < 5; n += 1) {
      const { messageId } = await client.mutation("turns:send", { threadId, text: `round ${n}` });
      await settled(client, messageId);
    }
    await until(() => seen.current.page.length === 10 && seen.current.page.at(-1).status === "complete");
    for (const { page: messages } of seen.values) assert.equal(messages.length % 2, 0);
    assert.deepEqual(seen.current.page.map(({ seq }) => seq), seen.current.page.map((_, n) => n + seen.current.page[0].seq), "dense order");
  });

  test("MS-04: the same request ten times at once is one turn", async (t) => {
    const { client, token } = await user(t, server);
    const threadId = await client.mutation("threads:create", {});
    const requestId = randomUUID();
    const callers = [client, live(t, server, token), ...Array.from({ length: 8 }, () => http(server, token))];
    const answers = await Promise.all(callers.map((caller) => caller.mutation("turns:send", { threadId, text: "ms-04", requestId })));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    await settled(client, answers[0].messageId);
    const { page: messages } = await client.query("messages:page", { threadId, ...page() });
    assert.equal(messages.length, 2);
    assert.equal(fake.of("ms-04").length, 1);
    const late = await client.mutation("turns:send", { threadId, text: "ms-04", requestId });
    assert.deepEqual(late, answers[0]);
  });

  test("MS-06: of parallel sends one runs, the others hear thread_busy", async (t) => {
    const { client, token } = await user(t, server);
    const threadId = await client.mutation("threads:create", {});
    fake.script("ms-06", [{ hang: true }]);
    const sends = Array.from({ length: 12 }, () => http(server, token).mutation("turns:send", { threadId, text: "ms-06" }));
    const outcomes = await Promise.allSettled(sends);
    const [accepted] = outcomes.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
    const codes = outcomes.filter(({ status }) => status === "rejected").map(({ reason }) => reason.data?.code);
    assert.deepEqual(codes, Array.from({ length: 11 }, () => "thread_busy"));
    const active = await client.query("generations:active", {});
    assert.deepEqual(active.map(({ _id }) => _id), [accepted.generationId]);
    assert.equal(await codeOf(client.mutation("turns:retry", { messageId: accepted.messageId })).then((code) => code === "thread_busy" || code === "invalid_transition"), true);
    await client.mutation("generations:stop", { generationId: accepted.generationId });
    await settled(client, accepted.messageId);
    assert.equal((await client.query("messages:page", { threadId, ...page() })).page.length, 2);
  });

  test("MS-06: with the policy to queue, turns wait and run one after the other", async (t) => {
    const own = await Server.start(t, { env: fake.env, config: '[turns]\nwhen_busy = "queue"\n' });
    const { client } = await user(t, own);
    fake.script("queued", [{ wait: 20 }, "ok"]);
    const threadId = await client.mutation("threads:create", {});
    const turns = await Promise.all(["queued 1", "queued 2", "queued 3"].map((text) => client.mutation("turns:send", { threadId, text })));
    assert.deepEqual(turns.map(({ queued }) => queued ?? false), [false, true, true]);
    const [active, list] = [watch(client, "generations:active", {}), watch(client, "messages:page", { threadId, ...page(), order: "asc" })];
    await until(() => list.current?.page.length === 6 && list.current.page.every(({ status }) => status === "complete"), { what: "three answers" });
    assert.ok(active.values.every((generations) => generations.length <= 1), "never two at once");
    assert.deepEqual(list.current.page.map(({ text }) => text), ["queued 1", "ok", "queued 2", "ok", "queued 3", "ok"]);
    assert.deepEqual(fake.of("queued").map(({ asked }) => asked), ["queued 1", "queued 2", "queued 3"]);
  });

  test("MS-07: every kind of part makes the round trip; text is the join of the text parts", async (t) => {
    const { client, token } = await user(t, server);
    const service = http(server, await serviceKey(server));
    const threadId = await client.mutation("threads:create", {});
    const parts = [
      { type: "reasoning", text: "not content" },
      { type: "text", text: " one\n" },
      { type: "tool_call", toolCallId: "c1", tool: "search", state: "completed", input: { q: ["x", 1, null] }, output: { hits: 2.5 } },
      { type: "text", text: "" },
      { type: "text", text: "  two" },
      { type: "source", title: "A source", url: "https://example.org/ü", snippet: "…" },
      { type: "data", mediaType: "application/x-thing", json: { deep: [{ a: true }] } },
    ];
    const messageId = await service.mutation("messages:append", { threadId, role: "assistant", parts });
    const message = await http(server, token).query("messages:get", { messageId });
    assert.deepEqual(message.parts.filter(({ type, text }) => type !== "text" || text !== ""), parts.filter(({ type, text }) => type !== "text" || text !== ""));
    assert.equal(message.text, " one\n  two");
    const plainId = await client.mutation("messages:append", { threadId, role: "user", text: "plain" });
    assert.deepEqual((await client.query("messages:get", { messageId: plainId })).parts, [{ type: "text", text: "plain" }]);
    const refused = await refusal(client.mutation("messages:append", { threadId, role: "assistant", text: "I, the model" }));
    assert.equal(refused.code, "forbidden", "MS-01");
  });
});
