// The end of an account: nothing of one user is left in any table or file, and everything of another.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";
import { person, Visitor } from "./lib/account.mjs";
import { codeOf, guest, http, live, send, settled, watch } from "./lib/clients.mjs";
import { run, Server, serviceKey } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

/** What `sqlite3` (Debian's package of that name) says to a script about the database, as it is now. */
const sqlite = async (server, script) =>
  (await promisify(execFile)("sqlite3", ["-readonly", path.join(server.data, "spool.db"), script], { maxBuffer: 1 << 28 })).stdout;

/** Tables (the store's own, too) and files of the data directory in which `text` stands. */
async function places(server, text) {
  const hex = Buffer.from(text).toString("hex");
  const rows = (await sqlite(server, ".dump")).split("\n").filter((line) => line.includes(text) || line.includes(hex) || line.includes(hex.toUpperCase()));
  const found = rows.map((line) => line.slice(0, 60));
  for (const file of await readdir(server.data, { recursive: true, withFileTypes: true })) {
    // Pages that were freed are the database's to use again: what it still holds as rows is looked at above.
    if (!file.isFile() || file.name.startsWith("spool.db")) continue;
    const whole = path.join(file.parentPath, file.name);
    if (whole.includes(text) || (await readFile(whole)).includes(text)) found.push(whole);
  }
  return found;
}

/** A user with threads, answers, a file, an artifact and a stream. Returns what names them. */
async function settle(t, server, words) {
  const identity = await guest(server);
  const client = live(t, server, identity.token);
  const { threadId, messageId, generationId } = await send(client, `/script ${JSON.stringify({ deltas: [words] })}`);
  await settled(client, messageId);
  const headers = { authorization: `Bearer ${identity.token}` };
  const uploaded = await fetch(`${server.url}/api/uploads?threadId=${threadId}&name=a.txt`, { method: "POST", headers: { ...headers, "content-type": "text/plain" }, body: words });
  const upload = (await uploaded.json())._id;
  const { artifactId } = await client.mutation("artifacts:create", { threadId, kind: "plan", title: "t", content: words });
  const stream = await fetch(`${server.url}/v1/stream/mine`, { method: "PUT", headers: { ...headers, "content-type": "text/plain" }, body: words });
  assert.equal(stream.status, 201);
  return { ...identity, client, threadId, upload, ids: [identity.userId, threadId, messageId, generationId, upload, artifactId], words };
}

const gone = (server, ids) =>
  until(async () => (await Promise.all(ids.map((id) => places(server, id)))).flat().length === 0, { what: "every id to be gone", timeout: 30_000 })
    .catch(async (error) => {
      throw new Error(JSON.stringify(await Promise.all(ids.map(async (id) => [id, await places(server, id)]))), { cause: error });
    });

describe("IA-14: account deletion", { concurrency: 2 }, () => {
  test("removes every row and file of the user, says how many, ends the session, and leaves others alone", async (t) => {
    const server = await Server.start({ after });
    const mine = await settle(t, server, "planted-words-of-mine");
    const theirs = await settle(t, server, "planted-words-of-theirs");
    const device = live(t, server, mine.token);
    const threads = watch(device, "threads:page", { paginationOpts: { numItems: 10, cursor: null } });
    await until(() => threads.current?.page.length === 1);
    for (const confirm of ["", "no", "DELETE"]) assert.equal(await codeOf(mine.client.action("account:deleteMyAccount", { confirm })), "bad_request");
    // Something is being answered at this very moment.
    await send(mine.client, "/slow 30");
    const { deleted } = await within(mine.client.action("account:deleteMyAccount", { confirm: "delete" }), "the deletion", 30_000);
    for (const [table, count] of Object.entries({ users: 1, threads: 2, messages: 4, generations: 2, uploads: 1, artifacts: 1, artifact_versions: 1, artifact_contents: 1, streams: 1, holdings: 1 })) {
      assert.equal(deleted[table], count, `${table}: ${JSON.stringify(deleted)}`);
    }
    await gone(server, [...mine.ids, mine.words]);
    assert.deepEqual(await readdir(path.join(server.data, "uploads")), [theirs.upload]);

    // The token is dead on every wire, on open sockets too, and brings nothing back.
    assert.equal(await codeOf(http(server, mine.token).query("threads:page", { paginationOpts: { numItems: 1, cursor: null } })), "invalid_token");
    assert.equal((await fetch(`${server.url}/api/auth/guest`, { method: "POST", headers: { authorization: `Bearer ${mine.token}` } })).status, 401);
    await until(() => threads.errors.length > 0 || threads.current?.page.length === 0, { what: "the other device to hear of it" });
    for (const id of mine.ids) assert.deepEqual(await places(server, id), []);

    const answer = await http(server, theirs.token).query("threads:get", { threadId: theirs.threadId });
    assert.equal(answer._id, theirs.threadId);
    const file = await fetch(`${server.url}/api/uploads/${theirs.upload}`, { headers: { authorization: `Bearer ${theirs.token}` } });
    assert.equal(await file.text(), theirs.words);
    const stream = await fetch(`${server.url}/v1/stream/mine`, { headers: { authorization: `Bearer ${theirs.token}` } });
    assert.equal(await stream.text(), theirs.words);
    assert.equal((await run(["doctor", "--data", server.data])).code, 0);
  });

  test("kill -9 in the middle: the next start carries on by itself", async (t) => {
    const server = await Server.start({ after });
    const mine = await settle(t, server, "planted-words-of-the-killed");
    const client = http(server, mine.token);
    for (let thread = 0; thread < 8; thread += 1) {
      const threadId = await client.mutation("threads:create", {});
      await Promise.all(Array.from({ length: 150 }, (_, n) => client.mutation("messages:append", { threadId, role: "user", text: `${mine.words} ${n}` })));
    }
    client.action("account:deleteMyAccount", { confirm: "delete" }).catch(() => {});
    const marked = () => sqlite(server, "SELECT 1 FROM users WHERE document LIKE '%leavingAt%'");
    await until(marked, { every: 1, what: "the mark" });
    await server.kill();
    assert.notDeepEqual(await places(server, mine.userId), [], "it was not over yet");
    await server.start();
    await gone(server, [...mine.ids, mine.words]);
    assert.equal(await codeOf(http(server, mine.token).query("users:me", {})), "invalid_token");
    assert.equal((await run(["doctor", "--data", server.data])).code, 0);
  });

  test("the sessions of an account end with it: their tokens, their cookie, and what is open", async (t) => {
    const server = await Server.start({ after });
    const { visitor, token } = await person(server, "ada@example.com", "a password of the one who goes");
    const other = live(t, server, token);
    const open = watch(other, "users:me", {});
    await until(() => open.current?.email === "ada@example.com", { what: "the other device" });
    const reader = await fetch(`${server.url}/v1/stream/s`, { method: "PUT", headers: { authorization: `Bearer ${token}`, "content-type": "text/plain" } });
    assert.equal(reader.status, 201);
    await http(server, token).action("account:deleteMyAccount", { confirm: "ada@example.com" });
    for (const [kind, path, args] of [["query", "users:me", {}], ["query", "generations:active", {}], ["mutation", "threads:create", {}]]) {
      assert.equal(await codeOf(http(server, token)[kind](path, args)), "invalid_token", path);
    }
    assert.equal((await fetch(`${server.url}/v1/stream/s`, { headers: { authorization: `Bearer ${token}` } })).status, 401);
    assert.equal((await visitor.post("token")).status, 401);
    assert.equal((await new Visitor(server).post("sign-in", { email: "ada@example.com", password: "a password of the one who goes" })).body.reason, "wrong_password");
    await until(() => open.errors.length > 0 || open.current === null, { what: "the other device to hear of it" });
  });

  test("a key deletes no account", async () => {
    const server = await Server.start({ after });
    assert.equal(await codeOf(http(server, await serviceKey(server)).action("account:deleteMyAccount", { confirm: "delete" })), "forbidden");
    assert.equal(await codeOf(http(server).action("account:deleteMyAccount", { confirm: "delete" })), "unauthenticated");
  });
});
