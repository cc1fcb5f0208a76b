// Workers through the front door: their tokens, what they reach, and how they end.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { after, describe, test } from "node:test";
import { follow, http, refusal, send, settled, user, watch } from "./lib/clients.mjs";
import { RawSession } from "./lib/raw.mjs";
import { run, Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";
import { call, makeWorker } from "./lib/workers.mjs";

const server = await Server.start({ after });

const TOKEN = /^machine_(mch_\w{26}):worker_(wkr_\w{26}):secret_([\w-]{43,})$/;
const says = (generationId, epoch, text) => ({ generationId, epoch, events: [{ type: "text", text }] });

/** Why a token is refused: `[status, code, reason]`. */
async function refusedBecause(token, at = server) {
  const { status, json } = await call(at, "mutation", "workers:connect", {}, token);
  return [status, json.code, json.reason];
}

/** A person with a worker, and a thread in which it answers. */
async function begin(t) {
  const person = await user(t, server);
  const worker = await makeWorker(server, person);
  const threadId = await person.client.mutation("threads:create", { workerId: worker.workerId });
  return { person, worker, threadId };
}

/** Every file below `dir`, as bytes. */
async function files(dir) {
  const found = await readdir(dir, { recursive: true, withFileTypes: true });
  return Promise.all(found.filter((entry) => entry.isFile()).map((entry) => readFile(path.join(entry.parentPath, entry.name))));
}

describe("workers", { concurrency: true }, () => {
  test("ST-08: numbered chunks arrive in any order, are taken once, and gaps are told", async (t) => {
    const { person, worker, threadId } = await begin(t);
    const { generationId, messageId } = await send(person.client, "in any order", threadId);
    const { client, token, epoch } = worker;
    await client.mutation("workers:claim", { epoch, generationId });
    const log = follow(person.client, generationId);
    const chunk = (sequence) => client.mutation("generations:append", { ...says(generationId, epoch, String(sequence)), sequence });
    const told = [];
    for (const sequence of [0, 2, 1, 1, 3]) told.push(await chunk(sequence));
    assert.deepEqual(told.map(({ appended, held, duplicate, missing }) => [appended, held, duplicate, missing]), [
      [true, undefined, undefined, undefined],
      [false, true, undefined, [1]],
      [true, undefined, undefined, undefined],
      [true, undefined, true, undefined],
      [true, undefined, undefined, undefined],
    ]);
    await until(() => log.text === "0123");
    await chunk(4);
    assert.deepEqual((await chunk(6)).missing, [5]);

    const cut = await call(server, "mutation", "generations:finish", { generationId, epoch, status: "complete" }, token);
    const { code, reason, missing } = cut.json.errorData ?? cut.json;
    assert.deepEqual([code, reason, missing], ["stream_conflict", "sequence_gap", [5]]);
    const far = await refusal(chunk(300));
    assert.deepEqual([far.code, far.reason, far.expected, far.missing[0]], ["stream_conflict", "sequence_gap", 5, 5]);

    const whole = { generationId, epoch, status: "complete", text: "0123456" };
    const finished = await client.mutation("generations:finish", whole);
    assert.deepEqual(await client.mutation("generations:finish", whole), finished);
    assert.equal((await log.end()).text, "0123456");
    assert.equal((await settled(person.client, messageId)).text, "0123456");
    assert.equal((await chunk(5)).appended, false);
  });

  test("ST-06: a final text that was not streamed counts, and is counted once", async (t) => {
    const own = await Server.start(t);
    const person = await user(t, own);
    const { client, epoch, workerId } = await makeWorker(own, person);
    const differed = async () => Number((await (await fetch(`${own.url}/metrics`)).text()).match(/^spool_texts_differed_total (\d+)/m)[1]);
    const answered = async (streamed, text) => {
      const threadId = await person.client.mutation("threads:create", { workerId });
      const { generationId, messageId } = await send(person.client, streamed, threadId);
      await client.mutation("workers:claim", { epoch, generationId });
      await client.mutation("generations:append", says(generationId, epoch, streamed));
      const finish = { generationId, epoch, status: "complete", text };
      const finished = await client.mutation("generations:finish", finish);
      assert.deepEqual(await client.mutation("generations:finish", finish), finished);
      assert.equal((await person.client.query("messages:get", { messageId })).text, text);
    };
    await answered("the same", "the same");
    await answered("the beginn", "the beginning");
    assert.equal(await differed(), 0);
    await answered("something else", "the final text");
    assert.equal(await differed(), 1);
  });

  test("IA-08: a token is shown once, kept as a hash, refused with a reason, and replaced", async (t) => {
    const own = await Server.start(t);
    const person = await user(t, own);
    const machineId = await person.client.mutation("machines:create", { name: "laptop" });
    const pending = watch(person.client, "workers:listPending", {});
    const { worker, token } = await person.client.action("workers:create", { machineId, name: "agent" });
    const [, machine, id, secret] = TOKEN.exec(token) ?? [];
    assert.deepEqual([machine, id], [machineId, worker._id], token.replace(secret, "…"));
    assert.ok(Buffer.from(secret, "base64url").length >= 32, "256 bits");
    await until(() => pending.current?.length === 1, { what: "the worker to wait for approval" });
    const workerId = worker._id;
    assert.deepEqual(await refusedBecause(token, own), [401, "invalid_token", "worker_pending"]);
    await person.client.mutation("workers:approve", { workerId });
    await until(() => pending.current?.length === 0, { what: "the worker to be approved" });
    const other = await person.client.action("workers:create", { machineId });
    for (const wrong of [
      token.replace(secret, "A".repeat(43)),
      token.replace(secret, TOKEN.exec(other.token)[3]),
      token.replace(id, other.worker._id),
      token.slice(0, -1),
      "machine_x:worker_y:secret_z",
    ]) {
      assert.deepEqual(await refusedBecause(wrong, own), [401, "invalid_token", "invalid_worker_secret"]);
    }
    const client = http(own, token);
    const { epoch, heartbeatMs } = await client.mutation("workers:connect", {});
    assert.ok(heartbeatMs <= 30_000);
    await client.mutation("workers:heartbeat", { epoch });
    const [row] = await person.client.query("workers:list", { machineId });
    assert.deepEqual([row.approval, row.presence], ["approved", "online"]);

    const rotated = await person.client.action("workers:rotate", { workerId });
    assert.notEqual(rotated.token, token);
    assert.deepEqual(await refusedBecause(token, own), [401, "invalid_token", "invalid_worker_secret"]);
    assert.equal((await refusal(http(own, rotated.token).mutation("workers:heartbeat", { epoch }))).code, "stale_epoch");
    await http(own, rotated.token).mutation("workers:connect", {});

    // Shown once: in no answer, in no log, and in no file, while the server runs and after it.
    const answers = [await person.client.query("workers:list", {}), await person.client.query("machines:list", {})];
    const second = TOKEN.exec(rotated.token)[3];
    const looks = async () => [...(await files(own.data)), Buffer.from(own.stderr), Buffer.from(JSON.stringify(answers))];
    const seen = [await looks()];
    await own.stop();
    seen.push(await looks());
    for (const file of seen.flat()) {
      for (const hidden of [secret, second, TOKEN.exec(other.token)[3]]) assert.ok(!file.includes(hidden), "a secret is stored");
    }
    assert.ok(seen[1].length > 2 && seen[1].some((file) => file.includes(workerId)), "the files were read");
    const { code, stdout } = await run(["doctor", "--data", own.data]);
    assert.equal(code, 0, stdout);
  });

  test("WK-07: a worker sees its work live, claims it, streams, and the person sees the answer grow", async (t) => {
    const { person, worker, threadId } = await begin(t);
    const session = await RawSession.open(t, server);
    session.authenticate(worker.token);
    const [assigned] = session.modify([["workers:assigned", { epoch: worker.epoch }]]);
    await session.result(assigned, ({ value }) => value?.length === 0);
    const sent = await send(person.client, "build it", threadId);
    await session.result(assigned, ({ value }) => value?.[0]?.generationId === sent.generationId && value[0].status === "queued");
    const log = watch(person.client, "generations:deltas", { generationId: sent.generationId, cursor: 0 });
    const claimed = await session.mutation("workers:claim", { epoch: worker.epoch });
    assert.equal(claimed.success, true, JSON.stringify(claimed));
    assert.deepEqual([claimed.result.generationId, claimed.result.claim.history.at(-1).text], [sent.generationId, "build it"]);
    for (const text of ["Done", " and", " tested."]) {
      const appended = await session.mutation("generations:append", says(sent.generationId, worker.epoch, text));
      assert.equal(appended.result?.appended, true, JSON.stringify(appended));
    }
    await until(() => log.current?.events?.[0]?.text === "Done and tested.", { what: "the person to see the text" });
    await session.mutation("generations:finish", { generationId: sent.generationId, epoch: worker.epoch, status: "complete" });
    const answer = await settled(person.client, sent.messageId);
    assert.deepEqual([answer.status, answer.text, answer.origin], ["complete", "Done and tested.", "worker"]);
    await session.result(assigned, ({ value }) => value?.length === 0, "the work to be gone");
    await session.close();
  });

  test("AP-01 AP-03: a worker asks before it acts, the person decides and edits, and the worker is told live", async (t) => {
    const { person, worker, threadId } = await begin(t);
    const { generationId, messageId } = await send(person.client, "clean up", threadId);
    await worker.client.mutation("workers:claim", { epoch: worker.epoch });
    const call = { generationId, epoch: worker.epoch, kind: "tool_call", toolCallId: "c1", tool: "shell", input: { command: "rm -r build" } };
    const asked = await worker.client.mutation("approvals:request", call);
    assert.equal((await worker.client.mutation("approvals:request", call))._id, asked._id, "asking again is asking once");
    const session = await RawSession.open(t, server);
    session.authenticate(worker.token);
    const [mine] = session.modify([["approvals:ofAnswer", { generationId, epoch: worker.epoch }]]);
    await session.result(mine, ({ value }) => value?.[0]?.status === "pending");
    const inbox = await person.client.query("approvals:list", { paginationOpts: { numItems: 5, cursor: null } });
    assert.deepEqual(inbox.page.map(({ tool, input }) => [tool, input]), [["shell", { command: "rm -r build" }]]);
    await person.client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", edited: { command: "rm -r build/cache" } });
    await session.result(mine, ({ value }) => value?.[0]?.status === "approved" && value[0].editedInput.command === "rm -r build/cache", "the worker to be told");
    assert.equal((await refusal(worker.client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve" }))).code, "forbidden");
    await worker.client.mutation("generations:finish", { generationId, epoch: worker.epoch, status: "complete" });
    const answer = await settled(person.client, messageId);
    assert.deepEqual(answer.parts.map(({ type }) => type), ["tool_call", "approval"]);
    await session.close();
  });

  test("IA-09: another worker, a person and nobody reach nothing of it", async (t) => {
    const { person, worker, threadId } = await begin(t);
    const { generationId } = await send(person.client, "mine", threadId);
    await worker.client.mutation("workers:claim", { epoch: worker.epoch });
    const strangers = [await makeWorker(server, person), await makeWorker(server, await user(t, server))];
    const missing = generationId.replace(/.{4}$/, (tail) => (tail === "0000" ? "1111" : "0000"));
    for (const { client, epoch } of strangers) {
      for (const [path_, args] of [
        ["generations:append", (id) => says(id, epoch, "x")],
        ["generations:finish", (id) => ({ generationId: id, epoch, status: "complete" })],
        ["workers:claim", (id) => ({ epoch, generationId: id })],
      ]) {
        const foreign = await refusal(client.mutation(path_, args(generationId)));
        const absent = await refusal(client.mutation(path_, args(missing)));
        assert.deepEqual([foreign.code, foreign.message], ["not_found", absent.message], path_);
        assert.equal(absent.code, "not_found");
        const anonymous = await call(server, "mutation", path_, args(generationId));
        assert.deepEqual([anonymous.status, anonymous.json.code], [401, "unauthenticated"], path_);
        const owner = await call(server, "mutation", path_, args(generationId), person.token);
        assert.deepEqual([owner.status, owner.json.code], [403, "forbidden"], path_);
      }
      // Not even what it may read of its own owner as a person.
      for (const [kind, path_, args] of [
        ["query", "threads:get", { threadId }],
        ["query", "messages:page", { threadId, paginationOpts: { numItems: 1, cursor: null } }],
        ["query", "workers:list", {}],
        ["mutation", "threads:remove", { threadId }],
      ]) {
        assert.equal((await refusal(client[kind](path_, args))).code, "forbidden", path_);
      }
    }
    const read = await fetch(`${server.url}/api/stream/${generationId}`, { headers: { authorization: `Bearer ${strangers[1].token}` } });
    assert.ok([403, 404].includes(read.status), `${read.status}`);
    assert.equal((await worker.client.mutation("generations:append", says(generationId, worker.epoch, "x"))).appended, true);
  });

  test("WK-08: a second process with the same token fences the first", async (t) => {
    const { person, worker, threadId } = await begin(t);
    const { generationId, messageId } = await send(person.client, "one", threadId);
    await worker.client.mutation("workers:claim", { epoch: worker.epoch });
    await worker.client.mutation("generations:append", says(generationId, worker.epoch, "half"));
    const first = await RawSession.open(t, server);
    first.authenticate(worker.token);
    const [assigned] = first.modify([["workers:assigned", { epoch: worker.epoch }]]);
    await first.result(assigned, ({ type }) => type === "QueryUpdated");
    const { epoch } = await worker.client.mutation("workers:connect", {});
    assert.ok(epoch > worker.epoch);
    const told = await first.result(assigned, ({ type }) => type === "QueryFailed", "the first to hear of it");
    assert.deepEqual([told.errorData.code, told.errorData.epoch], ["stale_epoch", epoch]);
    const late = await refusal(worker.client.mutation("generations:append", says(generationId, worker.epoch, "late")));
    assert.equal(late.code, "stale_epoch");
    const message = await settled(person.client, messageId);
    assert.deepEqual([message.status, message.text], ["interrupted", "half"]);
    await first.close();
  });

  test("IA-13: revoking a worker closes its socket within a second, and ends what it was writing", async (t) => {
    for (const [path_, kind, reason] of [["workers:revoke", "mutation", "worker_revoked"], ["workers:rotate", "action", "invalid_worker_secret"], ["workers:remove", "mutation", "worker_removed"]]) {
      const { person, worker, threadId } = await begin(t);
      const { generationId, messageId } = await send(person.client, "one", threadId);
      await worker.client.mutation("workers:claim", { epoch: worker.epoch });
      await worker.client.mutation("generations:append", says(generationId, worker.epoch, "half"));
      const session = await RawSession.open(t, server);
      session.authenticate(worker.token);
      const [assigned] = session.modify([["workers:assigned", { epoch: worker.epoch }]]);
      await session.result(assigned, ({ value }) => value?.length === 1);
      await person.client[kind](path_, { workerId: worker.workerId });
      const since = performance.now();
      await within(session.closed, `the socket to close after ${path_}`, 5000);
      const late = performance.now() - since;
      assert.ok(late < 1000, `${path_}: closed ${late} ms after its answer`);
      assert.ok(session.messages.some(({ type }) => type === "AuthError"), "and it was told");
      assert.deepEqual(await refusedBecause(worker.token), [401, "invalid_token", reason]);
      const message = await settled(person.client, messageId);
      assert.deepEqual([message.status, message.text], ["interrupted", "half"], path_);
    }
  });

  test("WK-01: removing a machine ends its workers and keeps what they wrote", async (t) => {
    const { person, worker, threadId } = await begin(t);
    const machines = watch(person.client, "machines:list", {});
    await until(() => machines.current?.[0]?.workers.online === 1, { what: "the worker to be counted" });
    const { messageId } = await send(person.client, "one", threadId);
    await person.client.mutation("machines:remove", { machineId: worker.machineId });
    const message = await settled(person.client, messageId);
    assert.deepEqual([message.status, message.error.code], ["error", "worker_unavailable"]);
    await until(() => machines.current?.length === 0, { what: "the machine to be gone" });
    assert.deepEqual(await refusedBecause(worker.token), [401, "invalid_token", "worker_removed"]);
    const again = await refusal(person.client.mutation("turns:send", { threadId, text: "more" }));
    assert.equal(again.code, "not_found");
    await person.client.mutation("threads:update", { threadId, workerId: null });
    const hosted = await send(person.client, "more", threadId);
    assert.equal((await settled(person.client, hosted.messageId, 60_000)).status, "complete");
  });

  test("ST-11: a claim outlives a restart of the server, and so does the fence", async (t) => {
    const own = await Server.start(t);
    const person = await user(t, own);
    const worker = await makeWorker(own, person);
    const threadId = await person.http.mutation("threads:create", { workerId: worker.workerId });
    const { generationId } = await person.http.mutation("turns:send", { threadId, text: "one" });
    await worker.client.mutation("workers:claim", { epoch: worker.epoch });
    await worker.client.mutation("generations:append", says(generationId, worker.epoch, "be"));
    await own.restart();
    assert.equal((await worker.client.mutation("generations:append", says(generationId, worker.epoch, "fore"))).appended, true);
    assert.equal((await refusal(worker.client.mutation("generations:append", says(generationId, worker.epoch - 1, "x")))).code, "stale_epoch");
    await worker.client.mutation("generations:finish", { generationId, epoch: worker.epoch, status: "complete" });
    const { page } = await person.http.query("messages:page", { threadId, paginationOpts: { numItems: 5, cursor: null } });
    assert.equal(page[1].text, "before");
  });
});
