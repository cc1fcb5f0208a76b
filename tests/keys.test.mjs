// Service keys: made, listed and revoked on the command line; scopes, expiry and last use on every wire.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, describe, test } from "node:test";
import { http, page, refusal } from "./lib/clients.mjs";
import { RawSession } from "./lib/raw.mjs";
import { run, Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";
import { call, operatorToken } from "./lib/workers.mjs";

const server = await Server.start({ after });
const NOWHERE = "thr_00000000000000000000000000";

/** `spool key …` beside the running server. */
async function spool(...args) {
  const result = await run(["key", ...args, "--data", server.data]);
  assert.equal(result.code, 0, result.stderr);
  return result.stdout;
}

let labels = 0;

/** A key with a label of its own: `{key, label}`. */
async function create(...args) {
  const label = `key-${(labels += 1)}`;
  const key = (await spool("create", "--label", label, ...args)).trim();
  assert.match(key, /^spk_[\w-]{43,}$/);
  return { key, label };
}

/** The line of a key in `spool key list`, by column. */
async function listed(label) {
  const [head, ...lines] = (await spool("list")).trimEnd().split("\n");
  assert.match(head, /^ID +LABEL +SCOPES +CREATED +EXPIRES +LAST USED +STATE$/);
  const cells = lines.map((line) => line.split(/ {2,}/)).find((line) => line[1] === label);
  const [id, , scopes, created, expires, lastUsed, state] = cells;
  return { id, scopes, created, expires, lastUsed, state };
}

describe("service keys", { concurrency: true }, () => {
  test("IA-10: a key calls what its scopes cover and nothing else, over HTTP and a socket", async (t) => {
    const { key } = await create("--scope", "artifacts:*", "--scope", "threads:get");
    const refused = [
      ["mutation", "threads:remove", { threadId: NOWHERE }],
      ["mutation", "threads:create", {}],
      ["mutation", "generations:open", { threadId: NOWHERE }],
      ["mutation", "workers:connect", {}],
      ["action", "turns:sendAndWait", { threadId: NOWHERE, text: "x" }],
    ];
    for (const [kind, path, args] of refused) {
      const { status, json } = await call(server, kind, path, args, key);
      assert.deepEqual([status, json.code], [403, "forbidden"], path);
    }
    const nobody = await call(server, "mutation", "threads:create", {});
    assert.deepEqual([nobody.status, nobody.json.code], [401, "unauthenticated"]);
    assert.equal((await call(server, "query", "threads:get", { threadId: NOWHERE }, key)).json.status, "success");

    const session = await RawSession.open(t, server);
    session.authenticate(key);
    const [covered, foreign] = session.modify([["threads:get", { threadId: NOWHERE }], ["threads:page", page()]]);
    await session.settled();
    assert.equal((await session.result(covered)).type, "QueryUpdated");
    const failed = await session.result(foreign);
    assert.deepEqual([failed.type, failed.errorData.code], ["QueryFailed", "forbidden"]);
    const removed = await session.mutation("threads:remove", { threadId: NOWHERE });
    assert.deepEqual([removed.success, removed.errorData.code], [false, "forbidden"]);
    const waited = await session.response(session.request("Action", "turns:sendAndWait", { threadId: NOWHERE, text: "x" }));
    assert.deepEqual([waited.success, waited.errorData.code], [false, "forbidden"]);
    const internal = await session.mutation("keys:create", { scopes: ["*"], secretHash: "0".repeat(64) });
    assert.equal(internal.errorData.code, "function_not_found", "no key makes keys");
    await session.close();
  });

  test("IA-10: the list says when a key was used last, and never the key", async () => {
    const { key, label } = await create("--scope", "server:*", "--expires", "90d");
    const fresh = await listed(label);
    assert.deepEqual([fresh.scopes, fresh.lastUsed, fresh.state], ["server:*", "never", "valid"]);
    const days = (Date.parse(fresh.expires) - Date.parse(fresh.created)) / 86_400_000;
    assert.ok(Math.abs(days - 90) < 0.01, `${days} days`);
    await http(server, key).query("server:info", {});
    const used = await until(async () => {
      const line = await listed(label);
      return line.lastUsed === "never" ? undefined : line;
    }, { what: "the use to be noted" });
    assert.ok(Math.abs(Date.parse(used.lastUsed) - Date.now()) < 60_000, used.lastUsed);
    // At most once a minute, however often it is used.
    for (let n = 0; n < 20; n += 1) await http(server, key).query("server:info", {});
    assert.equal((await listed(label)).lastUsed, used.lastUsed);
    const all = await spool("list");
    const hash = createHash("sha256").update(key).digest("hex");
    assert.ok(!all.includes(key) && !all.includes(key.slice(4)) && !all.includes(hash));
  });

  test("IA-13: a revoked key is refused at once, and its socket closes within a second", async (t) => {
    const { key, label } = await create("--scope", "*");
    const session = await RawSession.open(t, server);
    session.authenticate(key);
    const [query] = session.modify([["threads:page", page()]]);
    await session.result(query);
    const { id } = await listed(label);
    await spool("revoke", id);
    const since = performance.now();
    await within(session.closed, "the socket to close", 5000);
    assert.ok(performance.now() - since < 1000, "within a second of the answer to the operator");
    assert.ok(session.messages.some(({ type }) => type === "AuthError"));
    const { status, json } = await call(server, "query", "threads:page", page(), key);
    assert.deepEqual([status, json.reason], [401, "unknown_key"]);
    assert.equal((await listed(label)).state, "revoked");
    const again = await run(["key", "revoke", "crd_00000000000000000000000000", "--data", server.data]);
    assert.notEqual(again.code, 0);
    assert.match(again.stderr, /No such key/);
  });

  test("IA-11: a key that expires closes its socket and is refused from then on", async (t) => {
    const key = `spk_${randomBytes(32).toString("base64url")}`;
    const secretHash = createHash("sha256").update(key).digest("hex");
    const expiresAt = Date.now() + 2500;
    const made = await call(server, "mutation", "keys:create", { scopes: ["*"], secretHash, expiresAt, label: "short" }, await operatorToken(server));
    assert.equal(made.json.status, "success", JSON.stringify(made.json));
    const session = await RawSession.open(t, server);
    session.authenticate(key);
    const [query] = session.modify([["threads:page", page()]]);
    await session.result(query);
    await within(session.closed, "the socket to close", 10_000);
    const late = Date.now() - expiresAt;
    assert.ok(late > -50 && late < 1500, `${late} ms after the expiry`);
    assert.equal((await refusal(http(server, key).query("threads:page", page()))).reason, "unknown_key");
    assert.equal((await listed("short")).state, "expired");
  });

  test("OP-09: a wrong duration is named, and makes no key", async () => {
    for (const wrong of ["soon", "0d", "90", "-1d"]) {
      const { code, stderr, stdout } = await run(["key", "create", "--scope", "*", `--expires=${wrong}`, "--data", server.data]);
      assert.notEqual(code, 0, wrong);
      assert.match(stderr, /expires/);
      assert.equal(stdout, "");
    }
  });
});
