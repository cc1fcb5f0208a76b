// What stands between a call of a hosted turn and its effect: what the configuration marks, rules, several people,
// a new turn meanwhile, and a role or a tool that is gone by the time somebody decides.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, describe, test } from "node:test";
import { codeOf, live, page, send, settled } from "./lib/clients.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { Issuer } from "./lib/issuer.mjs";
import { Server } from "./lib/server.mjs";
import { ToolServer } from "./lib/tool-server.mjs";
import { until } from "./lib/wait.mjs";
import { call as request, operatorToken } from "./lib/workers.mjs";

const suite = { after };
const issuer = await Issuer.start(suite);
const fake = await FakeLlm.start(suite);
const tools = await ToolServer.start(suite);
const configOf = (assistantTools) => `
model = "first/fake-model"
${issuer.config()}
[roles]
default = "investor"
[roles.known.investor]
name = "Investor"
[roles.known.supervisor]
name = "Supervisor"
[approvals]
approver_roles = ["supervisor"]
approvers = 2
high_risk = ["wire_*"]
[agents.assistant]
name = "Assistant"
tools = ${JSON.stringify(assistantTools)}
${fake.config("first", "openai")}
${tools.config("wire_money", "writes = true")}
${tools.config("wire_state", "writes = false")}
${tools.config("pay", "writes = true")}
${tools.config("wipe", "writes = true")}
${tools.config("look", "writes = false")}
`;
const server = await Server.start(suite, { config: configOf(["*"]) });

const call = (tool, of) => ({ call: { tool, input: { of } } });
const ran = (of) => tools.calls.filter(({ input }) => input.of === of).length;
const calls = async ({ client }, threadId) => (await client.query("toolCalls:listByThread", { threadId, ...page() })).page.reverse();
const approvals = async ({ client }, threadId) => (await client.query("approvals:listByThread", { threadId, ...page() })).page;
const decide = ({ client }, { _id: approvalId }, decision = "approve") => client.mutation("approvals:decide", { approvalId, decision });

/** Somebody with an account, and roles that an operator gave. */
async function person(t, name, roles = [], at = server) {
  const client = live(t, at, issuer.token({ sub: name, name }));
  const { _id: userId } = await client.query("users:me", {});
  await give(userId, roles, at);
  return { client, userId };
}

async function give(userId, roles, at = server) {
  const given = await request(at, "mutation", "users:setRoles", { userId, roles }, await operatorToken(at));
  assert.equal(given.json.status, "success", JSON.stringify(given.json));
}

function pending(who, threadId, count = 1) {
  return until(
    async () => {
      const waiting = (await approvals(who, threadId)).filter(({ status }) => status === "pending");
      return waiting.length >= count && waiting;
    },
    { what: `${count} approvals to wait` },
  );
}

const parked = ({ client }, { generationId }) =>
  until(async () => (await client.query("generations:get", { generationId })).status === "awaiting_approval", { what: "the answer to be let go" });

describe("hosted calls and people", { concurrency: true }, () => {
  test("AP-08: what is of high risk runs after two people agreed, whatever the rules say and whether it writes or not", async (t) => {
    const me = await person(t, "risky");
    const boss = await person(t, "boss", ["supervisor"]);
    await me.client.mutation("rules:create", { tool: "*", effect: "allow" });
    const two = { calls: [{ tool: "wire_money", input: { of: "risk money" } }, { tool: "wire_state", input: { of: "risk state" } }, { tool: "pay", input: { of: "risk pay" } }] };
    fake.script("high risk", rounds([two], ["Done."]));
    const sent = await send(me.client, "high risk");
    const waiting = await pending(me, sent.threadId, 2);
    await until(() => ran("risk pay") === 1, { what: "the call that the rule allows" });
    assert.deepEqual(waiting.map(({ tool, approversNeeded, highRisk }) => [tool, approversNeeded, highRisk]).sort(), [["wire_money", 2, true], ["wire_state", 2, true]]);
    for (const asked of waiting) assert.equal((await decide(me, asked)).status, "pending");
    await parked(me, sent);
    assert.deepEqual([ran("risk money"), ran("risk state")], [0, 0], "one person is not enough");
    for (const asked of waiting) assert.equal((await decide(boss, asked)).status, "approved");
    assert.equal((await settled(me.client, sent.messageId)).text, "Done.");
    assert.deepEqual([ran("risk money"), ran("risk state")], [1, 1]);
  });

  test("AP-08: rules allow, deny and ask in a hosted turn, and leave an approval that names them", async (t) => {
    const me = await person(t, "ruler");
    const rule = async (tool, effect) => (await me.client.mutation("rules:create", { tool, effect }))._id;
    const [allow, deny] = [await rule("pay", "allow"), await rule("wipe", "deny")];
    await rule("look", "ask");
    const all = { calls: [{ tool: "pay", input: { of: "ruled pay" } }, { tool: "wipe", input: { of: "ruled wipe" } }, { tool: "look", input: { of: "ruled look" } }] };
    fake.script("by rule", rounds([all], ["Ruled."]));
    const sent = await send(me.client, "by rule");
    const [asked] = await pending(me, sent.threadId);
    assert.deepEqual([asked.tool, asked.ruleId], ["look", undefined]);
    await parked(me, sent);
    assert.deepEqual([ran("ruled pay"), ran("ruled wipe"), ran("ruled look")], [1, 0, 0]);
    await decide(me, asked);
    const message = await settled(me.client, sent.messageId);
    assert.equal(message.text, "Ruled.", JSON.stringify(message.error));
    assert.equal(ran("ruled look"), 1);
    const rows = await approvals(me, sent.threadId);
    const of = (wanted) => rows.find(({ tool }) => tool === wanted);
    assert.deepEqual([of("pay").status, of("pay").ruleId, of("wipe").status, of("wipe").ruleId], ["approved", allow, "rejected", deny]);
    const made = await calls(me, sent.threadId);
    assert.deepEqual(made.map(({ tool, state, approvalId }) => [tool, state, approvalId]), [["pay", "completed", of("pay")._id], ["wipe", "denied", of("wipe")._id], ["look", "completed", asked._id]]);
    assert.match(fake.of("by rule")[1].results[1].text, /rule/);
    const shown = message.parts.map(({ type, state, status }) => [type, state ?? status]);
    assert.deepEqual(shown, [["tool_call", "completed"], ["tool_call", "denied"], ["tool_call", "completed"], ["approval", "approved"], ["approval", "rejected"], ["approval", "approved"], ["text", undefined]]);
  });

  test("AP-08: a rule can ask whether the model may ask", async (t) => {
    const me = await person(t, "asked twice");
    await me.client.mutation("rules:create", { tool: "ask_human", effect: "ask" });
    fake.script("may I ask", rounds([{ call: { tool: "ask_human", input: { question: "Which city?" } } }], ["Noted."]));
    const sent = await send(me.client, "may I ask");
    const [first] = await pending(me, sent.threadId);
    assert.equal(first.kind, "tool_call");
    await decide(me, first);
    const [second] = await until(async () => {
      const waiting = await pending(me, sent.threadId);
      return waiting[0].kind === "question" && waiting;
    });
    await me.client.mutation("approvals:decide", { approvalId: second._id, decision: "approve", edited: "Bern" });
    assert.equal((await settled(me.client, sent.messageId)).text, "Noted.");
    assert.match(fake.of("may I ask")[1].results[0].text, /Bern/);
  });

  for (const ifBusy of ["refuse", "queue", "steer"]) {
    test(`AP-04: a new turn (${ifBusy}) leaves a pending approval alone`, async (t) => {
      const me = await person(t, `busy ${ifBusy}`);
      fake.script(`wait ${ifBusy}`, rounds([call("pay", `busy ${ifBusy}`)], ["Paid."]));
      fake.script(`meanwhile ${ifBusy}`, ["Heard."]);
      const sent = await send(me.client, `wait ${ifBusy}`);
      const [asked] = await pending(me, sent.threadId);
      await parked(me, sent);
      const more = me.client.mutation("turns:send", { threadId: sent.threadId, text: `meanwhile ${ifBusy}`, ifBusy });
      if (ifBusy === "refuse") assert.equal(await codeOf(more), "thread_busy");
      else assert.equal((await more).queued, true);
      const [same] = await pending(me, sent.threadId);
      assert.deepEqual([same._id, same.status], [asked._id, "pending"]);
      assert.equal((await decide(me, asked)).status, "approved");
      const message = await settled(me.client, sent.messageId);
      assert.deepEqual([message.status, ran(`busy ${ifBusy}`)], ["complete", 1]);
    });
  }

  test("TC-03: an answer that waited does not go on in a role that was taken away", async (t) => {
    const me = await person(t, "demoted", ["supervisor"]);
    fake.script("demoted", rounds([call("pay", "demoted")], ["Paid."]));
    const sent = await send(me.client, "demoted");
    const [asked] = await pending(me, sent.threadId);
    await parked(me, sent);
    await give(me.userId, ["investor"]);
    await decide(me, asked);
    const message = await settled(me.client, sent.messageId);
    assert.deepEqual([message.status, message.error.code, ran("demoted")], ["error", "forbidden", 0]);
    assert.deepEqual((await calls(me, sent.threadId)).map(({ state }) => state), ["cancelled"]);
  });

  test("TC-03: a tool that is not offered any more when it is approved does not run, and the turn goes on", async (t) => {
    const own = await Server.start(t, { config: configOf(["*"]) });
    const me = await person(t, "late", [], own);
    fake.script("too late", rounds([call("pay", "too late")], ["It was not paid."]));
    const sent = await send(me.client, "too late");
    const [asked] = await pending(me, sent.threadId);
    await parked(me, sent);
    await writeFile(own.args.at(-1), configOf(["look"]));
    await own.restart();
    const again = live(t, own, issuer.token({ sub: "late", name: "late" }));
    await again.mutation("approvals:decide", { approvalId: asked._id, decision: "approve" });
    assert.equal((await settled(again, sent.messageId)).text, "It was not paid.");
    assert.equal(ran("too late"), 0);
    const [row] = await calls({ client: again }, sent.threadId);
    assert.equal(row.state, "denied");
    const audit = await again.query("audit:mine", page());
    assert.ok(audit.page.some(({ action, subject, outcome }) => action === "tool.call" && subject === row._id && outcome === "denied"));
  });
});
