// Artifacts, lists of what is to be done and runs in phases through the front door: the official client, a
// backend with a service key, restarts.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, http, live, page, refusal, user, watch } from "./lib/clients.mjs";
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
  const opened = await backend.mutation("generations:open", { threadId, text: "research" });
  return { ...person, ...opened, backend, threadId };
}

/** Reads a version as it is written, going on at each cursor: `{text, done, pages, bytes}` so far. */
function follow(client, artifactId, version) {
  const seen = { text: "", done: false, pages: 0, bytes: 0 };
  let stop = () => {};
  const from = (cursor) => {
    const end = client.onUpdate("artifacts:deltas", { artifactId, version, cursor }, (result) => {
      if (result.text === "" && !result.done) return;
      stop();
      seen.text += result.text;
      seen.pages += 1;
      seen.bytes += Buffer.byteLength(result.text);
      seen.done = result.done;
      if (!result.done) from(result.cursor);
    });
    stop = end;
  };
  from(0);
  return seen;
}

describe("artifacts", { concurrency: true }, () => {
  test("AR-01 AR-08: a version streams to every device while it is written, each byte once", async (t) => {
    const { client, token, backend, threadId, generationId } = await begin(t);
    const log = watch(client, "generations:deltas", { generationId, cursor: 0 });
    const begun = await backend.mutation("artifacts:begin", { threadId, generationId, kind: "report", title: "Report", key: "k" });
    await until(() => log.current?.events.some(({ artifactId }) => artifactId === begun.artifactId));
    const opens = await client.query("artifacts:get", { artifactId: begun.artifactId });
    assert.deepEqual([opens.content, opens.current, opens.writing], ["", 0, 1]);
    const summaries = watch(client, "artifacts:listByThread", { threadId, ...page() });
    await until(() => summaries.current?.page[0]?.writing === 1);
    const phone = live(t, server, token);
    const readers = [follow(client, begun.artifactId, 1), follow(phone, begun.artifactId, 1)];
    let text = "";
    for (let n = 0; n < 40; n += 1) {
      const piece = `Zeile ${n}: grün\n`;
      const { cursor } = await backend.mutation("artifacts:append", { artifactId: begun.artifactId, version: 1, offset: Buffer.byteLength(text), text: piece });
      text += piece;
      assert.equal(cursor, Buffer.byteLength(text));
      if (n === 10) await until(() => readers.every((reader) => reader.text.startsWith("Zeile 0")));
    }
    assert.equal((await phone.query("artifacts:get", { artifactId: begun.artifactId, version: 1 })).content, text);
    await backend.mutation("artifacts:finish", { artifactId: begun.artifactId, version: 1 });
    await until(() => readers.every(({ done }) => done));
    for (const reader of readers) {
      assert.equal(reader.text, text);
      assert.equal(reader.bytes, Buffer.byteLength(text));
    }
    const late = follow(client, begun.artifactId, 1);
    await until(() => late.done);
    assert.equal(late.text, text);
    await until(() => summaries.current.page[0].version === 1 && summaries.current.page[0].writing === undefined);
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    assert.deepEqual(client.faults, []);
  });

  test("AR-02 AR-03: two editors, one is told; differences; a new approved plan takes the old one's place", async (t) => {
    const { client, token, threadId, backend } = await begin(t);
    const phone = http(server, token);
    const made = await client.mutation("artifacts:create", { threadId, kind: "plan", title: "Plan", content: "one\ntwo\n" });
    const edit = (who, content) => who.mutation("artifacts:update", { artifactId: made.artifactId, baseVersion: 1, content });
    const outcomes = await Promise.allSettled([edit(client, "one\nzwei\n"), edit(phone, "one\ndeux\n")]);
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.equal(outcomes.find(({ status }) => status === "rejected").reason.data.code, "history_conflict");
    const { unified, added, removed } = await client.query("artifacts:diff", { artifactId: made.artifactId, from: 1, to: 2 });
    assert.deepEqual([added, removed], [1, 1]);
    assert.match(unified, /^@@ -1,2 \+1,2 @@\n one\n-two\n\+(zwei|deux)\n$/);
    const { page: versions } = await client.query("artifacts:versions", { artifactId: made.artifactId, ...page() });
    assert.deepEqual(versions.map(({ version }) => version), [2, 1]);
    const approve = (artifactId, baseVersion) => client.mutation("artifacts:update", { artifactId, baseVersion, status: "approved" });
    await approve(made.artifactId, 2);
    assert.equal(await codeOf(client.mutation("artifacts:update", { artifactId: made.artifactId, baseVersion: 2, status: "draft" })), "invalid_transition");
    const next = await backend.mutation("artifacts:create", { threadId, kind: "plan", title: "Plan 2", content: "other" });
    const old = watch(client, "artifacts:get", { artifactId: made.artifactId });
    await until(() => old.current?.status === "approved");
    await approve(next.artifactId, 1);
    await until(() => old.current.status === "superseded");
  });

  test("AR-04 AR-05: cards are the same after a reload and on a second device; edits are seen by all", async (t) => {
    const { client, token, backend, threadId, generationId, messageId } = await begin(t);
    await backend.mutation("generations:append", { generationId, events: [{ type: "text", text: "here " }] });
    const made = await backend.mutation("artifacts:create", { threadId, generationId, kind: "code", title: "main.rs", content: "fn main() {}" });
    await backend.mutation("generations:append", { generationId, events: [{ type: "text", text: "it is" }] });
    await client.mutation("artifacts:update", { artifactId: made.artifactId, baseVersion: 1, content: "fn main() { edit() }" });
    assert.equal((await backend.query("artifacts:get", { artifactId: made.artifactId })).content, "fn main() { edit() }");
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    const shown = await client.query("messages:get", { messageId });
    assert.deepEqual(shown.parts.map(({ type, version }) => [type, version]), [["text", undefined], ["artifact", 2], ["text", undefined]]);
    for (const device of [http(server, token), live(t, server, token)]) {
      assert.deepEqual((await device.query("messages:get", { messageId })).parts, shown.parts);
    }
  });

  test("AR-06 AR-08: a writer whose answers are lost goes on where it was, over kill -9; what it leaves is kept", async (t) => {
    const own = await Server.start(t);
    const secret = await serviceKey(own);
    const { token, backend, threadId, generationId } = await begin(t, own, secret);
    const first = { threadId, generationId, kind: "report", title: "Report", key: "report" };
    const begun = await backend.mutation("artifacts:begin", first);
    const append = (offset, text) => backend.mutation("artifacts:append", { artifactId: begun.artifactId, version: 1, offset, text });
    await append(0, "one ");
    await append(4, "two ");
    await own.kill();
    await own.start();
    assert.deepEqual(await backend.mutation("artifacts:begin", first), { artifactId: begun.artifactId, version: 1, cursor: 8, done: false });
    assert.deepEqual(await append(4, "two "), { cursor: 8 });
    const refused = await refusal(append(4, "TWO "));
    assert.deepEqual([refused.code, refused.end], ["offset_mismatch", 8]);
    await append(8, "three");
    await backend.mutation("generations:finish", { generationId, status: "error", error: { code: "interrupted", message: "gone", retryable: true } });
    const kept = await http(own, token).query("artifacts:get", { artifactId: begun.artifactId });
    assert.deepEqual([kept.content, kept.cut, kept.version], ["one two three", true, 1]);
    await own.stop();
    assert.equal(await codeOfFailure(backend.mutation("artifacts:create", { threadId, kind: "plan", title: "Lost", content: "x" })), "no answer", "a store that is down is an error of the run");
    const doctor = await run(["doctor", "--data", own.data]);
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  });
});

/** "no answer" if nobody answered at all. */
const codeOfFailure = (promise) => promise.then(() => "answered", (error) => (error.data === undefined ? "no answer" : error.data.code));

describe("runs in phases", { concurrency: true }, () => {
  const runtime = "claude-agent-sdk";

  test("AG-08 AP-03 AP-04: plan, ask, kill -9 in every phase, an edit is what is executed", async (t) => {
    const own = await Server.start(t);
    const { token, backend, threadId, generationId } = await begin(t, own, await serviceKey(own));
    const person = http(own, token);
    const again = async () => {
      await own.kill();
      await own.start();
      return person.query("sessions:getByThread", { threadId });
    };
    await backend.mutation("sessions:open", { threadId, runtime, externalId: "sdk-1", phases: true });
    assert.equal((await again()).phase, "planning");
    const plan = await backend.mutation("artifacts:create", { threadId, generationId, kind: "plan", title: "Plan", content: "one", key: "plan" });
    const asked = await backend.mutation("approvals:request", { generationId, kind: "plan", artifactId: plan.artifactId });
    const waits = await again();
    assert.deepEqual([waits.phase, waits.planArtifactId, waits.planVersion, waits.externalId], ["awaiting_approval", plan.artifactId, 1, "sdk-1"]);
    const jump = await refusal(backend.mutation("sessions:update", { threadId, runtime, phase: "executing" }));
    assert.deepEqual([jump.code, jump.phase, jump.reason], ["invalid_phase", "awaiting_approval", "plan_not_approved"]);
    const decided = await person.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", edited: "two" });
    const executing = await again();
    assert.deepEqual([executing.phase, executing.planVersion, decided.editedVersion], ["executing", 2, 2]);
    const { content } = await backend.query("artifacts:get", { artifactId: executing.planArtifactId, version: executing.planVersion });
    assert.equal(content, "two");
    await backend.mutation("sessions:update", { threadId, runtime, phase: "done" });
    assert.equal((await again()).phase, "done");
    await own.stop();
    const doctor = await run(["doctor", "--data", own.data]);
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  });

  test("AP-06 AP-07: a rejection plans again with the reason; a decision outside of its phase is a conflict", async (t) => {
    const { client, backend, threadId, generationId } = await begin(t);
    await backend.mutation("sessions:open", { threadId, runtime, phases: true });
    const session = watch(client, "sessions:getByThread", { threadId });
    const plan = async (content) => {
      const { artifactId } = await backend.mutation("artifacts:create", { threadId, kind: "plan", title: "Plan", content });
      return backend.mutation("approvals:request", { generationId, kind: "plan", artifactId });
    };
    const first = await plan("one");
    await until(() => session.current?.phase === "awaiting_approval");
    await client.mutation("approvals:decide", { approvalId: first._id, decision: "reject", reason: "too dear" });
    await until(() => session.current.phase === "planning");
    assert.equal(session.current.rejection, "too dear");
    const second = await plan("two");
    await backend.mutation("sessions:update", { threadId, runtime, phase: "planning", rejection: "a mistake" });
    const late = await refusal(client.mutation("approvals:decide", { approvalId: second._id, decision: "approve" }));
    assert.deepEqual([late.code, late.phase], ["invalid_phase", "planning"]);
    const answer = await fetch(`${server.url}/api/run/sessions/update`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ args: { threadId, runtime, phase: "done" } }),
    });
    assert.equal((await answer.json()).errorData?.code ?? answer.status, "invalid_phase");
  });

  test("AG-09: a runtime that lost its session is told the conversation again, and the answer says so", async (t) => {
    const { client, token, backend, threadId, generationId } = await begin(t);
    const sse = followSse(server, token, generationId);
    await backend.mutation("sessions:open", { threadId, runtime, externalId: "gone" });
    await backend.mutation("sessions:markLost", { threadId, runtime, generationId });
    const session = watch(client, "sessions:getByThread", { threadId });
    await until(() => session.current?.status === "lost");
    const transcript = await backend.query("messages:page", { threadId, ...page() });
    assert.deepEqual(transcript.page.map(({ role, text }) => [role, text]), [["user", "research"], ["assistant", ""]]);
    await backend.mutation("sessions:update", { threadId, runtime, externalId: "new" });
    await until(() => session.current.status === "active" && session.current.externalId === "new");
    await backend.mutation("generations:finish", { generationId, status: "complete", text: "as I said" });
    const { events } = await sse;
    assert.ok(events.some(({ event, data }) => event === "activity" && JSON.stringify(data).includes("context_replayed")), JSON.stringify(events));
    // The next turn goes on in the new session, and nothing is told again.
    const next = await backend.mutation("generations:open", { threadId, text: "go on" });
    const resumed = await backend.mutation("sessions:open", { threadId, runtime });
    assert.deepEqual([resumed.status, resumed.externalId], ["active", "new"]);
    await backend.mutation("generations:finish", { generationId: next.generationId, status: "complete", text: "gone on" });
    assert.equal((await client.query("messages:get", { messageId: next.messageId })).text, "gone on");
    // It forgets again: the turn after that finds out, is given the whole transcript, and its own log says so.
    const third = await backend.mutation("generations:open", { threadId, text: "and then?" });
    await backend.mutation("sessions:markLost", { threadId, runtime, generationId: third.generationId });
    const again = await backend.query("messages:page", { threadId, ...page(), order: "asc" });
    assert.deepEqual(again.page.map(({ text }) => text), ["research", "as I said", "go on", "gone on", "and then?", ""]);
    await backend.mutation("sessions:update", { threadId, runtime, externalId: "newer" });
    await backend.mutation("generations:finish", { generationId: third.generationId, status: "complete", text: "the end" });
    const told = async (id) => JSON.stringify((await client.query("generations:deltas", { generationId: id, cursor: 0 })).events).split("context_replayed").length - 1;
    assert.deepEqual([await told(generationId), await told(next.generationId), await told(third.generationId)], [1, 0, 1]);
    const settledSession = await client.query("sessions:getByThread", { threadId });
    assert.deepEqual([settledSession.status, settledSession.externalId], ["active", "newer"]);
  });

  test("AG-10: a mode in which nobody answers is a typed error", async (t) => {
    const { client } = await user(t, server);
    const threadId = await client.mutation("threads:create", {});
    const refused = await refusal(client.mutation("turns:send", { threadId, text: "hello", mode: "sandbox" }));
    assert.deepEqual([refused.code, refused.mode, refused.available], ["runner_unavailable", "sandbox", "hosted"]);
    await client.mutation("turns:send", { threadId, text: "hello", mode: "hosted" });
  });

  test("AG-12: the list of what is to be done is live, and a stale change is told", async (t) => {
    const { client, backend, threadId } = await begin(t);
    const list = watch(client, "todos:get", { threadId });
    await until(() => list.current?.version === 0);
    const todos = [{ text: "read", status: "in_progress" }];
    await backend.mutation("todos:update", { threadId, baseVersion: 0, todos });
    await until(() => list.current.version === 1);
    assert.deepEqual([list.current.todos, list.current.author], [todos, "agent"]);
    assert.equal(await codeOf(client.mutation("todos:update", { threadId, baseVersion: 0, todos: [] })), "history_conflict");
  });
});

// Alone: in a debug build a text of this size takes a second of the machine.
test("AR-07: many large contents, and a list that loads none", async (t) => {
  const { token, threadId } = await begin(t);
  const direct = http(server, token);
  const content = "0123456789abcdef".repeat((10 * MIB) / 16);
  for (let n = 0; n < 3; n += 1) await direct.mutation("artifacts:create", { threadId, kind: "report", title: `Report ${n}`, content });
  const began = performance.now();
  const list = await direct.query("artifacts:listByThread", { threadId, ...page() });
  t.diagnostic(`3 artifacts of 10 MiB listed in ${(performance.now() - began).toFixed(1)} ms`);
  assert.equal(list.page.length, 3);
  assert.ok(JSON.stringify(list).length < 10_000);
  assert.equal(await codeOf(direct.mutation("artifacts:create", { threadId, kind: "report", title: "Too large", content: "x".repeat(16 * MIB + 1) })), "too_large");
});
