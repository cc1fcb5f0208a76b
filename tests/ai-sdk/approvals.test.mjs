// Artifacts and approvals as an application with the AI SDK has them: cards that are updated in place, and a
// person who is asked about a tool call with `addToolApprovalResponse`. The row decides, not the client.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ConvexClient } from "convex/browser";
import WebSocket from "ws";
import { onEnd } from "../lib/cleanup.mjs";
import { Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { answerOf, chat, chunks, guestOf, kindsOf, refused, releases, rowsOf, text, textOf, userMessage, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);
const INPUT = { amount: 5, to: { name: "Zoë", iban: ["DE", 1] } };

/** A runner that asks about a call and carries out what is approved, told by nothing but its subscription. */
async function asking(t, toolCallId = "call_1") {
  const answer = await written(server, key);
  const backend = rowsOf(server, key);
  const ask = (id) => backend.mutation("approvals:request", { generationId: answer.generationId, kind: "tool_call", toolCallId: id, tool: "pay", input: INPUT });
  await answer.append(text("Shall I? "));
  const approval = await ask(toolCallId);
  const live = new ConvexClient(server.url, { webSocketConstructor: WebSocket });
  live.setAuth(async () => key);
  onEnd(t, () => live.close());
  /** Waits for the decision and goes on with it. */
  const carryOut = (asked = approval) =>
    new Promise((resolve, reject) => {
      live.onUpdate("approvals:get", { approvalId: asked._id }, (row) => void (row.status !== "pending" && resolve(row)), reject);
    }).then(async (row) => {
      const toolCallId = row.toolCallId;
      if (row.status === "approved") await answer.append({ type: "tool_end", toolCallId, output: { paid: (row.editedInput ?? row.input).amount } });
      return row;
    });
  return { ...answer, approval, ask, carryOut };
}

const versionOf = ({ version }) => version.split(".")[0];

/** A chat of an SDK that has asked to be told about approvals, as it is after a reload. */
function waiting(t, release, { token, id }, init = {}) {
  const headers = { authorization: `Bearer ${token}`, "x-spool-ai-sdk": versionOf(release) };
  const messages = [userMessage("go", "go")];
  const { lastAssistantMessageIsCompleteWithApprovalResponses: sendAutomaticallyWhen } = release.sdk;
  return chat(t, release, server, token, { id, messages, transport: { headers }, sendAutomaticallyWhen, ...init });
}

const partOf = (chat, type) => answerOf(chat)?.parts.find((part) => part.type === type);
const callOf = (chat) => partOf(chat, "tool-pay");

for (const release of releases) {
  describe(`ai ${release.version}`, { concurrency: true }, () => {
    test("an artifact is a data part that is updated in place", async (t) => {
      const user = await written(server, key);
      const backend = rowsOf(server, key);
      const reader = chat(t, release, server, user.token, { id: user.id, messages: [userMessage("go", "go")] });
      const reading = reader.resumeStream();
      await user.append(text("Here: "));
      const plan = { threadId: user.threadId, generationId: user.generationId, kind: "plan", title: "Plan", content: "one", key: "plan" };
      const { artifactId } = await backend.mutation("artifacts:create", plan);
      await until(() => partOf(reader, "data-artifact"));
      const { content } = await user.rows.query("artifacts:get", { artifactId });
      assert.equal(content, "one");
      await user.append(text("better: "));
      await user.rows.mutation("artifacts:update", { artifactId, baseVersion: 1, content: "two", title: "Better plan" });
      await user.finish();
      await reading;
      assert.deepEqual([reader.status, reader.faults], ["ready", []]);
      const cards = answerOf(reader).parts.filter(({ type }) => type === "data-artifact");
      assert.deepEqual(cards.map(({ id, data }) => [id, data]), [[artifactId, { artifactId, version: 2, kind: "plan", title: "Better plan", status: "draft" }]]);
      assert.deepEqual(answerOf(reader).parts.map(({ type }) => type).filter((type) => type !== "step-start"), ["text", "data-artifact", "text"]);
      const stored = await user.rows.query("messages:get", { messageId: user.messageId });
      assert.deepEqual(stored.parts.map(({ type, version }) => [type, version]), [["text", undefined], ["artifact", 2], ["text", undefined]]);
    });

    test("who did not ask for more sees the call and the card, whatever is decided", async (t) => {
      const user = await asking(t);
      const reader = chat(t, release, server, user.token, { id: user.id, messages: [userMessage("go", "go")] });
      const reading = reader.resumeStream();
      await until(() => partOf(reader, "data-approval")?.data.status === "pending");
      assert.equal(callOf(reader).state, "input-available");
      await user.rows.mutation("approvals:decide", { approvalId: user.approval._id, decision: "reject", reason: "too much" });
      await until(() => callOf(reader).state === "output-error");
      assert.equal(callOf(reader).errorText, "denied: too much");
      await user.append(text("Then not."));
      await user.finish();
      await reading;
      assert.deepEqual([reader.status, reader.faults, textOf(answerOf(reader))], ["ready", [], "Shall I? Then not."]);
      assert.equal(partOf(reader, "data-approval").data.status, "rejected");
    });

    if (versionOf(release) === "5") return;

    test("a person is asked, says yes, and the same answer goes on", async (t) => {
      const user = await asking(t);
      const reader = waiting(t, release, user);
      await reader.resumeStream();
      assert.deepEqual([reader.status, reader.faults], ["ready", []], "the stream ended, so that it can ask");
      const call = callOf(reader);
      assert.deepEqual([call.state, call.approval.id, call.input], ["approval-requested", user.approval._id, INPUT]);
      const carried = user.carryOut();
      await reader.addToolApprovalResponse({ id: call.approval.id, approved: true, reason: "go on" });
      const row = await carried;
      assert.deepEqual([row.status, row.reason, row.resolvedBy !== undefined], ["approved", "go on", true]);
      await user.append(text("Paid."));
      await user.finish();
      await until(() => reader.status === "ready" && textOf(answerOf(reader)).endsWith("Paid."));
      assert.deepEqual(reader.faults, []);
      assert.deepEqual([callOf(reader).state, callOf(reader).output], ["output-available", { paid: 5 }]);
      assert.equal(textOf(answerOf(reader)), "Shall I? Paid.", "nothing twice");
      assert.deepEqual([answerOf(reader).id, reader.messages.length], [user.messageId, 2]);
      assert.equal(partOf(reader, "data-approval").data.status, "approved");
      const { parts } = await user.rows.query("messages:get", { messageId: user.messageId });
      assert.deepEqual(parts.map(({ type, state, status }) => [type, state ?? status]), [["text", undefined], ["tool_call", "completed"], ["approval", "approved"], ["text", undefined]]);
      // Afterwards there is nothing to ask, for whoever reads it from the beginning.
      const late = waiting(t, release, user, { transport: { headers: { authorization: `Bearer ${user.token}`, "x-spool-ai-sdk": versionOf(release) }, prepareReconnectToStreamRequest: ({ api, headers, id }) => ({ headers, api: `${api}/${id}/stream?activeStreamId=${user.generationId}` }) } });
      await late.resumeStream();
      assert.deepEqual([late.status, late.faults, callOf(late).state], ["ready", [], "output-available"]);
    });

    test("a person says no: the call is denied, and nothing runs", async (t) => {
      const user = await asking(t);
      const reader = waiting(t, release, user);
      await reader.resumeStream();
      await reader.addToolApprovalResponse({ id: user.approval._id, approved: false, reason: "no" });
      assert.deepEqual((await user.carryOut()).status, "rejected");
      await user.append(text("Then not."));
      await user.finish();
      await until(() => reader.status === "ready" && textOf(answerOf(reader)).endsWith("Then not."));
      assert.deepEqual([reader.faults, callOf(reader).state, reader.messages.length], [[], "output-denied", 2]);
    });

    test("two calls at once are asked about together, each decided alone", async (t) => {
      const user = await asking(t);
      const second = await user.ask("call_2");
      const reader = waiting(t, release, user);
      await reader.resumeStream();
      const calls = () => answerOf(reader).parts.filter(({ type }) => type === "tool-pay");
      assert.deepEqual(calls().map(({ state }) => state), ["approval-requested", "approval-requested"]);
      await reader.addToolApprovalResponse({ id: second._id, approved: false });
      await reader.addToolApprovalResponse({ id: user.approval._id, approved: true });
      const rows = await Promise.all([user.carryOut(), user.carryOut(second)]);
      assert.deepEqual(rows.map(({ status }) => status), ["approved", "rejected"]);
      await user.finish();
      await until(() => reader.status === "ready" && calls().every(({ state }) => state.startsWith("output-")));
      assert.deepEqual([reader.faults, calls().map(({ state }) => state)], [[], ["output-available", "output-denied"]]);
    });

    test("a complete answer is made anew on the same message", async (t) => {
      const { token, rows, id } = await guestOf(server);
      const made = chat(t, release, server, token, { id });
      await made.sendMessage({ text: `/script ${JSON.stringify({ deltas: ["older"] })}` });
      const before = answerOf(made).id;
      await made.regenerate();
      assert.deepEqual([made.status, made.faults, made.messages.length, answerOf(made).id], ["ready", [], 2, before]);
      const { attempt } = await rows.query("messages:get", { messageId: before });
      assert.equal(attempt, 2);
    });
  });
}

describe("what a client claims about a decision", { concurrency: true }, () => {
  const part = (user, more = {}) => ({ type: "tool-pay", toolCallId: "call_1", state: "approval-responded", input: INPUT, approval: { id: user.approval._id, approved: true }, ...more });
  const claim = (user, parts) => ({ messages: [userMessage("go", "go"), { id: user.messageId, role: "assistant", parts }], trigger: "submit-message", messageId: user.messageId });
  const options = { headers: { "x-spool-ai-sdk": "7" } };

  test("is refused unless our own row says the same", async (t) => {
    const user = await asking(t);
    const stranger = await asking(t);
    const elsewhere = await user.rows.mutation("threads:create", {});
    const pending = async () => assert.equal((await user.rows.query("approvals:get", { approvalId: user.approval._id })).status, "pending");
    const cases = [
      [user.post(claim(user, [part(user, { approval: { id: "apr_00000000000000000000000000", approved: true } })]), options), 404, "not_found"],
      [user.post(claim(user, [part(user, { approval: { id: "made up", approved: true } })]), options), 404, "not_found"],
      [user.post(claim(user, [part(user, { approval: { id: stranger.approval._id, approved: true } })]), options), 404, "not_found"],
      [stranger.post(claim(user, [part(user)]), options), 404, "not_found"],
      [user.post({ ...claim(user, [part(user)]), id: elsewhere }, options), 404, "not_found"],
      [user.post(claim(user, [part(user, { toolCallId: "call_2" })]), options), 404, "not_found"],
      [user.post(claim(user, [part(user, { input: { ...INPUT, amount: 500 } })]), options), 409, "history_conflict"],
      [user.post(claim(user, [part(user, { input: undefined })]), options), 409, "history_conflict"],
      [user.post(claim(user, [part(user, { approval: { id: user.approval._id } })]), options), 400, "bad_request"],
    ];
    for (const [n, [response, status, code]] of cases.entries()) {
      const refusal = await refused(await response);
      assert.deepEqual([refusal.status, refusal.code], [status, code], `case ${n}: ${JSON.stringify(refusal)}`);
      await pending();
    }
    const key = rowsOf(server, await serviceKey(server));
    await assert.rejects(key.mutation("approvals:decide", { approvalId: user.approval._id, decision: "approve" }), /person/);
    await pending();
  });

  test("counts once, and the second is told what became of it", async (t) => {
    const user = await asking(t);
    const first = await user.post(claim(user, [part(user, { input: { to: { iban: ["DE", 1], name: "Zoë" }, amount: 5 } })]), options);
    assert.equal(first.headers.get("x-spool-generation-id"), user.generationId);
    for (const approved of [true, false]) {
      const again = await user.post(claim(user, [part(user, { approval: { id: user.approval._id, approved } })]), options);
      const { code, status } = await again.json();
      assert.deepEqual([again.status, code, status], [409, "already_resolved", "approved"]);
    }
    await user.append({ type: "tool_end", toolCallId: "call_1", output: 1 }, text("Done."));
    await user.finish();
    const seen = kindsOf(await chunks(first));
    assert.deepEqual(seen, ["start", "data-approval", "tool-output-available", "finish-step", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish", "[DONE]"]);
  });

  test("AP-08: is carried out together with the others of the request, or not at all", async (t) => {
    const user = await asking(t);
    const second = await user.ask("call_2");
    const status = async ({ _id: approvalId }) => (await user.rows.query("approvals:get", { approvalId })).status;
    const other = (more = {}) => part(user, { toolCallId: "call_2", approval: { id: second._id, approved: true }, ...more });
    const cases = [
      [other({ input: { amount: 1 } }), 409, "history_conflict"],
      [other({ approval: { id: second._id, approved: false, reason: "x".repeat(20_000) } }), 413, "too_large"],
    ];
    for (const [claimed, expected, code] of cases) {
      const refusal = await refused(await user.post(claim(user, [part(user), claimed]), options));
      assert.deepEqual([refusal.status, refusal.code], [expected, code]);
      assert.deepEqual([await status(user.approval), await status(second)], ["pending", "pending"]);
    }
    const accepted = await user.post(claim(user, [part(user), other()]), options);
    assert.deepEqual([accepted.status, await status(user.approval), await status(second)], [200, "approved", "approved"]);
    await user.finish();
    await accepted.text();
  });

  test("AP-08: about one of two calls: the other is asked about again, by whoever comes back, too", async (t) => {
    const user = await asking(t);
    const second = await user.ask("call_2");
    const place = (await chunks(await user.stream("?aiSdk=6"))).at(-2).id;
    const again = ["tool-input-available", "tool-approval-request"];
    const paused = ["finish-step", "finish", "[DONE]"];
    for (const [query, said] of [["", [...again, ...again]], ["&parts=open", []]]) {
      assert.deepEqual(kindsOf(await chunks(await user.stream(`?aiSdk=6&offset=${place}${query}`))), [...said, ...paused], query);
    }
    const requested = part(user, { toolCallId: "call_2", state: "approval-requested", approval: { id: second._id } });
    const response = await user.post(claim(user, [part(user), requested]), options);
    await user.append({ type: "tool_end", toolCallId: "call_1", output: 1 });
    const seen = await chunks(response);
    assert.deepEqual(kindsOf(seen), ["start", ...again, "data-approval", "tool-output-available", ...paused]);
    assert.equal(seen[2].chunk.approvalId, second._id);
    const done = await user.post(claim(user, [part(user, { state: "output-available" }), { ...requested, state: "approval-responded", approval: { id: second._id, approved: false } }]), options);
    await user.finish();
    assert.deepEqual(kindsOf(await chunks(done)), ["start", "data-approval", "tool-output-denied", "finish-step", "start-step", "finish-step", "finish", "[DONE]"]);
  });

  test("AP-01: is about the same arguments in any spelling of a number", async (t) => {
    const user = await written(server, key);
    // A runner in another language: its 5.0 is 5 in the browser.
    const body = JSON.stringify({ path: "approvals:request", format: "json", args: { generationId: user.generationId, kind: "tool_call", toolCallId: "call_1", tool: "pay", input: { amount: 0 } } });
    const asked = await fetch(`${server.url}/api/mutation`, { method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: body.replace('{"amount":0}', '{"amount":5.0}') });
    const { value: approval } = await asked.json();
    const claimed = await user.post(claim(user, [part({ ...user, approval }, { input: { amount: 5 } })]), options);
    assert.equal(claimed.status, 200);
    await user.finish();
    await claimed.text();
  });

  test("comes too late when its time is up", async (t) => {
    const user = await written(server, key);
    const backend = rowsOf(server, key);
    const expiresAt = Date.now() + 1500;
    const approval = await backend.mutation("approvals:request", { generationId: user.generationId, kind: "tool_call", toolCallId: "call_1", tool: "pay", input: INPUT, expiresAt });
    const asked = { ...user, approval };
    const paused = kindsOf(await chunks(await user.stream("?aiSdk=6")));
    assert.deepEqual(paused, ["start", "start-step", "tool-input-available", "data-approval", "tool-input-available", "tool-approval-request", "finish-step", "finish", "[DONE]"]);
    await until(async () => (await user.rows.query("approvals:get", { approvalId: approval._id })).status === "expired");
    const late = await user.post(claim(asked, [part(asked)]), options);
    assert.equal(late.status, 409);
    assert.equal((await late.json()).code, "already_resolved");
    await user.finish();
    const whole = await chunks(await user.stream(`?activeStreamId=${user.generationId}`));
    assert.equal(whole.find(({ chunk }) => chunk.type === "tool-output-error").chunk.errorText, "approval expired");
  });
});
