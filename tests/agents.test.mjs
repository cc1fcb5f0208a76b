// Assistants over restarts: another name keeps the history, and a run that plans survives the death of the server in
// every phase.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { page, send, settled, user } from "./lib/clients.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { run, Server, temporary } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

test("AG-06: an assistant that gets another name keeps its threads, its history and its settings", async (t) => {
  const fake = await FakeLlm.start(t);
  const file = path.join(await temporary(t, "config"), "spool.toml");
  const named = (name) => writeFile(file, `[agents.helper]\nname = "${name}"\ninstructions = "You are ${name}."\n[agents.other]\nname = "Other"\n`);
  await named("Ada");
  const server = await Server.start(t, { env: fake.env, args: ["--config", file] });
  const me = await user(t, server);
  fake.script("before", ["I was Ada."]);
  const threadId = await me.client.mutation("threads:create", {});
  const before = await me.client.mutation("turns:send", { threadId, text: "before", agent: "helper" });
  await settled(me.client, before.messageId);
  await named("Grace");
  await server.restart();
  const { agents } = await me.client.query("server:info", {});
  assert.deepEqual(agents.map(({ id, name }) => [id, name]).find(([id]) => id === "helper"), ["helper", "Grace"]);
  fake.script("after", ["I am Grace."]);
  const after = await me.client.mutation("turns:send", { threadId, text: "after", agent: "helper" });
  const message = await settled(me.client, after.messageId);
  assert.deepEqual([message.text, message.agentId], ["I am Grace.", "helper"]);
  const [asked] = fake.of("after");
  assert.match(asked.system, /You are Grace\./);
  assert.deepEqual(asked.messages.map(({ role, text }) => [role, text]).filter(([role]) => role !== "system"), [["user", "before"], ["assistant", "I was Ada."], ["user", "after"]]);
  assert.equal((await me.client.query("messages:get", { messageId: before.messageId })).agentId, "helper");
});

for (const phase of ["planning", "awaiting_approval", "executing", "done"]) {
  test(`AG-08 AP-03: kill -9 while the run is ${phase}: it goes on there, and the edit of the plan is what is carried out`, async (t) => {
    const fake = await FakeLlm.start(t);
    const config = `[phases]\nawaiting_approval = "Your word"\n[agents.planner]\nphases = true\ntools = ["write_artifact"]\n[turns]\nlease_seconds = 3\n`;
    const server = await Server.start(t, { env: fake.env, config });
    const me = await user(t, server);
    const [reached, dead] = [gate(), gate()];
    let held = false;
    const hold = (name, steps) => {
      if (name !== phase || held) return steps;
      held = true;
      reached.open();
      return [{ wait: dead.opened }, { hang: true }];
    };
    const plan = { title: "Plan", content: "one" };
    fake.script("plan it", (_, { round }) =>
      [
        () => hold("planning", [{ call: { tool: "submit_plan", input: plan } }]),
        () => hold("executing", [{ call: { tool: "write_artifact", input: { kind: "report", title: "Report", content: "done" } } }]),
        () => ["Reported."],
      ][Math.min(round, 2)](),
    );
    const kill = async () => {
      await server.kill();
      dead.open();
      await server.start();
    };
    const sent = await send(me.client, "plan it");
    if (phase === "planning") {
      await reached.opened;
      await kill();
    }
    const session = () => me.client.query("sessions:getByThread", { threadId: sent.threadId });
    const asked = await until(async () => (await me.client.query("approvals:listByThread", { threadId: sent.threadId, ...page() })).page.find(({ status }) => status === "pending"), { timeout: 30_000 });
    if (phase === "awaiting_approval") await kill();
    const waiting = await session();
    assert.deepEqual([waiting.phase, waiting.phaseName], ["awaiting_approval", "Your word"]);
    await me.client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", edited: "two" });
    if (phase === "executing") {
      await reached.opened;
      await kill();
    }
    const message = await settled(me.client, sent.messageId, 60_000);
    if (phase === "done") await kill();
    assert.deepEqual([message.status, message.text], ["complete", "Reported."], JSON.stringify(message.error));
    const over = await session();
    assert.deepEqual([over.phase, over.phaseName], ["done", "Done"]);
    // AP-03: what the model is told to carry out is the edit, to the letter.
    const told = fake.requests.find(({ round }) => round === 1);
    assert.equal(JSON.parse(told.results[0].text).content, "two");
    const { page: artifacts } = await me.client.query("artifacts:listByThread", { threadId: sent.threadId, ...page() });
    assert.deepEqual(artifacts.map(({ kind, version }) => [kind, version]).sort(), [["plan", 2], ["report", 1]]);
    await server.stop();
    const doctor = await run(["doctor", "--data", server.data]);
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  });
}
