// AP-01 … AP-08 with the real client on two devices, and what several people decide. The server's own driver and
// the wires of the AI SDK have tests of their own.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, http, live, page, refusal, send, user, watch } from "./lib/clients.mjs";
import { Issuer } from "./lib/issuer.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";
import { call, operatorToken } from "./lib/workers.mjs";

const suite = { after };
const issuer = await Issuer.start(suite);
const config = `
${issuer.config()}
[roles.known.supervisor]
name = "Supervisor"
[approvals]
approver_roles = ["supervisor"]
approvers = 2
high_risk = ["wire_*"]
`;
const server = await Server.start(suite, { config });
const key = await serviceKey(server);
const backend = http(server, key);

/** A person on two devices with a thread, and an answer in it that a backend makes. */
async function begin(t, person) {
  const { token } = person ?? (await user(t, server));
  const [laptop, phone] = [live(t, server, token), live(t, server, token)];
  const threadId = await laptop.mutation("threads:create", {});
  const opened = await backend.mutation("generations:open", { threadId, text: "pay" });
  const { generationId } = opened;
  const ask = (toolCallId, more = {}) => backend.mutation("approvals:request", { generationId, kind: "tool_call", toolCallId, tool: "pay", input: { amount: 5 }, ...more });
  return { token, laptop, phone, threadId, ...opened, ask };
}

const decide = (device, asked, decision, more = {}) => device.mutation("approvals:decide", { approvalId: asked._id, decision, ...more });
const finish = (generationId) => backend.mutation("generations:finish", { generationId, status: "complete" });

/** Somebody with an account, and roles that an operator gave. */
async function colleague(t, name, roles = []) {
  const token = issuer.token({ sub: name, name });
  const client = live(t, server, token);
  const { _id: userId } = await client.query("users:me", {});
  const given = await call(server, "mutation", "users:setRoles", { userId, roles }, await operatorToken(server));
  assert.equal(given.json.status, "success", JSON.stringify(given.json));
  return { token, client, userId };
}

describe("approvals on two devices", { concurrency: true }, () => {
  test("AP-01: a request is in the list of every device at once, and unread until it was seen", async (t) => {
    const { laptop, phone, ask } = await begin(t);
    const inboxes = [laptop, phone].map((device) => watch(device, "approvals:list", page()));
    await until(() => inboxes.every(({ current }) => current?.pendingCount === 0));
    const began = performance.now();
    const asked = await ask("t1");
    await until(() => inboxes.every(({ current }) => current.pendingCount === 1 && current.unreadCount === 1), { every: 5 });
    t.diagnostic(`on both devices ${(performance.now() - began).toFixed(1)} ms after the request was sent`);
    await phone.mutation("approvals:markSeen", { upTo: asked.createdAt });
    await until(() => inboxes.every(({ current }) => current.unreadCount === 0 && current.pendingCount === 1));
  });

  test("AP-02: both devices decide at once; one counts, the other is told what was decided", async (t) => {
    const { laptop, phone, ask, generationId } = await begin(t);
    const asked = await ask("t1");
    const answers = await Promise.allSettled([decide(laptop, asked, "approve"), decide(phone, asked, "reject")]);
    const won = answers.find(({ status }) => status === "fulfilled").value;
    const lost = answers.find(({ status }) => status === "rejected");
    assert.deepEqual([lost.reason.data.code, lost.reason.data.status], ["already_resolved", won.status]);
    const { events } = await laptop.query("generations:deltas", { generationId, cursor: 0 });
    assert.deepEqual(events.filter(({ type }) => type === "approval").map(({ status }) => status), ["pending", won.status], "one outcome, one event");
    const body = JSON.stringify({ path: "approvals:decide", args: { approvalId: asked._id, decision: "approve" }, format: "json" });
    const stranger = await user(t, server);
    assert.equal(await codeOf(decide(stranger.client, asked, "approve")), "not_found");
    assert.equal((await fetch(`${server.url}/api/mutation`, { method: "POST", headers: { "content-type": "application/json" }, body })).status, 401);
    assert.equal(await codeOf(laptop.mutation("approvals:decide", { approvalId: asked._id, approve: true })), "bad_request", "one form");
  });

  test("AP-03: exactly the edited plan is approved, and everybody reads that one", async (t) => {
    const { laptop, phone, threadId, generationId } = await begin(t);
    const { artifactId } = await backend.mutation("artifacts:create", { threadId, generationId, kind: "plan", title: "Plan", content: "one" });
    const asked = await backend.mutation("approvals:request", { generationId, kind: "plan", artifactId });
    const seen = watch(phone, "artifacts:get", { artifactId });
    const decided = await decide(laptop, asked, "approve", { edited: "two" });
    await until(() => seen.current?.content === "two" && seen.current.status === "approved");
    const runs = await backend.query("artifacts:get", { artifactId, version: decided.editedVersion });
    assert.deepEqual([decided.version, decided.editedVersion, runs.content], [1, 2, "two"]);
    assert.equal(await codeOf(decide(phone, asked, "approve", { edited: "three" })), "already_resolved");
  });

  test("AP-06: a rejection goes to the asker with its reason, and the thread goes on", async (t) => {
    const { laptop, phone, ask, generationId, messageId, threadId } = await begin(t);
    const asked = await ask("t1");
    await decide(phone, asked, "reject", { reason: "too much" });
    const told = await backend.query("approvals:get", { approvalId: asked._id });
    assert.deepEqual([told.status, told.reason], ["rejected", "too much"]);
    await finish(generationId);
    const { parts } = await laptop.query("messages:get", { messageId });
    assert.deepEqual(parts.map(({ type, state, status, error }) => [type, state ?? status, error]), [["tool_call", "denied", "too much"], ["approval", "rejected", undefined]]);
    assert.equal(typeof (await send(laptop, "then plan anew", threadId)).messageId, "string");
  });

  test("AP-05 AP-07: late, after the answer was stopped, or for other arguments nothing is decided", async (t) => {
    const { laptop, phone, ask, generationId, threadId } = await begin(t);
    const asked = await ask("t1");
    const claim = { threadId, toolCallId: "t1", input: { amount: 500 } };
    assert.equal(await codeOf(decide(laptop, asked, "approve", { claim })), "history_conflict");
    const brief = await ask("t2", { expiresAt: Date.now() + 1_500 });
    const shown = watch(phone, "approvals:get", { approvalId: brief._id });
    await until(() => shown.current?.status === "expired");
    assert.deepEqual((({ code, status }) => [code, status])(await refusal(decide(laptop, brief, "approve"))), ["already_resolved", "expired"]);
    await phone.mutation("generations:stop", { generationId });
    assert.deepEqual((({ code, status }) => [code, status])(await refusal(decide(laptop, asked, "approve"))), ["already_resolved", "cancelled"]);
  });

  test("AP-08: one row per call; approving one lets only that one run, and a hundred are decided in one call", async (t) => {
    const { laptop, phone, ask, generationId, messageId } = await begin(t);
    const [one, two, three] = [await ask("t1"), await ask("t2"), await ask("t3")];
    await decide(phone, one, "approve");
    const states = async () => {
      const { page: rows } = await laptop.query("approvals:list", page());
      return Object.fromEntries(rows.map(({ toolCallId, status }) => [toolCallId, status]));
    };
    assert.deepEqual(await states(), { t1: "approved", t2: "pending", t3: "pending" });
    const decisions = [[one, "reject"], [two, "approve"], [three, "reject"]].map(([{ _id: approvalId }, decision]) => ({ approvalId, decision }));
    const results = await phone.mutation("approvals:decideMany", { decisions });
    assert.deepEqual(results.map(({ approval, error }) => approval?.status ?? error.code), ["already_resolved", "approved", "rejected"]);
    assert.deepEqual(await states(), { t1: "approved", t2: "approved", t3: "rejected" });
    await finish(generationId);
    const { parts } = await laptop.query("messages:get", { messageId });
    assert.deepEqual(parts.filter(({ type }) => type === "tool_call").map(({ toolCallId, state }) => [toolCallId, state]), [["t1", "cancelled"], ["t2", "cancelled"], ["t3", "denied"]]);
  });

  test("AP-08: a remembered decision answers the next call, on every device, until it is taken back", async (t) => {
    const { laptop, phone, ask } = await begin(t);
    const rules = watch(phone, "rules:list", {});
    await decide(laptop, await ask("t1"), "approve", { remember: { scope: "arguments" } });
    await until(() => rules.current?.length === 1);
    assert.equal((await ask("t2")).status, "approved");
    assert.equal((await ask("t3", { input: { amount: 6 } })).status, "pending");
    await until(() => rules.current[0].uses === 1);
    await phone.mutation("rules:remove", { ruleId: rules.current[0]._id });
    assert.equal((await ask("t4")).status, "pending");
  });
});

describe("approvals of several people", { concurrency: true }, () => {
  test("AP-02: what is of high risk waits for a second person, who sees that and nothing else", async (t) => {
    const owner = await colleague(t, "owner");
    const boss = await colleague(t, "boss", ["supervisor"]);
    const stranger = await colleague(t, "stranger");
    const { laptop, ask, threadId, generationId } = await begin(t, owner);
    const theirs = watch(boss.client, "approvals:list", page());
    const asked = await ask("t1", { tool: "wire_money" });
    assert.deepEqual([asked.approversNeeded, asked.highRisk], [2, true]);
    await until(() => theirs.current?.awaitingMyVote.some(({ _id }) => _id === asked._id));
    const row = watch(laptop, "approvals:get", { approvalId: asked._id });
    assert.equal((await decide(laptop, asked, "approve")).status, "pending");
    assert.equal(await codeOf(decide(laptop, asked, "approve")), "already_resolved");
    assert.equal(await codeOf(decide(stranger.client, asked, "approve")), "not_found");
    assert.equal(await boss.client.query("threads:get", { threadId }), null);
    assert.equal(await codeOf(boss.client.query("generations:deltas", { generationId, cursor: 0 })), "not_found");
    assert.deepEqual((await boss.client.query("approvals:get", { approvalId: asked._id })).input, { amount: 5 });
    assert.equal((await decide(boss.client, asked, "approve")).status, "approved");
    await until(() => row.current?.status === "approved");
    assert.deepEqual(row.current.votes.map(({ name, decision }) => [name, decision]), [["owner", "approve"], ["boss", "approve"]]);
    await until(() => theirs.current.awaitingMyVote.every(({ _id }) => _id !== asked._id));
    assert.equal(await codeOf(decide(laptop, await ask("t2", { tool: "wire_money" }), "approve", { remember: { scope: "tool" } })), "bad_request");
  });

  test("AP-02: a named reader of the thread votes too, as long as it is shared", async (t) => {
    const owner = await colleague(t, "writer");
    const reader = await colleague(t, "reader");
    const { laptop, ask, threadId } = await begin(t, owner);
    const asked = await ask("t1", { approversNeeded: 2 });
    assert.equal(await codeOf(decide(reader.client, asked, "reject")), "not_found");
    const shareId = await laptop.mutation("shares:grant", { threadId, userId: reader.userId });
    const inbox = watch(reader.client, "approvals:list", page());
    await until(() => inbox.current?.awaitingMyVote.length === 1 && inbox.current.pendingCount === 1);
    await laptop.mutation("shares:revoke", { shareId });
    await until(() => inbox.current.awaitingMyVote.length === 0);
    assert.equal(await codeOf(decide(reader.client, asked, "reject")), "not_found");
    await laptop.mutation("shares:grant", { threadId, userId: reader.userId });
    assert.equal((await decide(reader.client, asked, "reject", { reason: "no" })).status, "rejected");
  });
});
