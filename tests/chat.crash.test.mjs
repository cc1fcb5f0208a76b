// kill -9 in mid-stream: what was seen is kept, the turn becomes `interrupted` within its lease, nothing is
// left behind, and the thread goes on.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { after, describe, test } from "node:test";
import { follow, http, live, page, send, settled, user, watch } from "./lib/clients.mjs";
import { FakeLlm, paced } from "./lib/fake-llm.mjs";
import { run, Server } from "./lib/server.mjs";
import { followSse } from "./lib/sse.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const options = { env: fake.env, config: "[turns]\nlease_seconds = 3\n" };

describe("kill -9 in mid-stream", { concurrency: true }, () => {
  test("ST-11 ST-16: the turn is interrupted with its partial text; retry works", async (t) => {
    const server = await Server.start(t, options);
    const { client, token, http: reader } = await user(t, server);
    fake.script("st-11", (n) => (n === 0 ? [...paced(10, 5), { hang: true }] : ["second ", "try"]));
    const sent = await send(client, "st-11");
    const log = follow(client, sent.generationId);
    await until(() => log.text.endsWith("w9 "));
    const seen = log.text;

    await server.kill();
    await server.start();
    // At the first look after the start the text is whole, whatever the state is by then.
    const stored = await reader.query("generations:deltas", { generationId: sent.generationId, cursor: 0 });
    assert.equal(stored.events.filter(({ type }) => type === "text").map(({ text }) => text).join(""), seen);
    const { final } = await log.end();
    assert.equal(final.status, "interrupted");
    assert.equal(log.text, seen, "the follower went on over the restart, nothing twice");
    const message = await settled(client, sent.messageId);
    assert.deepEqual([message.status, message.text, message.error?.code], ["interrupted", seen, "interrupted"]);
    assert.deepEqual(await reader.query("generations:active", {}), []);
    assert.equal((await reader.query("threads:get", { threadId: sent.threadId })).activeGenerationId ?? null, null);
    const stream = await followSse(server, token, sent.generationId);
    assert.deepEqual([stream.text, stream.final.event, stream.final.code], [seen, "error", "interrupted"]);

    const retried = await client.mutation("turns:retry", { messageId: sent.messageId });
    assert.equal((await follow(client, retried.generationId).end()).text, "second try");
    const answer = await settled(client, sent.messageId);
    assert.deepEqual([answer.status, answer.text, answer.attempt], ["complete", "second try", 2]);
    assert.deepEqual(client.faults, []);
    const doctor = await run(["doctor", "--data", server.data]);
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  });

  test("ST-11: a turn goes on while its lease lasts, though a renewal fails", { timeout: 90_000 }, async (t) => {
    // Due at 10 s, and given up by the database at 20 s: somebody else holds its lock.
    const server = await Server.start(t, { env: fake.env, config: "[turns]\nlease_seconds = 30\n" });
    const { client } = await user(t, server);
    const word = gate();
    fake.script("locked", ["half ", { wait: word.opened }, "and half"]);
    const sent = await send(client, "locked");
    const log = follow(client, sent.generationId);
    await until(() => log.text === "half ");
    const sqlite = spawn("sqlite3", [path.join(server.data, "spool.db")], { stdio: ["pipe", "pipe", "inherit"] });
    const closed = new Promise((resolve) => sqlite.once("close", resolve));
    t.after(() => sqlite.kill());
    sqlite.stdin.write("PRAGMA busy_timeout = 5000;\nBEGIN IMMEDIATE;\nSELECT 'locked';\n");
    await until(() => /locked/.test(sqlite.stdout.read() ?? ""));
    await until(() => /a lease could not be renewed|turn given up/.test(server.stderr), { timeout: 40_000, what: "the renewal to fail" });
    sqlite.stdin.end("ROLLBACK;\n");
    await closed;
    word.open();
    const message = await settled(client, sent.messageId);
    assert.deepEqual([message.status, message.text], ["complete", "half and half"]);
    assert.equal(fake.of("locked").length, 1);
  });

  test("a turn that had not begun runs after the restart, or ends as interrupted; never both, never neither", async (t) => {
    const server = await Server.start(t, options);
    const { client } = await user(t, server);
    const begin = gate();
    fake.script("not begun", (n) => (n === 0 ? [{ hang: true }] : [{ wait: begin.opened }, "after the restart"]));
    const sent = await send(client, "not begun");
    await until(() => fake.of("not begun").length === 1);
    await server.restart();
    begin.open();
    const message = await settled(client, sent.messageId);
    if (message.status === "complete") assert.equal(message.text, "after the restart");
    else assert.deepEqual([message.status, message.text], ["interrupted", ""]);
    assert.ok(fake.of("not begun").length <= 2);
  });

  test("what was acknowledged before the kill is there after it, live for whoever stayed", async (t) => {
    const server = await Server.start(t, options);
    const { client, token } = await user(t, server);
    const list = watch(live(t, server, token), "threads:page", page());
    const made = [];
    for (let n = 0; n < 20; n += 1) {
      const threadId = await http(server, token).mutation("threads:create", { title: `t${n}` });
      const text = `message ${n} `.repeat(50);
      const { userMessageId } = await http(server, token).mutation("turns:send", { threadId, text });
      made.push({ threadId, userMessageId, text, title: `t${n}` });
    }
    await server.restart();
    for (const { threadId, userMessageId, text, title } of made) {
      assert.equal((await client.query("threads:get", { threadId })).title, title);
      assert.equal((await client.query("messages:get", { messageId: userMessageId })).text, text);
    }
    await until(() => list.current?.page.length === 20);
  });

  test("an optimistic mutation in flight over the kill happens exactly once", async (t) => {
    const server = await Server.start(t, options);
    const { client, token } = await user(t, server);
    const promises = Array.from({ length: 30 }, (_, n) => client.mutation("threads:create", { title: `in flight ${n}` }));
    await promises[0];
    await server.restart();
    const ids = await Promise.all(promises);
    const { page: threads } = await http(server, token).query("threads:page", page());
    assert.equal(threads.length, 30);
    assert.deepEqual(new Set(threads.map(({ _id }) => _id)), new Set(ids));
    assert.deepEqual(threads.map(({ title }) => title), Array.from({ length: 30 }, (_, n) => `in flight ${29 - n}`), "in their order");
  });
});
