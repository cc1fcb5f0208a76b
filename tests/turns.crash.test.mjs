// kill -9 at every boundary of a turn that calls a tool, asks a person, and writes: the turn goes on after the
// restart, no effect happens twice, no approval is lost, and nothing is left behind.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { page, send, settled, user } from "./lib/clients.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { run, Server } from "./lib/server.mjs";
import { ToolServer } from "./lib/tool-server.mjs";
import { gate, until } from "./lib/wait.mjs";

const suite = { after };

/** Where the server is killed, in the order in which a turn comes there. */
const POINTS = [
  "sent",
  "the model is asked",
  "the first call is outside",
  "the model is asked with its result",
  "the approval waits",
  "decided",
  "the write is outside, and has no effect yet",
  "the write has its effect, and nobody knows",
  "the model is asked with the result of the write",
  "finished",
];

/** A tool that says nothing of repetitions is not called twice, and nobody claims to know what it did. */
const DOUBTFUL = POINTS.filter((point) => point.startsWith("the write "));
const CASES = [...POINTS.map((point) => ({ point, idempotent: true })), ...DOUBTFUL.map((point) => ({ point, idempotent: false }))];

describe("kill -9 between every two steps", { concurrency: 3 }, () => {
  for (const { point, idempotent } of CASES) {
    test(`TC-08 AP-04: ${point}${idempotent ? "" : ", and the tool is not idempotent"}`, async (t) => {
      const [fake, tools] = await Promise.all([FakeLlm.start(t), ToolServer.start(t)]);
      const config = `
[agents.assistant]
tools = ["look", "write"]
[turns]
lease_seconds = 3
${tools.config("look", "writes = false")}
${tools.config("write", `writes = true\nidempotent = ${idempotent}`)}
`;
      const server = await Server.start(t, { env: fake.env, config });
      const me = await user(t, server);
      const reached = gate();
      const killed = gate();
      /** Says that the point is there, and holds what comes next until the server is dead; later it does nothing. */
      const at = async (name) => {
        if (name !== point || reached.isOpen) return;
        reached.isOpen = true;
        reached.open();
        await killed.opened;
      };
      tools.on("look", async () => {
        await at("the first call is outside");
        return { found: "it" };
      });
      tools.on("write", async ({ key, input }, { effects }) => {
        await at("the write is outside, and has no effect yet");
        const times = (effects.get(key)?.times ?? 0) + 1;
        effects.set(key, { input, times });
        await at("the write has its effect, and nobody knows");
        return { written: input };
      });
      const asked = (name, steps) => {
        if (name !== point || reached.isOpen) return steps;
        reached.isOpen = true;
        reached.open();
        return [{ wait: killed.opened }, { hang: true }];
      };
      fake.script("go", (_, { round }) =>
        [
          () => asked("the model is asked", [{ call: { tool: "look", input: {} } }]),
          () => asked("the model is asked with its result", [{ call: { tool: "write", input: { of: "this" } } }]),
          () => asked("the model is asked with the result of the write", ["All ", "done."]),
        ][Math.min(round, 2)](),
      );
      const kill = async () => {
        await server.kill();
        killed.open();
        await server.start();
      };
      const sent = await send(me.client, "go");
      if (point === "sent") await kill();
      const approvals = async () => (await me.client.query("approvals:listByThread", { threadId: sent.threadId, ...page() })).page;
      const waits = () => until(async () => (await approvals()).find(({ status }) => status === "pending"), { timeout: 30_000, what: "the approval to wait" });
      const early = POINTS.indexOf(point) < POINTS.indexOf("the approval waits");
      if (early && point !== "sent") {
        await reached.opened;
        await kill();
      }
      const pending = await waits();
      if (point === "the approval waits") await kill();
      await me.client.mutation("approvals:decide", { approvalId: pending._id, decision: "approve" });
      if (point === "decided") await kill();
      if (point.includes("write")) {
        await reached.opened;
        await kill();
      }
      const message = await settled(me.client, sent.messageId, 60_000);
      if (point === "finished") await kill();

      assert.deepEqual([message.status, message.text], ["complete", "All done."], JSON.stringify(message.error));
      const { page: rows } = await me.client.query("toolCalls:listByThread", { threadId: sent.threadId, ...page() });
      const written = idempotent ? "completed" : "error";
      assert.deepEqual(rows.reverse().map(({ tool, state }) => [tool, state]), [["look", "completed"], ["write", written]]);
      if (!idempotent) {
        assert.match(rows[1].error, /Whether it had its effect is not known/);
        assert.equal(tools.of("write").length, 1);
      }
      // One key, whatever was repeated: the effect is one.
      assert.deepEqual(new Set(tools.of("write").map(({ key }) => key)), new Set([rows[1]._id]));
      assert.equal(tools.effects.size, 1);
      assert.ok(tools.of("write").length <= (point.startsWith("the write") ? 2 : 1), `written ${tools.of("write").length} times`);
      const decided = await approvals();
      assert.deepEqual(decided.map(({ status, resolvedBy }) => [status, resolvedBy]), [["approved", me.userId]]);
      assert.deepEqual(message.parts.map(({ type }) => type), ["tool_call", "tool_call", "approval", "text"]);
      assert.deepEqual(await me.client.query("generations:active", {}), []);
      await server.stop();
      const doctor = await run(["doctor", "--data", server.data]);
      assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
    });
  }
});
