// AR-08 for assistants of the server: people watch a document grow while the model writes the call that makes it.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { live, page, send, settled, user, watch } from "./lib/clients.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { run, Server } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const AGENT = `
[agents.assistant]
tools = ["write_artifact", "list_artifacts"]
[agents.careful]
tools = ["write_artifact"]
high_risk = ["write_artifact"]
`;
const configOf = (fake, provider) => `model = "${provider}/fake-model"\nagent = "assistant"\n${fake.config("one", "openai")}${fake.config("two", "anthropic")}${AGENT}`;
const CONTENT = Array.from({ length: 60 }, (_, n) => `Zeile ${n}: "grün" \\ 😀\n`).join("");

/** Every state of a version as one device sees it grow, going on at each cursor: `{states, text, done}`. */
function follow(client, artifactId, version = 1) {
  const seen = { states: [], text: "", done: false };
  const from = (cursor) => {
    const stop = client.onUpdate("artifacts:deltas", { artifactId, version, cursor }, (result) => {
      if (result.text === "" && !result.done) return;
      stop();
      seen.text += result.text;
      seen.states.push(seen.text);
      seen.done = result.done;
      if (!result.done) from(result.cursor);
    });
  };
  from(0);
  return seen;
}

const artifactsOf = async (client, threadId) => (await client.query("artifacts:listByThread", { threadId, ...page() })).page;

for (const [provider, api] of [["one", "openai"], ["two", "anthropic"]]) {
  const fake = await FakeLlm.start({ after });
  const server = await Server.start({ after }, { config: configOf(fake, provider) });
  describe(`documents of a model that speaks ${api}`, { concurrency: true }, () => {
    test("AR-08: a second device sees it grow before the call is made; then it is one document of one version", async (t) => {
      const me = await user(t, server);
      const phone = live(t, server, me.token);
      const input = { kind: "report", title: "Report", content: CONTENT };
      const pieces = 24;
      // Each further piece waits until the other device has seen that there is more than before.
      let reader;
      const threadId = await me.client.mutation("threads:create", {});
      const between = async (n) => {
        if (n < 4) return;
        reader ??= follow(phone, (await until(async () => (await artifactsOf(phone, threadId))[0]))._id);
        await until(() => reader.states.length >= Math.min(n - 3, 12), { what: `state ${n - 3}` });
      };
      fake.script("report please", rounds(["Here. ", { call: { tool: "write_artifact", input, pieces, between } }], ["Done."]));
      const sent = await send(me.client, "report please", threadId);
      const log = watch(phone, "generations:deltas", { generationId: sent.generationId, cursor: 0 });
      const early = await until(async () => (await artifactsOf(phone, threadId))[0]);
      assert.deepEqual([early.version, early.writing, early.title, early.kind], [0, 1, "Report", "report"]);
      await until(() => log.current?.events.some(({ type, artifactId }) => type === "artifact" && artifactId === early._id), { what: "the card in the log" });
      await until(() => reader?.states.length >= 12, { what: "a dozen states" });
      const message = await settled(me.client, sent.messageId);
      await until(() => reader.done);

      assert.deepEqual([message.status, message.text], ["complete", "Here. Done."], JSON.stringify(message.error));
      const growing = reader.states.filter((text) => text.length < CONTENT.length);
      assert.ok(growing.length >= 12, `${growing.length} growing states`);
      assert.ok(reader.states.every((text) => CONTENT.startsWith(text)));
      assert.equal(reader.text, CONTENT);
      const [artifact, ...others] = await artifactsOf(phone, threadId);
      assert.deepEqual([artifact._id, artifact.version, artifact.writing, others.length], [early._id, 1, undefined, 0]);
      const whole = await phone.query("artifacts:get", { artifactId: artifact._id });
      assert.deepEqual([whole.content, whole.cut, whole.title, whole.kind], [CONTENT, undefined, "Report", "report"]);
      assert.equal((await phone.query("artifacts:versions", { artifactId: artifact._id, ...page() })).page.length, 1);
      const [call] = (await phone.query("toolCalls:listByThread", { threadId, ...page() })).page;
      assert.deepEqual([call.state, call.output.artifactId, whole.toolCallId], ["completed", artifact._id, call.toolCallId]);
      assert.deepEqual(message.parts.map(({ type }) => type), ["text", "artifact", "tool_call", "text"]);
      assert.deepEqual([...me.client.faults, ...phone.faults], []);
    });

    test("AR-08: two documents at once, and names that come last, end as their calls say", async (t) => {
      const me = await user(t, server);
      const of = (title) => ({ content: `${title} `.repeat(40), title, kind: "code" });
      const held = gate();
      const write = (title) => ({ tool: "write_artifact", input: of(title), pieces: 6, between: (n) => (n === 5 ? held.opened : 5) });
      fake.script("two please", rounds([{ calls: [write("first"), write("second")] }], ["Both."]));
      const sent = await send(me.client, "two please");
      const early = await until(async () => (await artifactsOf(me.client, sent.threadId))[0]);
      assert.deepEqual([early.title, early.kind, early.writing], ["Untitled", "document", 1]);
      held.open();
      const message = await settled(me.client, sent.messageId);
      assert.equal(message.status, "complete", JSON.stringify(message.error));
      const artifacts = await artifactsOf(me.client, sent.threadId);
      const seen = await Promise.all(artifacts.map(({ _id }) => me.client.query("artifacts:get", { artifactId: _id })));
      const said = ({ title, kind, content, version, cut }) => [title, kind, content, version, cut];
      assert.deepEqual(seen.map(said).sort(), ["first", "second"].map((title) => [title, "code", of(title).content, 1, undefined]));
      const cards = message.parts.filter(({ type }) => type === "artifact");
      assert.deepEqual(cards.map(({ title }) => title).sort(), ["first", "second"]);
    });

    test("AR-08: a stop in the middle keeps what was seen, marked as cut", async (t) => {
      const me = await user(t, server);
      const input = { kind: "document", title: "Stopped", content: CONTENT };
      const never = gate();
      fake.script("stop me", [{ call: { tool: "write_artifact", input, pieces: 10, between: (n) => (n === 5 ? never.opened : 5) } }]);
      const sent = await send(me.client, "stop me");
      const { _id } = await until(async () => (await artifactsOf(me.client, sent.threadId))[0]);
      const reader = follow(me.client, _id);
      await until(() => reader.text.length > CONTENT.length / 4);
      await me.client.mutation("generations:stop", { generationId: sent.generationId });
      assert.equal((await settled(me.client, sent.messageId)).status, "stopped");
      never.open();
      const artifacts = await artifactsOf(me.client, sent.threadId);
      assert.deepEqual(artifacts.map(({ version, writing }) => [version, writing]), [[1, undefined]]);
      const kept = await me.client.query("artifacts:get", { artifactId: _id });
      assert.equal(kept.cut, true);
      assert.ok(kept.content.length >= reader.text.length && CONTENT.startsWith(kept.content));
    });

    test("AR-08 AP-01: what a person is asked about is not there before they agree", async (t) => {
      const me = await user(t, server);
      const input = { kind: "document", title: "Asked", content: CONTENT };
      fake.script("ask first", rounds([{ call: { tool: "write_artifact", input, pieces: 10, between: () => 10 } }], ["Done."]));
      const sent = await me.client.mutation("turns:send", { threadId: await me.client.mutation("threads:create", {}), text: "ask first", agent: "careful" });
      const { threadId } = await me.client.query("messages:get", { messageId: sent.messageId });
      const asked = await until(async () => (await me.client.query("approvals:listByThread", { threadId, ...page() })).page[0]);
      assert.deepEqual(await artifactsOf(me.client, threadId), []);
      await me.client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve" });
      assert.equal((await settled(me.client, sent.messageId)).status, "complete");
      assert.deepEqual((await artifactsOf(me.client, threadId)).map(({ title, version }) => [title, version]), [["Asked", 1]]);
    });

    test("AR-08 ST-09: kill -9 in the middle leaves one document, marked as cut, and nothing else", async (t) => {
      const fake = await FakeLlm.start(t);
      const own = await Server.start(t, { config: configOf(fake, provider) });
      const me = await user(t, own);
      const killed = gate();
      const input = { kind: "report", title: "Killed", content: CONTENT };
      fake.script("kill me", [{ call: { tool: "write_artifact", input, pieces: 10, between: (n) => (n === 6 ? killed.opened : 5) } }]);
      const sent = await send(me.client, "kill me");
      const { _id } = await until(async () => (await artifactsOf(me.client, sent.threadId))[0]);
      const reader = follow(me.client, _id);
      await until(() => reader.text.length > CONTENT.length / 4);
      const seen = reader.text;
      await own.kill();
      killed.open();
      await own.start();
      const message = await settled(me.client, sent.messageId);
      assert.deepEqual([message.status, message.error.code], ["interrupted", "interrupted"]);
      assert.ok(message.parts.some(({ type, artifactId }) => type === "artifact" && artifactId === _id), "the card is in the message");
      const artifacts = await artifactsOf(me.client, sent.threadId);
      assert.deepEqual(artifacts.map((row) => [row._id, row.version, row.writing]), [[_id, 1, undefined]]);
      const kept = await me.client.query("artifacts:get", { artifactId: _id });
      assert.equal(kept.cut, true);
      assert.ok(kept.content.startsWith(seen) && CONTENT.startsWith(kept.content), "what was seen is kept");
      await own.stop();
      const doctor = await run(["doctor", "--data", own.data]);
      assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
    });
  });
}
