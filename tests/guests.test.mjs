// Guests through the front door: whether there are any, what they may use, and how an account takes over
// what they have.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { guest, http, live, page, refusal, send, settled } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Issuer } from "./lib/issuer.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const suite = { after };
const issuer = await Issuer.start(suite, { algs: ["ES256"] });
const llm = await FakeLlm.start(suite);
const server = await Server.start(suite, { config: issuer.config(), env: llm.env });

const account = (sub) => issuer.token({ sub });
const threadsOf = async (token, on = server) => (await http(on, token).query("threads:page", page())).page;
const titlesOf = async (token) => (await threadsOf(token)).map(({ title }) => title).sort();

/** `{status, retryAfter, …}` of a POST. */
async function post(on, path, { token, body } = {}) {
  const response = await fetch(`${on.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  });
  return { status: response.status, retryAfter: response.headers.get("retry-after"), ...(await response.json()) };
}

const claim = (into, guestToken, on = server) => post(on, "/api/auth/claim", { token: into, body: { token: guestToken } });
const info = (on) => http(on).query("server:info", {});

describe("guests", { concurrency: true }, () => {
  for (const policy of ["off", "local"]) {
    test(`GU-01: with the policy ${policy} nobody is given an identity, and the tokens of earlier guests are refused`, async (t) => {
      const first = await Server.start(t);
      assert.equal((await info(first)).guests, "server");
      const { token } = await guest(first);
      const thread = await http(first, token).mutation("threads:create", { title: "Kept" });
      await first.stop();
      const config = `[guests]\npolicy = "${policy}"\n${issuer.config()}`;
      const then = await Server.start(t, { data: first.data, config });
      assert.equal((await info(then)).guests, policy);
      const refused = await post(then, "/api/auth/guest");
      assert.deepEqual([refused.status, refused.code, refused.reason], [401, "unauthenticated", "guests_off"]);
      assert.equal((await refusal(http(then).mutation("threads:create", {}))).code, "unauthenticated");
      const { code, reason } = await refusal(http(then, token).query("threads:page", page()));
      assert.deepEqual([code, reason], ["invalid_token", "guests_off"]);
      // Who signs in has not lost what was kept before.
      assert.deepEqual((await claim(account("late"), token, then)).threads, 1);
      assert.equal((await threadsOf(account("late"), then))[0]._id, thread);
    });
  }

  test("GU-02: guests are isolated, and limited in threads, in messages and in their number", async (t) => {
    const config = "[guests]\nmax_threads = 2\nmax_messages_per_day = 2\nnew_per_hour = 3\n";
    const small = await Server.start(t, { config });
    const [one, two] = [await guest(small), await guest(small)];
    const client = http(small, one.token);
    const threadId = await client.mutation("threads:create", { title: "Mine" });
    assert.equal(await http(small, two.token).query("threads:get", { threadId }), null);
    await client.mutation("threads:create", {});
    const threads = await refusal(client.mutation("threads:create", {}));
    assert.deepEqual([threads.code, threads.quota, threads.limit], ["quota_exceeded", "threads", 2]);

    for (const text of ["one", "two"]) await client.mutation("messages:append", { threadId, role: "user", text });
    const messages = await refusal(client.mutation("turns:send", { threadId, text: "three" }));
    assert.deepEqual([messages.code, messages.quota, messages.limit], ["quota_exceeded", "messages_per_day", 2]);
    assert.equal(messages.resetAt % 86_400_000, 0, "midnight");
    assert.ok(messages.resetAt > Date.now() && messages.resetAt <= Date.now() + 86_400_000);
    // A wire whose failures are statuses.
    const body = { id: threadId, messages: [{ id: "m", role: "user", parts: [{ type: "text", text: "three" }] }] };
    const chat = await post(small, "/api/chat", { token: one.token, body });
    assert.deepEqual([chat.status, chat.code], [429, "quota_exceeded"]);
    assert.ok(Number(chat.retryAfter) > 0 && Number(chat.retryAfter) <= 86_400, chat.retryAfter);

    assert.equal((await post(small, "/api/auth/guest")).status, 200);
    const fourth = await post(small, "/api/auth/guest");
    assert.deepEqual([fourth.status, fourth.code, fourth.quota, fourth.limit], [429, "quota_exceeded", "new_guests", 3]);
    assert.ok(Number(fourth.retryAfter) > 3000 && Number(fourth.retryAfter) <= 3600, fourth.retryAfter);
    const again = await post(small, "/api/auth/guest", { token: one.token });
    assert.deepEqual([again.status, again.userId], [200, one.userId], "a guest that comes back is no new one");
  });

  test("GU-03: an account takes over the guest's threads with a running answer, and the guest is no more", async (t) => {
    const words = Array.from({ length: 40 }, (_, n) => `w${n} `);
    llm.script("claimed-run", words.flatMap((word) => [word, { wait: 50 }]));
    const { token, userId } = await guest(server);
    const client = http(server, token);
    await client.mutation("threads:create", { title: "First" });
    const { messageId } = await send(client, "claimed-run");
    const session = await RawSession.open(t, server);
    session.authenticate(token);
    session.modify([["threads:page", page()]]);
    await session.settled();

    const into = account("owner");
    await http(server, into).mutation("threads:create", { title: "Own" });
    const claimed = await claim(into, token);
    assert.deepEqual([claimed.status, claimed.threads], [200, 2]);
    const titles = await titlesOf(into);
    assert.equal(titles.length, 3);
    assert.ok(titles.includes("First") && titles.includes("Own"));

    const dead = await refusal(client.query("threads:page", page()));
    assert.deepEqual([dead.code, dead.reason], ["invalid_token", "guest_claimed"]);
    const renewal = await post(server, "/api/auth/guest", { token });
    assert.deepEqual([renewal.status, renewal.reason], [401, "guest_claimed"]);
    const closed = Date.now();
    await within(session.closed, "the guest's socket to be closed");
    assert.ok(Date.now() - closed < 1500, "within a second");
    const answer = await settled(live(t, server, into), messageId, 30_000);
    assert.deepEqual([answer.status, answer.text], ["complete", words.join("")], "the answer went on");
    assert.notEqual((await guest(server)).userId, userId);
  });

  test("GU-03: claimed twice and in parallel, everything moves once", async () => {
    const { token } = await guest(server);
    for (const title of ["a", "b", "c"]) await http(server, token).mutation("threads:create", { title });
    const subs = ["left", "right"];
    const claims = await Promise.all(Array.from({ length: 10 }, (_, n) => claim(account(subs[n % 2]), token)));
    assert.equal(claims.reduce((sum, { threads = 0 }) => sum + threads, 0), 3, JSON.stringify(claims));
    const lists = await Promise.all(subs.map((sub) => titlesOf(account(sub))));
    assert.deepEqual(lists.sort((x, y) => x.length - y.length), [[], ["a", "b", "c"]]);
    for (const { status, code, reason } of claims.filter(({ status }) => status !== 200)) {
      assert.deepEqual([status, code, reason], [401, "invalid_token", "guest_claimed"]);
    }
    const winner = (await titlesOf(account("left"))).length === 3 ? "left" : "right";
    const again = await claim(account(winner), token);
    assert.deepEqual([again.status, again.threads], [200, 0], "asked again by the same account");
  });

  test("GU-03: a claim that a crash cuts off is carried on", async (t) => {
    const own = await Server.start(t, { config: issuer.config() });
    const { token } = await guest(own);
    const client = http(own, token);
    const count = 1400;
    await Promise.all(Array.from({ length: count }, (_, n) => client.mutation("threads:create", { externalId: `chat-${n}` })));
    const cut = claim(account("owner"), token, own).catch(() => null);
    // At any moment of it: at the first sign that something has moved.
    await until(async () => (await threadsOf(account("owner"), own)).length > 0, { every: 1, what: "the first threads to move" });
    await own.kill();
    await cut;
    await own.start();
    const owner = live(t, own, account("owner"));
    const moved = async () => {
      let [cursor, found] = [null, 0];
      for (let done = false; !done; ) {
        const list = await owner.query("threads:page", { paginationOpts: { numItems: 1000, cursor } });
        [cursor, done, found] = [list.continueCursor, list.isDone, found + list.page.length];
      }
      return found;
    };
    await until(async () => (await moved()) === count, { timeout: 30_000, every: 100, what: "all threads, without anybody asking again" });
    assert.equal((await refusal(http(own, token).query("users:me", {}))).reason, "guest_claimed");
  });

  test("GU-03: only a guest is claimed, only by a person with an account, and the token is not shown", async () => {
    const { token } = await guest(server);
    const stranger = await guest(server);
    const refusedBy = async (into, of, expected) => {
      const { status, code } = await claim(into, of);
      assert.deepEqual([status, code], expected);
    };
    await refusedBy(undefined, token, [401, "unauthenticated"]);
    await refusedBy(stranger.token, token, [404, "not_found"]);
    await refusedBy(account("x"), account("y"), [404, "not_found"]);
    await refusedBy(account("x"), "garbage", [401, "invalid_token"]);
    const wrong = await post(server, "/api/auth/claim", { token: account("x"), body: { token: 5, [token]: token } });
    assert.equal(wrong.status, 400);
    assert.ok(!JSON.stringify(wrong).includes(token) && !server.stderr.includes(token));
    assert.deepEqual(await threadsOf(token), [], "and the guest lives on");
  });
});
