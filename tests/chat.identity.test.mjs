// Who somebody is, through the front door. What each may do: matrix.functions.test.mjs.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, guest, http, live, page, user } from "./lib/clients.mjs";
import { Server } from "./lib/server.mjs";

const server = await Server.start({ after });

describe("identity", { concurrency: true }, () => {
  test("IA-01: no function takes a user id as authority", async (t) => {
    const [mine, theirs] = [await user(t, server), await user(t, server)];
    await theirs.client.mutation("threads:create", { title: "theirs" });
    for (const extra of ["userId", "user", "ownerId", "principal"]) {
      assert.equal(await codeOf(mine.http.query("threads:page", { ...page(), [extra]: theirs.userId })), "bad_request", extra);
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
