// The sync protocol on raw sockets: versions, results, mutations, authentication, Ping. `RawSession` checks
// the invariants of every message; `close()` throws what it found. Refusals are in sync.refusals,
// reconnects in sync.reconnect, the real clients in sync.client and sync.react.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { guest, page } from "./lib/clients.mjs";
import { decodeTs, RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";

const server = await Server.start({ after });

/** A session signed in as a new guest (or with `token`), past its first Transition. */
async function signedIn(t, token) {
  const session = await RawSession.open(t, server);
  session.authenticate(token ?? (await guest(server)).token);
  session.modify();
  await session.settled();
  return session;
}

describe("sync on the wire", { concurrency: true }, () => {
  test("every spelling of the endpoint is taken", async (t) => {
    const paths = ["/api/1.48.0/sync", "/api/sync", "//api/1.48.0/sync", "/api/1.17.2-alpha.1/sync"];
    for (const path of paths) {
      const session = await RawSession.open(t, server, { path, headers: { "convex-client": "rust-0.10.4" } });
      session.modify();
      await session.settled();
      await session.close();
    }
  });

  test("an empty query set is answered with an empty Transition from version zero", async (t) => {
    const session = await RawSession.open(t, server);
    session.modify();
    const first = await session.settled();
    assert.deepEqual(first.startVersion, { querySet: 0, identity: 0, ts: "AAAAAAAAAAA=" });
    assert.equal(first.endVersion.querySet, 1);
    assert.deepEqual(first.modifications, []);
    await session.close();
  });

  test("each Add has its result, in bursts and after removals, at one snapshot", async (t) => {
    const session = await signedIn(t);
    const [threads] = session.modify([["threads:page", page(10)]]);
    const [info, me] = session.modify([["server:info", {}], ["users:me", {}]]);
    const [again] = session.modify([["threads.js:page", page(10)]], [threads]);
    session.modify([], [info]);
    await session.settled();
    const shown = await session.result(again);
    assert.equal(shown.type, "QueryUpdated");
    assert.deepEqual(shown.value.page, []);
    assert.equal((await session.result(me)).type, "QueryUpdated");
    await session.close();
  });

  test("an Add that is removed before its evaluation leaves nothing behind", async (t) => {
    const session = await signedIn(t);
    for (let n = 0; n < 20; n += 1) {
      const ids = session.modify([["threads:page", page(5)], ["users:me", {}]]);
      session.modify([], ids);
    }
    await session.settled();
    await session.close();
  });

  test("the response comes first, then a Transition at its time stamp with its effect", async (t) => {
    const session = await signedIn(t);
    const [threads] = session.modify([["threads:page", page(10)]]);
    await session.settled();
    for (let n = 0; n < 5; n += 1) {
      const response = await session.mutation("threads:create", { title: `t${n}` });
      assert.equal(response.success, true);
      const ts = decodeTs(response.ts);
      const transition = await session.transition("the Transition at the response", ({ endVersion }) => decodeTs(endVersion.ts) >= ts);
      const shown = transition.modifications.find(({ queryId }) => queryId === threads);
      assert.ok(shown, "the first Transition at the mutation's time stamp has its effect");
      assert.equal(shown.value.page.find(({ _id }) => _id === response.result)?.title, `t${n}`);
    }
    await session.close();
  });

  test("a Transition follows a mutation that nobody watches, and a failed one", async (t) => {
    const session = await signedIn(t);
    const done = await session.mutation("threads:create", {});
    await session.transition("a Transition after the mutation", ({ endVersion }) => decodeTs(endVersion.ts) >= decodeTs(done.ts));
    const id = session.request("Mutation", "threads:update", { threadId: done.result, status: "exploded" });
    const failed = await session.response(id);
    assert.equal(failed.success, false);
    assert.equal(failed.errorData.code, "bad_request");
    assert.ok(failed.ts === undefined || failed.ts === null);
    await session.transition("a Transition after the failure", undefined, { from: session.messages.indexOf(failed) });
    await session.close();
  });

  test("mutations of one socket run in order, also around one that fails", async (t) => {
    const session = await signedIn(t);
    const { result: threadId } = await session.mutation("threads:create", { title: "0" });
    const ids = Array.from({ length: 41 }, (_, n) =>
      n === 20
        ? session.request("Mutation", "threads:update", { threadId, status: "exploded" })
        : session.request("Mutation", "threads:update", { threadId, title: `${n + 1}` }),
    );
    const responses = await Promise.all(ids.map((id) => session.response(id)));
    assert.deepEqual(responses.map(({ success }) => success), ids.map((_, n) => n !== 20));
    const order = session.messages.filter(({ type }) => type === "MutationResponse").map(({ requestId }) => requestId);
    assert.deepEqual(order.slice(1), ids);
    const stamps = responses.filter(({ success }) => success).map(({ ts }) => decodeTs(ts));
    assert.ok(stamps.every((ts, n) => n === 0 || ts >= stamps[n - 1]), "time stamps never go back");
    const [thread] = session.modify([["threads:get", { threadId }]]);
    assert.equal((await session.result(thread)).value.title, "41");
    await session.close();
  });

  test("all results of one Transition are of one time stamp", async (t) => {
    const { token } = await guest(server);
    const [writer, reader] = [await signedIn(t, token), await signedIn(t, token)];
    const { result: threadId } = await writer.mutation("threads:create", { title: "0" });
    const [one, list] = reader.modify([["threads:get", { threadId }], ["threads:page", page(10)]]);
    await reader.settled();
    const last = 30;
    for (let n = 1; n <= last; n += 1) writer.request("Mutation", "threads:update", { threadId, title: `${n}` });
    await reader.result(one, ({ value }) => value.title === `${last}`, "the last title");
    const pairs = [];
    const now = {};
    for (const { type, modifications } of reader.messages) {
      if (type !== "Transition") continue;
      for (const { queryId, value } of modifications) now[queryId] = value;
      if (now[one] && now[list]) pairs.push([now[one].title, now[list].page.find(({ _id }) => _id === threadId)?.title]);
    }
    for (const [a, b] of pairs) assert.equal(a, b, "both queries show the same moment");
    await writer.close();
    await reader.close();
  });

  test("a change wakes whom it concerns and nobody else", async (t) => {
    const [mine, other] = [await signedIn(t), await signedIn(t)];
    const [threads] = mine.modify([["threads:page", page(10)]]);
    const [theirs] = other.modify([["threads:page", page(10)]]);
    await Promise.all([mine.settled(), other.settled()]);
    const before = other.messages.length;
    await mine.mutation("threads:create", { title: "mine" });
    await mine.result(threads, ({ value }) => value.page.length === 1);
    // A round trip of the other session: whatever was to come has come.
    await other.mutation("threads:create", { title: "theirs" });
    const shown = other.messages.slice(before).flatMap(({ modifications }) => modifications ?? []);
    assert.ok(shown.every(({ value }) => value.page.every(({ title }) => title === "theirs")));
    await other.result(theirs, ({ value }) => value.page.length === 1);
    await mine.close();
    await other.close();
  });

  test("an identity update re-runs what depends on it and moves the identity version", async (t) => {
    const session = await RawSession.open(t, server);
    const [me] = session.modify([["users:me", {}]]);
    await session.settled();
    const { token, userId } = await guest(server);
    session.authenticate(token);
    const transition = await session.settled();
    assert.equal(transition.endVersion.identity, 1);
    assert.equal((await session.result(me, ({ value }) => value !== null)).value._id, userId);
    session.authenticate(null);
    const signedOut = await session.settled();
    assert.equal(signedOut.endVersion.identity, 2);
    await session.close();
  });

  test("after a refused token comes an AuthError, nothing of the burst runs, the socket closes", async (t) => {
    const { token } = await guest(server);
    const [head, payload, signature] = token.split(".");
    const forged = [head, payload, signature.slice(0, -4) + (signature.endsWith("AAAA") ? "BBBB" : "AAAA")].join(".");
    for (const bad of ["nonsense", forged]) {
      const session = await RawSession.open(t, server);
      session.authenticate(bad);
      session.modify([["users:me", {}]]);
      session.request("Mutation", "threads:create", { title: "as whom?" });
      const error = await session.next(({ type }) => type === "AuthError", "an AuthError");
      assert.equal(error.baseVersion, 0);
      assert.equal(error.authUpdateAttempted, true);
      await session.closed;
      const types = session.messages.map(({ type }) => type).filter((type) => type !== "Ping");
      assert.equal(types.at(-1), "AuthError");
      assert.ok(!types.includes("MutationResponse") && !types.includes("FatalError"), `${types}`);
    }
  });

  test("a silent session hears a Ping within 15 seconds", async (t) => {
    const session = await signedIn(t);
    const from = session.messages.length;
    const start = Date.now();
    await session.next(({ type }) => type === "Ping", "a Ping", { from, timeout: 16_500 });
    assert.ok(Date.now() - start < 16_000);
    await session.close();
  });
});
