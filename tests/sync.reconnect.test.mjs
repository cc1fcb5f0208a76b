// Reconnecting: exactly once over lost answers, racing sockets and restarts; time stamps never go back.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { codeOf, guest, http, live, page, react, watch } from "./lib/clients.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { decodeTs, encodeTs, RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const server = await Server.start({ after });

async function signedIn(t, token, options = {}, at = server) {
  const session = await RawSession.open(t, at, options);
  session.authenticate(token);
  return session;
}

/** Reconnects as the official client does: all in one burst. `say` adds to it. */
async function burst(t, token, options, say) {
  const session = await RawSession.open(t, server, { connectionCount: 1, ...options, connect: false });
  session.connect();
  session.authenticate(token);
  say(session);
  return session;
}

const titles = async (token, at = server) => (await http(at, token).query("threads:page", page(100))).page.map(({ title }) => title);

describe("reconnects", { concurrency: true }, () => {
  test("a mutation sent again on a new socket gives its first result and time stamp, and ran once", async (t) => {
    const { token } = await guest(server);
    const sessionId = randomUUID();
    const first = await signedIn(t, token, { sessionId });
    first.modify();
    const answer = await first.mutation("threads:create", { title: "once" }, 0);
    await first.transition("the Transition of the mutation", ({ endVersion }) => decodeTs(endVersion.ts) >= decodeTs(answer.ts));
    await first.cut();

    const second = await burst(t, token, { sessionId, maxObservedTimestamp: answer.ts }, (session) => {
      session.modify([["threads:page", page(10)]]);
      session.request("Mutation", "threads:create", { title: "once" }, 0);
    });
    const again = await second.response(0);
    assert.equal(again.result, answer.result);
    assert.equal(again.ts, answer.ts);
    await second.settled();
    const order = second.messages.map(({ type }) => type).filter((type) => type !== "Ping");
    assert.deepEqual(order.slice(0, 2), ["MutationResponse", "Transition"], "the known answer first, or an optimistic list flickers");
    assert.deepEqual(await titles(token), ["once"]);
    await second.close();
  });

  test("a failed mutation runs again, and its failure waits for the first Transition", async (t) => {
    const { token } = await guest(server);
    const sessionId = randomUUID();
    const first = await signedIn(t, token, { sessionId });
    first.modify();
    await first.settled();
    const { result: threadId } = await first.mutation("threads:create", {}, 0);
    assert.equal((await first.mutation("threads:update", { threadId, status: "exploded" }, 1)).success, false);
    await first.cut();
    const second = await burst(t, token, { sessionId }, (session) => {
      session.modify([["threads:page", page(10)]]);
      session.request("Mutation", "threads:update", { threadId, status: "exploded" }, 1);
    });
    assert.equal((await second.response(1)).success, false);
    await second.close(); // which checks that the failure was not the connection's first message
  });

  test("the stored answer is its user's: another identity does not get it", async (t) => {
    const [mine, theirs] = [await guest(server), await guest(server)];
    const sessionId = randomUUID();
    const first = await signedIn(t, mine.token, { sessionId });
    first.modify();
    const answer = await first.mutation("threads:create", { title: "mine" }, 0);
    await first.cut();
    const thief = await signedIn(t, theirs.token, { sessionId, connectionCount: 1 });
    thief.modify();
    const got = await thief.mutation("threads:create", { title: "theirs" }, 0);
    assert.notEqual(got.result, answer.result);
    assert.deepEqual(await titles(mine.token), ["mine"]);
  });

  test("two sockets of one session racing the same requests execute each once", async (t) => {
    const { token } = await guest(server);
    for (let round = 0; round < 10; round += 1) {
      const sessionId = randomUUID();
      const pair = await Promise.all([signedIn(t, token, { sessionId }), signedIn(t, token, { sessionId, connectionCount: 1 })]);
      for (const session of pair) {
        session.replays.add(0);
        session.modify();
        session.request("Mutation", "threads:create", { title: `race ${round}` }, 0);
      }
      const [a, b] = await Promise.all(pair.map((session) => session.response(0)));
      assert.equal(a.result, b.result);
      assert.equal(a.ts, b.ts);
      await Promise.all(pair.map((session) => session.close()));
    }
    const all = await titles(token);
    assert.equal(all.length, new Set(all).size);
    assert.equal(all.length, 10);
  });

  test("the official client loses the answer and the connection: exactly once, and its promise resolves", async (t) => {
    const { token } = await guest(server);
    const proxy = await Proxy.start(t, server);
    const client = live(t, server, token, proxy.url);
    const seen = watch(client, "threads:page", page(50));
    await until(() => seen.current !== undefined);
    const made = [];
    for (let n = 0; n < 3; n += 1) {
      proxy.hold();
      const promise = client.mutation("threads:create", { title: `lost ${n}` });
      await until(async () => (await titles(token)).includes(`lost ${n}`), { what: "the commit behind the cut" });
      proxy.release();
      made.push(await within(promise, "the mutation to resolve after the reconnect", 20_000));
    }
    assert.deepEqual((await titles(token)).toSorted(), ["lost 0", "lost 1", "lost 2"]);
    await until(() => seen.current.page.length === 3);
    assert.deepEqual(new Set(seen.current.page.map(({ _id }) => _id)), new Set(made));
    assert.deepEqual(seen.errors, []);
    assert.deepEqual(client.faults, []);
  });

  test("requests made offline run in order after the reconnect; an action in flight is rejected", async (t) => {
    const { token } = await guest(server);
    const proxy = await Proxy.start(t, server);
    const client = live(t, server, token, proxy.url);
    const threadId = await client.mutation("threads:create", { title: "start" });
    const slow = client.action("turns:sendAndWait", { threadId, text: `/script ${JSON.stringify({ deltas: ["a"], hangMs: 60_000 })}` });
    slow.catch(() => {});
    await until(async () => (await http(server, token).query("generations:active", {})).length === 1, { what: "the action's turn to run" });
    proxy.offline();
    const updates = Array.from({ length: 10 }, (_, n) => client.mutation("threads:update", { threadId, title: `offline ${n}` }));
    proxy.online();
    await within(Promise.all(updates), "the offline mutations", 20_000);
    await assert.rejects(within(slow, "the action's rejection"), /Connection lost while action was in flight/);
    assert.deepEqual(await titles(token), ["offline 9"]);
    assert.deepEqual(client.faults, []);
    const [running] = await http(server, token).query("generations:active", {});
    await client.mutation("generations:stop", { generationId: running._id });
  });

  test("a reconnect whose first burst comes in pieces blanks no query and fails no mutation too early", async (t) => {
    const { token } = await guest(server);
    const threadId = await http(server, token).mutation("threads:create", { title: "kept" });
    const proxy = await Proxy.start(t, server);
    const client = react(t, server, token, proxy.url);
    const view = client.watchQuery("threads:get", { threadId });
    view.onUpdate(() => {});
    await until(() => view.localQueryResult()?.title === "kept");
    // The client tells nobody that a value is gone; whoever renders meanwhile sees it.
    const values = new Set();
    const sampling = setInterval(() => values.add(view.localQueryResult()?.title), 1);
    t.after(() => clearInterval(sampling));
    proxy.trickle = { bytes: 60, every: 10 };
    proxy.offline();
    const failing = client.mutation("threads:update", { threadId, status: "exploded" });
    failing.catch(() => {});
    proxy.online();
    assert.equal(await codeOf(within(failing, "the mutation to fail")), "bad_request");
    await client.mutation("threads:update", { threadId, title: "after" });
    await until(() => values.has("after"));
    assert.deepEqual([...values], ["kept", "after"]);
    assert.deepEqual(client.faults, []);
  });

  test("live queries keep their values over a reconnect and then show what was missed", async (t) => {
    const { token } = await guest(server);
    const proxy = await Proxy.start(t, server);
    const client = live(t, server, token, proxy.url);
    const other = http(server, token);
    await other.mutation("threads:create", { title: "before" });
    const seen = watch(client, "threads:page", page(1));
    await until(() => seen.current?.page.length === 1);
    proxy.offline();
    for (let n = 0; n < 5; n += 1) await other.mutation("threads:create", { title: `missed ${n}` });
    proxy.online();
    // The page keeps its end (the journal), so it grows by what came before it.
    await until(() => seen.current.page.length === 6, { what: "the page with what was missed" });
    assert.ok(seen.values.every((value) => value !== undefined && value.page.length >= 1));
    assert.deepEqual(client.faults, []);
  });
});

test("over kill -9: time stamps go on, the ledger holds, clients come back", async (t) => {
  const own = await Server.start(t);
  const { token } = await guest(own);
  const sessionId = randomUUID();
  const before = await signedIn(t, token, { sessionId }, own);
  before.modify();
  const answers = [];
  for (let n = 0; n < 5; n += 1) answers.push(await before.mutation("threads:create", { title: `k${n}` }, n));
  const newest = answers.map(({ ts }) => decodeTs(ts)).reduce((a, b) => (a > b ? a : b));
  const client = live(t, own, token);
  const seen = watch(client, "threads:page", page(10));
  await until(() => seen.current?.page.length === 5);

  await own.restart();
  const session = await signedIn(t, token, { sessionId, connectionCount: 1, maxObservedTimestamp: encodeTs(newest) }, own);
  session.modify();
  for (const [n, { result, ts }] of answers.entries()) {
    session.replays.add(n);
    const again = await session.mutation("threads:create", { title: `k${n}` }, n);
    assert.equal(again.result, result);
    assert.equal(again.ts, ts);
  }
  const transition = await session.settled();
  assert.ok(decodeTs(transition.endVersion.ts) >= newest, "the clock never goes back");
  const fresh = await session.mutation("threads:create", { title: "after" }, 5);
  assert.ok(decodeTs(fresh.ts) > newest);
  await until(() => seen.current.page.length === 6, { what: "the official client to be back" });
  assert.deepEqual(client.faults, []);
  await session.close();
});
