// What is open in the name of a session or key ends with it, within a second; what it began goes on.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, describe, test } from "node:test";
import { admin, person, Visitor } from "./lib/account.mjs";
import { http, page, send, settled, live } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Issuer, seconds } from "./lib/issuer.mjs";
import { RawSession } from "./lib/raw.mjs";
import { run, Server, serviceKey, SPOOL_BIN } from "./lib/server.mjs";
import { sse } from "./lib/sse.mjs";
import { within } from "./lib/wait.mjs";

const suite = { after };
const issuer = await Issuer.start(suite, { algs: ["ES256"] });
const llm = await FakeLlm.start(suite);
const server = await Server.start(suite, { config: issuer.config(), env: llm.env });
const PASSWORD = "correct horse battery";

/** An answer that takes `steps` times 100 ms: its text. */
function longAnswer(key, steps) {
  const words = Array.from({ length: steps }, (_, n) => `w${n} `);
  llm.script(key, words.flatMap((word) => [word, { wait: 100 }]));
  return words.join("");
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** The events of a stream to its end, and when it ended; `begun` when the first is there. */
function read(url, token) {
  const read_ = { events: [] };
  let begin;
  read_.begun = new Promise((resolve) => (begin = resolve));
  read_.ended = (async () => {
    for await (const event of sse(url, { headers: bearer(token) })) {
      read_.events.push(event);
      begin();
    }
    return performance.now();
  })();
  read_.ended.catch(begin);
  return read_;
}

/** A status that a plain call with this token gets. */
async function status(token) {
  const body = JSON.stringify({ path: "users:me", args: {} });
  return (await fetch(`${server.url}/api/query`, { method: "POST", headers: bearer(token), body })).status;
}

async function subscribed(t, token) {
  const session = await RawSession.open(t, server);
  session.authenticate(token);
  const [id] = session.modify([["threads:page", page()]]);
  await session.result(id, (mod) => mod.type === "QueryUpdated", "the threads");
  return session;
}

describe("revocation and expiry", { concurrency: true }, () => {
  test("IA-13: a session that is revoked closes its socket, its event stream and its durable stream; the answer completes", async (t) => {
    const text = longAnswer("revoked", 60);
    const email = "revoked@example.com";
    const there = await person(server, email, PASSWORD);
    const here = await new Visitor(server).ok("sign-in", { email, password: PASSWORD });
    const { threadId, messageId, generationId } = await send(http(server, there.token), "revoked");
    const socket = await subscribed(t, there.token);
    const other = await subscribed(t, here.token);
    const stream = read(`${server.url}/api/stream/${generationId}`, there.token);
    const durable = read(`${server.url}/v1/stream/generations/${generationId}?offset=-1&live=sse`, there.token);
    const chat = read(`${server.url}/api/chat/${threadId}/stream`, there.token);
    await within(Promise.all([stream.begun, durable.begun, chat.begun]), "the streams to begin");

    const at = performance.now();
    await http(server, here.token).mutation("sessions:revoke", { sessionId: there.sessionId });
    const close = await within(socket.closed, "the socket to close");
    const closed = performance.now() - at;
    assert.deepEqual(close, { code: 1000, reason: "AuthRevoked" });
    const told = socket.messages.find(({ type }) => type === "AuthError");
    assert.match(told.error, /^revoked: /);
    const ends = await within(Promise.all([stream.ended, durable.ended, chat.ended]), "the streams to end");
    for (const took of [closed, ...ends.map((end) => end - at)]) assert.ok(took < 1000, `${took} ms`);
    const last = stream.events.at(-1);
    const { code, retryable, offset } = JSON.parse(last.data);
    assert.deepEqual([last.event, code, retryable], ["error", "revoked", false]);
    assert.deepEqual([JSON.parse(chat.events.at(-2).data).type, chat.events.at(-1).data], ["error", "[DONE]"]);

    assert.equal(await status(there.token), 401);
    const again = await fetch(`${server.url}/v1/stream/generations/${generationId}?offset=-1&live=sse`, { headers: bearer(there.token) });
    assert.equal(again.status, 401, "a reader that comes back is told");
    assert.equal((await there.visitor.post("token")).status, 401);
    assert.equal(await status(here.token), 200, "the other session stays");
    const resumed = read(`${server.url}/api/stream/${generationId}?offset=${offset}`, here.token);
    const message = await settled(live(t, server, here.token), messageId);
    assert.deepEqual([message.status, message.text], ["complete", text]);
    await within(resumed.ended, "the rest");
    const rest = resumed.events.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text);
    assert.equal(rest.join(""), text.slice(offset), "nothing is lost in between");
    await other.close();
  });

  test("IA-13: a restart does not bring a revoked session back", async () => {
    const own = await Server.start(suite);
    const { visitor, token } = await person(own, "restart@example.com", PASSWORD);
    const ask = async () => (await fetch(`${own.url}/api/query`, { method: "POST", headers: bearer(token), body: JSON.stringify({ path: "users:me", args: {} }) })).status;
    assert.equal(await ask(), 200);
    await visitor.ok("sign-out");
    await own.restart();
    assert.equal(await ask(), 401);
  });

  test("IA-13: a new password and a reset by the operator sign devices out", async (t) => {
    const email = "reset@example.com";
    const { token, visitor } = await person(server, email, PASSWORD);
    const second = await new Visitor(server).ok("sign-in", { email, password: PASSWORD });
    const [first_, second_] = [await subscribed(t, token), await subscribed(t, second.token)];
    await visitor.ok("password", { old: PASSWORD, new: "staple correct horse" });
    assert.equal((await within(second_.closed, "the other device's socket")).reason, "AuthRevoked");
    const link = await admin(server, "reset", "--email", email);
    assert.equal(first_.close_, undefined, "a link alone changes nothing");
    await new Visitor(server).ok("reset", { token: /#(.*)$/.exec(link)[1], password: PASSWORD });
    assert.equal((await within(first_.closed, "this device's socket")).reason, "AuthRevoked");
  });

  test("IA-13: a revoked key closes its sockets and streams", async (t) => {
    const key = await serviceKey(server);
    const socket = await subscribed(t, key);
    longAnswer("keyed", 40);
    const thread = await http(server, key).mutation("threads:create", {});
    const { generationId } = await send(http(server, key), "keyed", thread);
    const stream = read(`${server.url}/api/stream/${generationId}`, key);
    await within(stream.begun, "the stream to begin");
    // As the operator's tools call it, beside the running server.
    const access = JSON.parse(await readFile(`${server.data}/admin.json`, "utf8"));
    const call = async (kind, path, args) => {
      const response = await fetch(`${server.url}/api/${kind}`, { method: "POST", headers: bearer(access.token), body: JSON.stringify({ path, args }) });
      return (await response.json()).value;
    };
    const [row] = await call("query", "keys:list", {});
    const at = performance.now();
    await call("mutation", "keys:revoke", { keyId: row._id });
    const [close, end] = await within(Promise.all([socket.closed, stream.ended]), "socket and stream to end");
    assert.equal(close.reason, "AuthRevoked");
    assert.ok(end - at < 1000, `${end - at} ms`);
    assert.equal(JSON.parse(stream.events.at(-1).data).code, "revoked");
    assert.equal(await status(key), 401);
  });

  test("IA-11: an expired token ends its event stream and its long poll, and the answer goes on", async (t) => {
    const text = longAnswer("expired", 80);
    const token = issuer.token({ sub: "expiring", exp: seconds(2) });
    const lasting = issuer.token({ sub: "expiring" });
    const { messageId, generationId } = await send(http(server, lasting), "expired");
    const until = JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp * 1000 + 3000; // the leeway
    const stream = read(`${server.url}/api/stream/${generationId}`, token);
    await http(server, lasting).query("users:me", {});
    const path = `${server.url}/v1/stream/quiet-${Date.now()}`;
    const made = await fetch(path, { method: "PUT", headers: { ...bearer(lasting), "content-type": "text/plain" } });
    assert.equal(made.status, 201);
    const poll = fetch(`${path}?offset=-1&live=long-poll`, { headers: bearer(token) });
    await within(stream.ended, "the stream to end");
    const late = Date.now() - until;
    assert.ok(late > -50 && late < 1000, `${late} ms after its end`);
    const last = stream.events.at(-1);
    const { code, retryable, offset } = JSON.parse(last.data);
    assert.deepEqual([last.event, code, retryable], ["error", "auth_expired", false]);
    const answer = await within(poll, "the long poll");
    assert.equal(answer.status, 401);
    assert.match(await answer.text(), /auth_expired/);
    const resumed = read(`${server.url}/api/stream/${generationId}?offset=${offset}`, lasting);
    await within(resumed.ended, "the rest", 20_000);
    const before = stream.events.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text);
    const rest = resumed.events.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text);
    assert.equal([...before, ...rest].join(""), text);
    assert.equal((await settled(live(t, server, lasting), messageId)).status, "complete");
  });
});

describe("spool admin", { concurrency: true }, () => {
  test("IA-07: makes the first administrator beside a running server and without one", async () => {
    const own = await Server.start(suite, { env: llm.env });
    const link = await admin(own, "create", "--email", "Root@Example.com");
    assert.ok(link.startsWith(`${own.url}/set-password#`), link);
    assert.match(await admin(own, "list"), /^root@example\.com .*not chosen/);
    const visitor = new Visitor(own);
    const { token } = await visitor.ok("reset", { token: link.split("#")[1], password: PASSWORD });
    assert.equal((await http(own, token).query("users:me", {})).isAdmin, true);
    assert.equal(await admin(own, "list"), "root@example.com");

    await own.stop();
    const invited = await admin(own, "invite", "--email", "ada@example.com");
    assert.match(invited, /^http:\/\/127\.0\.0\.1:3210\/set-password#[\w-]{43}$/, "the configured address");
    const taken = await run(["admin", "invite", "--email", "ADA@example.com", "--data", own.data]);
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, /has an account/);
    assert.match(await admin(own, "create", "--email", "ada@example.com"), /is an administrator now/);
    assert.equal((await run(["admin", "reset", "--email", "nobody@example.com", "--data", own.data])).code, 1);
    assert.equal((await admin(own, "list")).split("\n").length, 2);
    await own.start();
    const again = await visitor.ok("token");
    assert.equal(await http(own, again.token).query("users:me", {}).then(({ email }) => email), "root@example.com", "sessions outlive a restart");
    const ada = await new Visitor(own).ok("reset", { token: invited.split("#")[1], password: PASSWORD });
    assert.equal((await http(own, ada.token).query("users:me", {})).isAdmin, true);
    const doctor = await run(["doctor", "--data", own.data]);
    assert.equal(doctor.code, 0, doctor.stdout);
  });

  test("IA-07: takes a password from standard input, and refuses a short one", async () => {
    const create = async (email, input) => {
      const child = spawn(SPOOL_BIN, ["admin", "create", "--email", email, "--password-stdin", "--data", server.data]);
      let stderr = "";
      child.stderr.on("data", (text) => (stderr += text));
      child.stdin.end(input);
      const code = await within(new Promise((resolve) => child.once("close", resolve)), "spool admin create");
      return { code, stderr };
    };
    assert.equal((await create("stdin@example.com", `${PASSWORD}\n`)).code, 0);
    await new Visitor(server).ok("sign-in", { email: "stdin@example.com", password: PASSWORD });
    const short = await create("short@example.com", "short\n");
    assert.equal(short.code, 1);
    assert.match(short.stderr, /10 to 256 characters/);
    const unsaid = await new Visitor(server).post("sign-in", { email: "admin@example.com", password: "admin" });
    assert.equal(unsaid.status, 401, "nothing ships with a password");
  });
});
