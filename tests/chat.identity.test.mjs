// Who may do what, through the front door: one matrix over every public function of /openapi.json.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { guest, http, live, page, refusalOf, send, settled, user } from "./lib/clients.mjs";
import { Server, serviceKey } from "./lib/server.mjs";

const server = await Server.start({ after });
const openapi = await (await fetch(`${server.url}/openapi.json`)).json();
const functions = Object.entries(openapi["x-functions"]).map(([path, spec]) => ({ path, ...spec }));

/** Plausible values for required arguments whose schema alone does not tell a good one. */
const VALUES = {
  paginationOpts: { numItems: 5, cursor: null },
  role: "user",
  status: "complete",
  kind: "plan",
  mode: "live",
  uploadId: "upl_00000000000000000000000000",
  parts: [{ type: "text", text: "x" }],
};
const BY_TYPE = { string: "x", integer: 60, number: 60, boolean: true, array: [] };
const KINDS = { threadId: "thr", messageId: "msg", generationId: "gen", artifactId: "art", approvalId: "apr", shareId: "shr", userId: "usr", machineId: "mch", workerId: "wkr" };

/** The required arguments of a function and all its ids; `takesId` says whether there are any. */
function argsFor({ path, args }, ids) {
  const given = {};
  let takesId = false;
  for (const name of Object.keys(args.properties ?? {})) {
    const required = (args.required ?? []).includes(name);
    if (name in KINDS && ids[name] !== undefined) {
      given[name] = ids[name];
      takesId = true;
    } else if (required) {
      const value = VALUES[name] ?? BY_TYPE[args.properties[name].type];
      assert.ok(value !== undefined, `${path} has the required argument ${name}: give it a value in this matrix`);
      given[name] = value;
    }
  }
  return { given, takesId };
}

async function outcome(client, { path, kind }, args) {
  try {
    return { value: await client[kind](path, args) };
  } catch (error) {
    const { code, message } = refusalOf(error) ?? { message: error.message };
    return { code, message };
  }
}

const missing = (id) => id.replace(/.{4}$/, (tail) => (tail === "0000" ? "1111" : "0000"));

describe("identity", { concurrency: true }, () => {
  test("IA-05: for every function, ids of another user and ids of nothing are answered alike", async (t) => {
    const owner = await user(t, server);
    const sent = await send(owner.client, "mine alone");
    await settled(owner.client, sent.messageId, 60_000);
    const { token } = await guest(server);
    const stranger = http(server, token);
    const { threadId } = sent;
    const { artifactId } = await owner.client.mutation("artifacts:create", { threadId, kind: "plan", title: "mine", content: "mine" });
    const backend = http(server, await serviceKey(server));
    const { generationId } = await backend.mutation("generations:open", { threadId: await owner.client.mutation("threads:create", {}) });
    const { _id: approvalId } = await backend.mutation("approvals:request", { generationId, kind: "question", question: "mine?" });
    const { userId } = await guest(server);
    const shareId = await owner.client.mutation("shares:grant", { threadId, userId });
    const machineId = await owner.client.mutation("machines:create", { name: "mine" });
    const { worker } = await owner.client.action("workers:create", { machineId });
    const own = { threadId, messageId: sent.messageId, generationId: sent.generationId, artifactId, approvalId, shareId, machineId, workerId: worker._id };
    const none = Object.fromEntries(Object.entries(own).map(([name, id]) => [name, missing(id)]));
    let covered = 0;
    for (const spec of functions) {
      const { given, takesId } = argsFor(spec, own);
      if (!takesId) continue;
      covered += 1;
      const foreign = await outcome(stranger, spec, given);
      const absent = await outcome(stranger, spec, argsFor(spec, none).given);
      assert.deepEqual(foreign, absent, `${spec.path} tells a foreign id from a missing one`);
      assert.ok(foreign.code !== undefined || foreign.value === null || foreign.value?.length === 0, `${spec.path} answered ${JSON.stringify(foreign)}`);
      assert.notEqual(foreign.code, "bad_request", `${spec.path}: the matrix calls it wrongly: ${foreign.message}`);
    }
    assert.ok(covered >= 10, `${covered} functions with ids`);
    assert.equal((await owner.client.query("messages:page", { threadId: sent.threadId, ...page() })).page.length, 2, "untouched");
  });

  test("IA-04: without credentials every function but the open ones is unauthenticated", async () => {
    const anonymous = http(server);
    const open = new Set(["server:info", "users:me"]);
    // A share may be open to anybody: to those without a right to it, it is as missing as to everybody.
    const shared = new Set(["shares:view", "shares:messages", "shares:deltas", "shares:fileUrl"]);
    const ids = { threadId: "thr_00000000000000000000000000", messageId: "msg_00000000000000000000000000", generationId: "gen_00000000000000000000000000", artifactId: "art_00000000000000000000000000", approvalId: "apr_00000000000000000000000000", shareId: "shr_00000000000000000000000000" };
    for (const spec of functions) {
      if (open.has(spec.path)) continue;
      assert.equal((await outcome(anonymous, spec, argsFor(spec, ids).given)).code, shared.has(spec.path) ? "not_found" : "unauthenticated", spec.path);
    }
    assert.equal(await anonymous.query("users:me", {}).catch(() => null), null);
  });

  test("IA-12: an id of a wrong kind is refused by kind before any lookup", async (t) => {
    const { http: client } = await user(t, server);
    for (const spec of functions) {
      for (const name of Object.keys(spec.args.properties ?? {}).filter((name) => name in KINDS)) {
        const wrong = KINDS[name] === "msg" ? "thr_00000000000000000000000000" : "msg_00000000000000000000000000";
        const ids = Object.fromEntries(Object.entries(KINDS).map(([key, prefix]) => [key, `${prefix}_00000000000000000000000000`]));
        const { code, message } = await outcome(client, spec, argsFor(spec, { ...ids, [name]: wrong }).given);
        if (code === "forbidden") continue; // not for people; the kind of the id does not matter
        assert.equal(code, "bad_id", `${spec.path} ${name}: ${message}`);
        assert.match(message, new RegExp(`${KINDS[name]}_`), spec.path);
      }
    }
  });

  test("IA-01: no function takes a user id as authority", async (t) => {
    const [mine, theirs] = [await user(t, server), await user(t, server)];
    await theirs.client.mutation("threads:create", { title: "theirs" });
    for (const extra of ["userId", "user", "ownerId", "principal"]) {
      const { code } = await outcome(mine.http, { path: "threads:page", kind: "query" }, { ...page(), [extra]: theirs.userId });
      assert.equal(code, "bad_request", extra);
    }
  });

  test("IA-03: the first calls of a new token, 20 at once, make one user", async () => {
    const { token, userId } = await guest(server);
    const users = await Promise.all(Array.from({ length: 20 }, () => http(server, token).query("users:me", {})));
    assert.deepEqual(new Set(users.map(({ _id }) => _id)), new Set([userId]));
    const created = await Promise.all(Array.from({ length: 20 }, () => http(server, token).mutation("threads:create", {})));
    assert.equal(new Set(created).size, 20);
    assert.equal((await http(server, token).query("threads:page", page())).page.length, 20);
  });

  test("IA-03: guests are different users, and each keeps to its own", async (t) => {
    const users = await Promise.all(Array.from({ length: 10 }, () => guest(server)));
    assert.equal(new Set(users.map(({ userId }) => userId)).size, 10);
    await Promise.all(users.map(({ token, userId }) => http(server, token).mutation("threads:create", { title: userId })));
    for (const { token, userId } of users) {
      const { page: threads } = await live(t, server, token).query("threads:page", page());
      assert.deepEqual(threads.map(({ title }) => title), [userId]);
    }
  });

  test("a renewed guest token is the same user's", async () => {
    const { token, userId } = await guest(server);
    const response = await fetch(`${server.url}/api/auth/guest`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
    assert.equal(response.status, 200);
    assert.equal((await response.json()).userId, userId);
  });
});
