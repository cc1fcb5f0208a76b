// Tokens of identity providers on live sockets: renewal, other users, sign-out, expiry, and bursts behind a
// token that is refused.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { http, live, page, refusalOf, send, settled } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Issuer, pair, seconds } from "./lib/issuer.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const suite = { after };
const issuer = await Issuer.start(suite, { algs: ["ES256"] });
const llm = await FakeLlm.start(suite);
const server = await Server.start(suite, { config: issuer.config(), env: llm.env });

const lasting = (seconds_, sub) => issuer.token({ sub, exp: seconds(seconds_) });
const threadsOf = async (sub) => (await http(server, issuer.token({ sub })).query("threads:page", page())).page;

/** An answer that takes `steps` times 100 ms: the key of its script, and its text. */
function longAnswer(key, steps) {
  const words = Array.from({ length: steps }, (_, n) => `w${n} `);
  llm.script(key, words.flatMap((word) => [word, { wait: 100 }]));
  return words.join("");
}

const textOf = ({ value }) => value.events.map(({ text }) => text ?? "").join("");

describe("identity on a live socket", { concurrency: true }, () => {
  test("IA-11: renewed in time, a socket outlives its tokens and an answer has no gap", async (t) => {
    const text = longAnswer("renewed", 90);
    const client = http(server, lasting(60, "renewing"));
    const { generationId } = await send(client, "renewed");
    const session = await RawSession.open(t, server);
    session.authenticate(lasting(3, "renewing"));
    const [deltas] = session.modify([["generations:deltas", { generationId, cursor: 0 }]]);
    const renewal = setInterval(() => session.authenticate(lasting(3, "renewing")), 1500);
    t.after(() => clearInterval(renewal));
    const whole = (mod) => mod.type === "QueryUpdated" && textOf(mod) === text;
    await session.result(deltas, whole, "the whole answer", { timeout: 40_000 });
    clearInterval(renewal);
    assert.ok(session.sent.identity >= 5, `${session.sent.identity} tokens`);
    const results = session.messages.flatMap(({ modifications = [] }) => modifications);
    assert.ok(results.every(({ type }) => type === "QueryUpdated"), "never refused in between");
    for (const [n, mod] of results.entries()) assert.ok(n === 0 || textOf(mod).startsWith(textOf(results[n - 1])), "grows and never starts again");
    await session.close();
  });

  test("IA-11: an expired token ends the socket within a second of its grace, and the answer goes on", async (t) => {
    const text = longAnswer("expiring", 100);
    const { messageId, generationId } = await send(http(server, lasting(60, "expiring")), "expiring");
    const session = await RawSession.open(t, server);
    const expires = seconds(2);
    session.authenticate(issuer.token({ sub: "expiring", exp: expires }));
    // A socket that is written to all the time, which must not put the end off.
    session.modify([["generations:deltas", { generationId, cursor: 0 }]]);
    const error = await session.next(({ type }) => type === "AuthError", "the end of the identity");
    const late = Date.now() / 1000 - expires;
    assert.ok(late > 2.5 && late < 4.5, `${late} s after the expiry`);
    assert.deepEqual([error.authUpdateAttempted, error.baseVersion], [false, 1]);
    await within(session.closed, "the socket to be closed");
    assert.deepEqual(session.breaches, []);
    const message = await settled(live(t, server, lasting(60, "expiring")), messageId, 40_000);
    assert.deepEqual([message.status, message.text], ["complete", text]);
  });

  test("a socket changes its user and signs out, and shows each only what is theirs", async (t) => {
    for (const sub of ["ada", "bob"]) await http(server, issuer.token({ sub })).mutation("threads:create", { title: sub });
    const session = await RawSession.open(t, server);
    session.authenticate(issuer.token({ sub: "ada" }));
    const [list, me] = session.modify([["threads:page", page()], ["users:me", {}]]);
    await session.settled();
    const titles = () => session.results.get(list).value?.page.map(({ title }) => title);
    const ada = session.results.get(me).value._id;
    assert.deepEqual(titles(), ["ada"]);

    session.authenticate(issuer.token({ sub: "bob" }));
    const id = session.request("Mutation", "threads:create", { title: "of bob" });
    assert.equal((await session.response(id)).success, true);
    await until(() => titles().includes("of bob"));
    assert.deepEqual(titles().sort(), ["bob", "of bob"]);
    assert.notEqual(session.results.get(me).value._id, ada);

    session.authenticate(null);
    const refused = session.request("Mutation", "threads:create", { title: "of nobody" });
    const { success, errorData } = await session.response(refused);
    assert.deepEqual([success, errorData?.code], [false, "unauthenticated"]);
    await session.settled();
    assert.equal(session.results.get(me).value, null);
    assert.deepEqual([(await threadsOf("ada")).length, (await threadsOf("bob")).length], [1, 2]);
    await session.close();
  });

  test("nothing behind a refused token runs, neither as nobody nor as the user before", async (t) => {
    const session = await RawSession.open(t, server);
    session.authenticate(issuer.token({ sub: "burst" }));
    session.modify();
    await session.settled();
    const before = session.messages.length;
    session.authenticate(issuer.token({ sub: "burst" }, pair("ES256")));
    for (let n = 0; n < 50; n += 1) session.request("Mutation", "threads:create", { title: `t${n}` });
    await within(session.closed, "the socket to be closed");
    assert.deepEqual(session.messages.slice(before).map(({ type }) => type).filter((type) => type !== "Ping"), ["AuthError"]);
    assert.deepEqual(await threadsOf("burst"), []);
  });

  test("the official client: a burst behind a bad token waits for the good one and runs once as its user", async (t) => {
    const client = live(t, server, null);
    const asked = [];
    client.setAuth(async ({ forceRefreshToken }) => {
      asked.push(forceRefreshToken);
      return forceRefreshToken ? issuer.token({ sub: "patient" }) : lasting(-60, "patient");
    });
    const titles = Array.from({ length: 30 }, (_, n) => `t${n}`);
    await within(Promise.all(titles.map((title) => client.mutation("threads:create", { title }))), "all 30", 30_000);
    assert.deepEqual((await threadsOf("patient")).map(({ title }) => title).sort(), titles.sort());
    assert.deepEqual(asked.slice(0, 2), [false, true]);
    assert.deepEqual(client.faults, []);
  });

  test("the official client: a burst behind tokens that are all bad is refused or waits, and never runs", async (t) => {
    const client = live(t, server, null);
    const states = [];
    let n = 0;
    const bad = async () => issuer.token({ sub: "never", n: (n += 1) }, pair("ES256"));
    client.setAuth(bad, (state) => states.push(state));
    const outcomes = [];
    for (let at = 0; at < 30; at += 1) {
      client.mutation("threads:create", {}).then((id) => outcomes.push(id), (error) => outcomes.push(refusalOf(error)?.code ?? error.message));
    }
    await until(() => states.includes(false), { timeout: 30_000, what: "the client to give up" });
    client.setAuth(async () => null);
    await until(() => outcomes.length === 30, { timeout: 30_000, what: "all answers" });
    assert.deepEqual(new Set(outcomes), new Set(["unauthenticated"]));
    assert.ok(!states.includes(true));
    assert.deepEqual(await threadsOf("never"), []);
  });

  test("the official client renews by itself, and a subscription goes on over many tokens", async (t) => {
    const client = live(t, server, null);
    let tokens = 0;
    client.setAuth(async () => {
      tokens += 1;
      return issuer.token({ sub: "regular", exp: seconds(12), n: tokens });
    });
    const seen = [];
    const stop = client.onUpdate("users:me", {}, (user) => seen.push(user?._id));
    t.after(stop);
    await until(() => tokens >= 5, { timeout: 30_000, what: "five tokens" });
    await client.mutation("threads:create", {});
    assert.equal(new Set(seen.filter(Boolean)).size, 1);
    assert.ok(!seen.slice(seen.findIndex(Boolean)).includes(undefined), "never signed out in between");
    assert.deepEqual(client.faults, []);
  });
});
