// Both protocols of model providers end to end: what a provider says, as it is stored, and every way in which it
// can fail. The same scripts are spoken by one provider of each kind.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { follow, page, settled, user } from "./lib/clients.mjs";
import { FakeLlm, paced, rounds } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const suite = { after };
const fake = await FakeLlm.start(suite);
const agents = `
[agents.assistant]
tools = ["*"]
max_steps = 4
[agents.wary]
model = "one/fake-model"
fallback = ["two/fake-model"]
tools = ["*"]
`;
const config = `model = "one/fake-model"\nagent = "assistant"\n${fake.config("one", "openai")}${fake.config("two", "anthropic")}${agents}`;
const server = await Server.start(suite, { config });

async function ask(client, provider, text) {
  const threadId = await client.mutation("threads:create", { model: `${provider}/fake-model` });
  return { threadId, ...(await client.mutation("turns:send", { threadId, text })) };
}

for (const [provider, api] of [["one", "openai"], ["two", "anthropic"]]) {
  describe(`a provider that speaks ${api}`, { concurrency: true }, () => {
    test("MS-09 MS-13: text, reasoning, usage and reason are what the provider said", async (t) => {
      const { client } = await user(t, server);
      const steps = [{ reasoning: "let me " }, { reasoning: "think" }, "the ", "änswer\n", { usage: { input: 100, output: 20, cached: 64 } }, { finish: "length" }];
      fake.script(`whole ${api}`, steps);
      const { messageId, generationId } = await ask(client, provider, `whole ${api}`);
      const message = await settled(client, messageId);
      assert.deepEqual(message.parts.map(({ type, text }) => [type, text]), [["reasoning", "let me think"], ["text", "the änswer\n"]]);
      assert.deepEqual([message.status, message.finishReason, message.provider, message.model], ["complete", "length", provider, "fake-model"]);
      assert.deepEqual([message.usage.inputTokens, message.usage.outputTokens, message.usage.cachedTokens], [100, 20, 64]);
      assert.equal((await follow(client, generationId).end()).reasoning, "let me think");
      assert.equal(fake.of(`whole ${api}`)[0].api, api);
    });

    test("ST-09: each way to fail ends in a typed error that names no key and keeps the text so far", async (t) => {
      const { client } = await user(t, server);
      const said = paced(5, 1);
      const text = "w0 w1 w2 w3 w4 ";
      const failures = [
        ["refused 400", [{ status: 400, message: `no such thing as ${fake.key}` }], "provider_error", false, "", /400/],
        ["refused 401", [{ status: 401, message: `bad key ${fake.key}`, type: "authentication_error" }], "provider_error", false, "", /401/],
        ["limited 429", [{ status: 429, message: "slow down", type: "rate_limit_error", headers: { "retry-after": "1" } }], "provider_error", true, "", /429/],
        ["broken 500", [{ wait: 20 }, { status: 500 }], "provider_error", true, "", /500/],
        ["overloaded 529", [{ status: 529, type: "overloaded_error" }], "provider_error", true, "", /529/],
        ["reported inside", [...said, { error: "the upstream died" }], "provider_error", true, text, /the upstream died/],
        ["cut", [...said, { cut: true }], "provider_cut", true, text, /./],
        ["no end", [...said, { end: true }], "provider_cut", true, text, /./],
        ["garbage", [...said, { garbage: "{nonsense" }], "provider_error", true, text, /not in its protocol/],
        ["call cut", [...said, { call: { tool: "search", input: { q: "x" }, torn: true } }, { cut: true }], "provider_cut", true, text, /./],
      ];
      for (const [name, steps, code, retryable, kept, message] of failures) {
        const key = `${name} of ${api}`;
        fake.script(key, steps);
        const stored = await settled(client, (await ask(client, provider, key)).messageId);
        assert.deepEqual([stored.status, stored.text, stored.error.code, stored.error.retryable], ["error", kept, code, retryable], key);
        assert.match(stored.error.message, message);
        assert.equal(stored.error.message.includes(fake.key), false);
      }
    });

    test("ST-10: a silent and a slow provider are left at once when the user stops", async (t) => {
      const { client } = await user(t, server);
      for (const [name, steps] of [["silent", ["so far ", { hang: true }]], ["slow", ["so far ", { slow: 60_000 }, "never"]]]) {
        const key = `${name} ${api}`;
        fake.script(key, steps);
        const { messageId, generationId } = await ask(client, provider, key);
        await until(() => fake.of(key)[0]?.sent === "so far ");
        await until(async () => (await client.query("generations:deltas", { generationId, cursor: 0 })).events.length > 0);
        await client.mutation("generations:stop", { generationId });
        const message = await settled(client, messageId);
        assert.deepEqual([message.status, message.text], ["stopped", "so far "]);
        assert.equal(await within(fake.of(key)[0].closed, "the connection to be closed"), true);
      }
    });

    test("TC-05 TC-06: parallel calls, good and bad, get their own results, and the other protocol reads them later", async (t) => {
      const { client } = await user(t, server);
      const made = [
        { tool: "write_artifact", input: { kind: "document", title: "A", content: "one ".repeat(50) }, pieces: 7 },
        { tool: "no such tool", input: {} },
        { tool: "write_artifact", input: { kind: 7, title: "B", content: "x" } },
        { tool: "read_todos", arguments: '{"torn": "in the mid', pieces: 2 },
        { tool: "list_artifacts", arguments: "" },
      ];
      const key = `parallel ${api}`;
      fake.script(key, rounds(["I call. ", { calls: made }, { usage: { input: 50, output: 5 } }], ["All ", "done.", { usage: { input: 90, output: 2 } }]));
      const { threadId, messageId } = await ask(client, provider, key);
      const message = await settled(client, messageId);
      assert.deepEqual([message.status, message.text], ["complete", "I call. All done."], JSON.stringify(message.error));
      assert.deepEqual([message.usage.inputTokens, message.usage.outputTokens], [140, 7]);
      const parts = message.parts.filter(({ type }) => type === "tool_call");
      assert.deepEqual(parts.map(({ tool, state }) => [tool, state]), made.map(({ tool }, n) => [tool, n === 0 || n === 4 ? "completed" : "error"]));

      const [first, second] = fake.of(key);
      assert.ok(first.tools.includes("write_artifact") && second.refused === undefined, second.refused);
      const [{ calls }] = second.messages.filter(({ calls }) => calls.length > 0);
      assert.deepEqual(second.results.map(({ id }) => id), calls.map(({ id }) => id), "each call is followed by its result");
      const texts = second.results.map(({ text }) => text);
      [/artifactId/, /There is no tool no such tool/, /kind/, /arguments of read_todos/, /"A"/].forEach((said, n) => assert.match(texts[n], said));
      if (api === "anthropic") assert.deepEqual(second.results.map(({ failed }) => failed), [false, true, true, true, false]);

      const other = `${provider === "one" ? "two" : "one"}/fake-model`;
      fake.script(`later than ${api}`, ["read"]);
      const sent = await client.mutation("turns:send", { threadId, text: `later than ${api}`, model: other });
      assert.equal((await settled(client, sent.messageId)).text, "read");
      const [later] = fake.of(`later than ${api}`);
      assert.deepEqual([later.refused, later.messages.flatMap((message) => message.results).length], [undefined, made.length]);
    });

    test("TC-07: a model that calls for ever is ended after its steps, with a word for it", async (t) => {
      const { client } = await user(t, server);
      const key = `for ever ${api}`;
      fake.script(key, (n) => [{ call: { tool: "list_artifacts", input: {}, id: n < 2 ? "again" : undefined } }]);
      const { messageId } = await ask(client, provider, key);
      const message = await settled(client, messageId);
      assert.deepEqual([message.status, message.finishReason, fake.of(key).length], ["complete", "max_steps", 4]);
      const ids = message.parts.filter(({ type }) => type === "tool_call").map(({ toolCallId }) => toolCallId);
      assert.equal(new Set(ids).size, 4, "a server that gives an id twice does not mix two calls up");
      assert.equal(fake.of(key).some(({ refused }) => refused !== undefined), false);
    });

    test("ST-09: AR-08: an answer that breaks off in a call runs none of it, and keeps what people saw of its document", async (t) => {
      const { client } = await user(t, server);
      const key = `mid call ${api}`;
      const write = { kind: "document", title: "half", content: "never" };
      fake.script(key, ["before ", { call: { tool: "write_artifact", input: write, torn: true } }, { cut: true }]);
      const { threadId, messageId } = await ask(client, provider, key);
      const message = await settled(client, messageId);
      assert.deepEqual([message.status, message.error.code, message.text], ["error", "provider_cut", "before "]);
      assert.deepEqual((await client.query("toolCalls:listByThread", { threadId, ...page() })).page, []);
      const { page: artifacts } = await client.query("artifacts:listByThread", { threadId, ...page() });
      assert.deepEqual(artifacts.map(({ title, version, writing }) => [title, version, writing]), [["half", 1, undefined]]);
      const { cut, content } = await client.query("artifacts:get", { artifactId: artifacts[0]._id });
      assert.deepEqual([cut, content], [true, "never"]);
    });

    test("AG-13: a model that finds the conversation too long is asked with the newer half of it", async (t) => {
      const { client } = await user(t, server);
      const key = `question for ${api}`;
      const tooLong = [{ status: 400, message: "prompt is too long: 205000 tokens > 200000 maximum", type: "invalid_request_error" }];
      fake.script(key, (n) => (n < 2 ? tooLong : ["short enough"]));
      const { threadId, messageId: first } = await ask(client, provider, `1 for ${api}`);
      await settled(client, first);
      for (const at of [2, 3, 4]) await settled(client, (await client.mutation("turns:send", { threadId, text: `${at} for ${api}` })).messageId);
      const { messageId, generationId } = await client.mutation("turns:send", { threadId, text: key });
      const message = await settled(client, messageId);
      assert.deepEqual([message.status, message.text], ["complete", "short enough"], JSON.stringify(message.error));
      const asked = fake.of(key).map(({ messages }) => [messages.length, messages[0].text]);
      assert.deepEqual(asked, [[9, `1 for ${api}`], [5, `3 for ${api}`], [3, `4 for ${api}`]]);
      const { fallbacks } = await client.query("generations:get", { generationId });
      assert.deepEqual(fallbacks.map(({ leftOut, error }) => [leftOut, error.code]), [[4, "provider_error"], [2, "provider_error"]]);
      assert.equal((await client.query("messages:page", { threadId, ...page() })).page.length, 10, "nothing of the thread is lost");
    });

    test("a conversation goes on with the other protocol", async (t) => {
      const { client } = await user(t, server);
      fake.script(`first with ${api}`, ["an answer"]);
      fake.script(`second after ${api}`, ["another"]);
      const { threadId, messageId } = await ask(client, provider, `first with ${api}`);
      await settled(client, messageId);
      const model = `${provider === "one" ? "two" : "one"}/fake-model`;
      const sent = await client.mutation("turns:send", { threadId, text: `second after ${api}`, model });
      assert.equal((await settled(client, sent.messageId)).text, "another");
      const [request] = fake.of(`second after ${api}`);
      assert.notEqual(request.api, api);
      assert.deepEqual(request.messages.map(({ role, text }) => [role, text]), [["user", `first with ${api}`], ["assistant", "an answer"], ["user", `second after ${api}`]]);
      assert.equal((await client.query("messages:page", { threadId, ...page() })).page.length, 4);
    });
  });
}

test("AG-13: the other protocol goes on in the same message where a model fails after its calls", async (t) => {
  const { client } = await user(t, server);
  const threadId = await client.mutation("threads:create", {});
  const refuse = [{ status: 500, message: "not today" }];
  fake.script({ asked: "fall back", api: "openai" }, rounds(["first ", { call: { tool: "list_artifacts", input: {} } }], refuse));
  fake.script({ asked: "fall back", api: "anthropic" }, ["and second"]);
  const { messageId, generationId } = await client.mutation("turns:send", { threadId, text: "fall back", agent: "wary" });
  const message = await settled(client, messageId);
  assert.deepEqual([message.status, message.text, message.provider], ["complete", "first and second", "two"], JSON.stringify(message.error));
  assert.deepEqual(fake.of("fall back").map(({ api, refused }) => [api, refused]), [["openai", undefined], ["openai", undefined], ["anthropic", undefined]]);
  assert.equal(fake.of("fall back")[2].results.length, 1);
  const { fallbacks } = await client.query("generations:get", { generationId });
  assert.deepEqual(fallbacks.map(({ provider, error }) => [provider, error.code]), [["one", "provider_error"]]);
});
