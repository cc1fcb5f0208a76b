// The audit trail through the front door: who did what, who was refused, and never what was said.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, guest, http, live, page } from "./lib/clients.mjs";
import { run, Server, serviceKey } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

/** The whole trail as the operator reads it, newest first. */
async function trail(server) {
  const { code, stdout, stderr } = await run(["audit", "--data", server.data, "--limit", "1000"]);
  assert.equal(code, 0, stderr);
  return stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

const found = (server, wanted, what) =>
  until(async () => (await trail(server)).find(wanted), { what });

describe("OP-06: the audit trail", { concurrency: true }, () => {
  test("refusals are noted with who, what and why: a function, a scope, a credential", async (t) => {
    const server = await Server.start({ after });
    const { token, userId } = await guest(server);
    const client = live(t, server, token);
    assert.equal(await codeOf(client.mutation("generations:open", { threadId: "thr_00000000000000000000000000" })), "forbidden");
    const { stdout } = await run(["key", "create", "--scope", "threads:get", "--data", server.data]);
    const narrow = http(server, stdout.trim());
    assert.equal(await codeOf(narrow.mutation("threads:create", { title: "a planted title" })), "forbidden");
    assert.equal(await codeOf(http(server, "planted.bad.token").query("users:me", {})), "invalid_token");

    const byUser = await found(server, ({ action }) => action === "generations:open", "the user's refusal");
    assert.deepEqual([byUser.actor, byUser.outcome, byUser.reason], [`user:${userId}`, "denied", "forbidden"]);
    assert.match(byUser.address, /^[0-9a-f]{16}$/);
    assert.match(byUser.requestId, /^[0-9a-f]+$/);
    const byKey = await found(server, ({ action }) => action === "threads:create", "the key's refusal");
    assert.match(byKey.actor, /^service:crd_/);
    const byNobody = await found(server, ({ action }) => action === "credential.use", "the refused token");
    assert.deepEqual([byNobody.actor, byNobody.outcome], ["anonymous", "denied"]);
    assert.equal((await fetch(`${server.url}/v1/stream/x?signature=${userId}.${"0".repeat(64)}&expires=9999999999`)).status, 401);
    await found(server, ({ action, reason }) => action === "credential.use" && reason === "bad_signature", "the forged URL");
    const all = await trail(server);
    for (const action of ["user.join", "key.create", "key.use"]) assert.ok(all.some((entry) => entry.action === action), action);
    assert.doesNotMatch(JSON.stringify(all), /planted/);

    const mine = await client.query("audit:mine", page(10));
    assert.deepEqual(mine.page.map(({ action }) => action), ["generations:open", "user.join"]);
    assert.equal(await codeOf(client.query("audit:list", page(10))), "function_not_found");
    assert.equal(await codeOf(narrow.query("audit:mine", page(10))), "forbidden");
  });

  test("AP-02: a decision that is refused is noted, one and of many, and so is a change of a version of old", async (t) => {
    const server = await Server.start({ after });
    const [owner, stranger] = [await guest(server), await guest(server)];
    const [mine, theirs] = [owner, stranger].map(({ token }) => live(t, server, token));
    const threadId = await mine.mutation("threads:create", {});
    const backend = http(server, await serviceKey(server));
    const { generationId } = await backend.mutation("generations:open", { threadId });
    const ask = (toolCallId) => backend.mutation("approvals:request", { generationId, kind: "tool_call", toolCallId, tool: "pay", input: { planted: "planted" } });
    const [first, second] = [await ask("t1"), await ask("t2")];
    const decide = (client, { _id: approvalId }, more = {}) => client.mutation("approvals:decide", { approvalId, decision: "approve", reason: "planted", ...more });
    assert.equal(await codeOf(decide(theirs, first)), "not_found");
    assert.equal(await codeOf(decide(mine, second, { claim: { threadId, toolCallId: "t2", input: { planted: "other" } } })), "history_conflict");
    await decide(mine, first);
    assert.equal(await codeOf(decide(mine, first)), "already_resolved");
    const many = await theirs.mutation("approvals:decideMany", { decisions: [first, second].map(({ _id: approvalId }) => ({ approvalId, decision: "reject" })) });
    assert.deepEqual(many.map(({ error }) => error.code), ["not_found", "not_found"]);
    const { artifactId } = await mine.mutation("artifacts:create", { threadId, kind: "report", title: "planted", content: "planted" });
    await mine.mutation("artifacts:update", { artifactId, baseVersion: 1, content: "planted anew" });
    assert.equal(await codeOf(mine.mutation("artifacts:update", { artifactId, baseVersion: 1, content: "planted late" })), "history_conflict");
    assert.equal(await codeOf(theirs.query("approvals:get", { approvalId: first._id })), "not_found");

    const wanted = [
      [stranger, "approvals:decide", "not_found", first._id],
      [owner, "approvals:decide", "history_conflict", second._id],
      [owner, "approvals:decide", "already_resolved", first._id],
      [stranger, "approvals:decideMany", "not_found", first._id],
      [stranger, "approvals:decideMany", "not_found", second._id],
      [owner, "artifacts:update", "history_conflict", artifactId],
    ].map(([{ userId }, action, reason, subject]) => [`user:${userId}`, action, reason, subject].join(" "));
    await until(async () => {
      const denied = (await trail(server)).filter(({ outcome }) => outcome === "denied");
      const lines = denied.map(({ actor, action, reason, subject }) => [actor, action, reason, subject].join(" "));
      assert.ok(lines.length <= wanted.length, lines.join("\n"));
      return lines.length === wanted.length && wanted.every((line) => lines.includes(line));
    }, { what: "all of them, and nothing else, to be noted" });
    assert.doesNotMatch(JSON.stringify(await trail(server)), /planted/);
  });

  test("whoever is refused a thousand times fills no disk, and is counted", async () => {
    const server = await Server.start({ after });
    const { token } = await guest(server);
    const client = http(server, token);
    for (let n = 0; n < 10; n += 1) {
      const tries = Array.from({ length: 30 }, () => codeOf(client.mutation("generations:open", { threadId: "thr_00000000000000000000000000" })));
      assert.ok((await Promise.all(tries)).every((code) => code === "forbidden"));
    }
    await until(async () => {
      const all = await trail(server);
      const suppressed = all.reduce((sum, entry) => sum + (entry.suppressed ?? 0), 0);
      const noted = all.filter(({ action }) => action === "generations:open").length;
      assert.ok(noted <= 25, `${noted} are noted`);
      return noted + suppressed === 300;
    }, { what: "every refusal to be noted or counted" });
  });

  test("a decision is noted in its own transaction, over a restart too, and addresses as configured", async () => {
    const server = await Server.start({ after }, { config: '[audit]\naddresses = "full"\n' });
    const { token, userId } = await guest(server);
    const client = http(server, token);
    const threadId = await client.mutation("threads:create", {});
    const backend = http(server, await serviceKey(server));
    const { generationId } = await backend.mutation("generations:open", { threadId });
    const asked = await backend.mutation("approvals:request", { generationId, kind: "question", question: "planted?" });
    await client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", reason: "planted" });
    await server.restart();
    const entry = (await trail(server)).find(({ action }) => action === "approval.approve");
    assert.deepEqual([entry.actor, entry.subject, entry.address], [`user:${userId}`, asked._id, "127.0.0.1"]);
    assert.equal((await run(["doctor", "--data", server.data])).code, 0);
  });
});
