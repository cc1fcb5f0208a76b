// Artifacts and approvals through the front door: seen live on every device, decided once, over restarts. The
// wires of the AI SDK are in ai-sdk/.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, http, page, user, watch } from "./lib/clients.mjs";
import { run, Server, serviceKey } from "./lib/server.mjs";
import { followSse } from "./lib/sse.mjs";
import { until } from "./lib/wait.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);
const MIB = 1 << 20;

/** A guest with a thread, and an answer in it that a backend with a service key makes. */
async function begin(t, at = server, secret = key) {
  const person = await user(t, at);
  const backend = http(at, secret);
  const threadId = await person.client.mutation("threads:create", {});
  const opened = await backend.mutation("generations:open", { threadId, text: "pay" });
  const ask = (toolCallId, more = {}) => backend.mutation("approvals:request", { generationId: opened.generationId, kind: "tool_call", toolCallId, tool: "pay", input: { amount: 5 }, ...more });
  const decide = (approval, decision = "approve", more = {}) => person.client.mutation("approvals:decide", { approvalId: approval._id, decision, ...more });
  return { ...person, ...opened, backend, threadId, ask, decide };
}

describe("artifacts", { concurrency: true }, () => {
  test("AR-01 AR-05: the id opens when the event is seen, and everybody sees each other's edits", async (t) => {
    const { client, token, backend, threadId, generationId } = await begin(t);
    const log = watch(client, "generations:deltas", { generationId, cursor: 0 });
    const sse = followSse(server, token, generationId);
    const made = await backend.mutation("artifacts:create", { threadId, generationId, kind: "plan", title: "Plan", content: "one", key: "k" });
    await until(() => log.current?.events.some(({ artifactId }) => artifactId === made.artifactId));
    const artifact = watch(client, "artifacts:get", { artifactId: made.artifactId });
    await until(() => artifact.current?.content === "one");
    await client.mutation("artifacts:update", { artifactId: made.artifactId, baseVersion: 1, content: "two" });
    await until(() => artifact.current?.content === "two");
    assert.equal((await backend.query("artifacts:get", { artifactId: made.artifactId })).content, "two");
    assert.equal(await codeOf(backend.mutation("artifacts:update", { artifactId: made.artifactId, baseVersion: 1, content: "late" })), "history_conflict");
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    const { events } = await http(server, token).query("generations:deltas", { generationId, cursor: 0 });
    assert.deepEqual(events.filter(({ type }) => type === "artifact").map(({ artifactId, version }) => [artifactId, version]), [[made.artifactId, 1], [made.artifactId, 2]]);
    assert.equal((await sse).final.event, "done");
  });

  test("AR-07: large contents come back whole, and a list does not load them", async (t) => {
    const { client, token, threadId } = await user(t, server).then(async (person) => ({ ...person, threadId: await person.client.mutation("threads:create", {}) }));
    const direct = http(server, token);
    const content = "0123456789abcdef".repeat((10 * MIB) / 16);
    for (let n = 0; n < 5; n += 1) await direct.mutation("artifacts:create", { threadId, kind: "report", title: `Report ${n}`, content });
    const began = performance.now();
    const list = await direct.query("artifacts:listByThread", { threadId, ...page() });
    t.diagnostic(`5 artifacts of 10 MiB listed in ${(performance.now() - began).toFixed(1)} ms`);
    assert.deepEqual(list.page.map(({ title, contentBytes }) => [title, contentBytes]).at(-1), ["Report 0", content.length]);
    assert.ok(JSON.stringify(list).length < 10_000);
    assert.equal((await direct.query("artifacts:get", { artifactId: list.page[0]._id })).content, content);
    assert.deepEqual(client.faults, []);
  });
});

describe("approvals", { concurrency: true }, () => {
  test("AP-01 AP-02: asked, seen live in the list, decided from another device, told to the runner", async (t) => {
    const { client, token, backend, ask, decide, generationId } = await begin(t);
    const inbox = watch(client, "approvals:list", page());
    await until(() => inbox.current?.pendingCount === 0);
    const sse = followSse(server, token, generationId);
    const asked = await ask("t1");
    await until(() => inbox.current.pendingCount === 1);
    assert.deepEqual(inbox.current.page.map(({ _id, status, tool, input }) => [_id, status, tool, input]), [[asked._id, "pending", "pay", { amount: 5 }]]);
    const runner = watch(client, "approvals:get", { approvalId: asked._id });
    const phone = http(server, token);
    const decided = await phone.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", edited: { amount: 4 } });
    assert.deepEqual([decided.status, decided.editedInput, decided.input], ["approved", { amount: 4 }, { amount: 5 }]);
    await until(() => runner.current?.status === "approved" && inbox.current.pendingCount === 0);
    assert.equal(await codeOf(decide(asked, "reject")), "already_resolved");
    assert.equal(await codeOf(backend.mutation("approvals:decide", { approvalId: asked._id, decision: "reject" })), "forbidden");
    const stranger = await user(t, server);
    assert.equal(await codeOf(stranger.client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve" })), "not_found");
    assert.equal(await codeOf(stranger.client.query("approvals:get", { approvalId: asked._id })), "not_found");
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    assert.deepEqual((await sse).events.map(({ event }) => event), ["tool_start", "approval_required", "approval", "done"]);
  });

  test("AP-04: kill -9 between the request and the decision; the run goes on", async (t) => {
    const own = await Server.start(t);
    const { token, backend, ask, generationId, messageId } = await begin(t, own, await serviceKey(own));
    const asked = await ask("t1");
    await own.kill();
    await own.start();
    const person = http(own, token);
    const inbox = await person.query("approvals:list", page());
    assert.deepEqual([inbox.pendingCount, inbox.page[0]._id], [1, asked._id]);
    await person.mutation("approvals:decide", { approvalId: asked._id, decision: "approve" });
    assert.equal((await backend.query("approvals:get", { approvalId: asked._id })).status, "approved");
    await backend.mutation("generations:append", { generationId, events: [{ type: "tool_end", toolCallId: "t1", output: "paid" }] });
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    const { parts } = await person.query("messages:get", { messageId });
    assert.deepEqual(parts.map(({ type, state, status }) => [type, state ?? status]), [["tool_call", "completed"], ["approval", "approved"]]);
    await own.stop();
    const doctor = await run(["doctor", "--data", own.data]);
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  });

  test("AP-05: a time that is up is shown as such, everywhere", async (t) => {
    const { client, backend, ask, decide, generationId } = await begin(t);
    const inbox = watch(client, "approvals:list", page());
    const asked = await ask("t1", { expiresAt: Date.now() + 3_000 });
    await until(() => inbox.current?.page[0]?.status === "expired");
    assert.equal(inbox.current.pendingCount, 0);
    assert.equal(await codeOf(decide(asked)), "already_resolved");
    const { events } = await backend.query("generations:deltas", { generationId, cursor: 0 });
    assert.deepEqual(events.filter(({ type }) => type === "approval").map(({ status }) => status), ["pending", "expired"]);
    await backend.mutation("generations:finish", { generationId, status: "error", error: { code: "interrupted", message: "Nobody decided.", retryable: true } });
  });
});
