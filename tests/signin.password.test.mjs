// Sign-in by e-mail and password over HTTP: the life of a password, what others can learn, and pages of
// other sites.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { after, describe, test } from "node:test";
import { admin, person, smtp, tokenOf, Visitor } from "./lib/account.mjs";
import { guest, http, page } from "./lib/clients.mjs";
import { run, Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const suite = { after };
const server = await Server.start(suite);
const OLD = "correct horse battery";
const NEW = "staple correct horse";

const me = (token, where = server) => http(where, token).query("users:me", {});
const sessions = (token, where = server) => http(where, token).query("sessions:list", {});
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

describe("sign-in by e-mail and password", { concurrency: true }, () => {
  test("IA-02: a link sets the password once, it opens sessions, a change ends the others", async () => {
    const token = tokenOf(await admin(server, "invite", "--email", "Ada@Example.com"));
    const first = new Visitor(server);
    const short = await first.post("reset", { token, password: "short" });
    assert.deepEqual([short.status, short.body.code, short.body.path], [400, "bad_request", "password"]);
    const begun = await first.ok("reset", { token, password: OLD });
    assert.equal((await me(begun.token)).email, "ada@example.com");
    assert.equal((await new Visitor(server).post("reset", { token, password: NEW })).status, 410, "once");

    const second = new Visitor(server, { "user-agent": "Second/1.0" });
    const there = await second.ok("sign-in", { email: " ADA@example.com ", password: OLD });
    const { exp, iat, sid, sub } = claims(there.token);
    assert.deepEqual([exp - iat, sid, sub], [600, there.sessionId, there.userId]);
    const list = await sessions(there.token);
    assert.deepEqual(list.map(({ _id }) => _id), [there.sessionId, begun.sessionId], "newest first");
    assert.deepEqual([list[0].method, list[0].userAgent, list[0].address], ["password", "Second/1.0", "127.0.0.0/24"]);

    const wrong = await first.post("password", { old: "not the old one", new: NEW });
    assert.deepEqual([wrong.status, wrong.body.reason], [403, "wrong_password"]);
    await first.ok("password", { old: OLD, new: NEW });
    assert.equal((await second.post("token")).status, 401, "the other device is signed out");
    const here = await first.ok("token");
    assert.equal(here.sessionId, begun.sessionId);
    assert.equal((await new Visitor(server).post("sign-in", { email: "ada@example.com", password: OLD })).status, 401);
    await new Visitor(server).ok("sign-in", { email: "ada@example.com", password: NEW });

    await first.ok("sign-out");
    assert.match(first.setCookie, /spool_session=; .*Max-Age=0/);
    await until(async () => (await fetch(`${server.url}/api/query`, { method: "POST", headers: { authorization: `Bearer ${here.token}` }, body: JSON.stringify({ path: "users:me", args: {} }) })).status === 401);
    assert.equal((await first.post("token")).body.reason, "signed_out");
  });

  test("IA-02: the cookie is for these routes alone, and no other route reads it", async () => {
    const { visitor } = await person(server, "cookie@example.com", OLD);
    const [pair, ...attributes] = visitor.setCookie.split("; ");
    assert.match(pair, /^spool_session=[\w-]{43}$/);
    assert.deepEqual(attributes.toSorted(), ["HttpOnly", "Max-Age=2592000", "Path=/api/auth", "SameSite=Lax"]);
    const body = JSON.stringify({ path: "threads:create", args: {} });
    const elsewhere = await fetch(`${server.url}/api/mutation`, { method: "POST", headers: { cookie: visitor.cookie }, body });
    assert.equal(elsewhere.status, 401);
    const public_ = await Server.start(suite, { config: 'public_url = "https://spool.example"' });
    const { visitor: secured } = await person(public_, "ada@example.com", OLD);
    assert.ok(secured.setCookie.split("; ").includes("Secure"), secured.setCookie);
  });

  test("IA-02: pages of other sites are refused, whatever they send", async () => {
    const { visitor, sessionId } = await person(server, "csrf@example.com", OLD);
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site", origin: server.url },
      { origin: server.url.replace("127.0.0.1", "localhost") },
    ]) {
      for (const [route, body] of [["token", {}], ["sign-out", {}], ["password", { old: OLD, new: NEW }], ["sign-in", { email: "csrf@example.com", password: OLD }]]) {
        const { status, body: answer } = await visitor.post(route, body, headers);
        assert.deepEqual([route, status, answer.reason], [route, 403, "cross_site"]);
      }
    }
    const form = await visitor.post("sign-out", {}, { "content-type": "text/plain" });
    assert.equal(form.status, 400, "what a form can send is not taken");
    assert.equal((await visitor.ok("token", {}, { origin: server.url })).sessionId, sessionId, "nothing of it did anything");
  });

  test("IA-02: an unknown address is answered like a wrong password, and as slowly", async () => {
    const own = await Server.start(suite);
    await person(own, "known@example.com", OLD);
    const timed = async (email) => {
      const begun = performance.now();
      const { status, body } = await new Visitor(own).post("sign-in", { email, password: "not the password" });
      return { ms: performance.now() - begun, answer: { status, body } };
    };
    await timed("warm@example.com");
    const [known, unknown] = [[], []];
    for (let n = 0; n < 5; n += 1) {
      known.push(await timed("known@example.com"));
      unknown.push(await timed(`unknown${n}@example.com`));
    }
    for (const { answer } of unknown) assert.deepEqual(answer, known[0].answer);
    const least = (all) => Math.min(...all.map(({ ms }) => ms));
    // Without a hash to compare with, the answer would come in a tenth of the time; the rest is the machine.
    assert.ok(least(unknown) > least(known) / 4 && least(known) > least(unknown) / 4, `${least(known)} ms and ${least(unknown)} ms`);
  });

  test("IA-02: five wrong passwords and the account waits, for this address", async () => {
    const own = await Server.start(suite);
    await person(own, "ada@example.com", OLD);
    const visitor = new Visitor(own);
    const attempt = (email, password) => visitor.post("sign-in", { email, password });
    for (let n = 0; n < 5; n += 1) assert.equal((await attempt("ada@example.com", "not the password")).status, 401);
    const refused = await attempt("ADA@example.com", OLD);
    assert.deepEqual([refused.status, refused.body.code], [429, "rate_limited"]);
    const wait = Number(refused.headers.get("retry-after"));
    assert.ok(wait > 200 && wait <= 300, `${wait} s`);
    assert.ok(Math.abs(refused.body.retryAfterMs / 1000 - wait) <= 1);
    for (let n = 0; n < 5; n += 1) await attempt("nobody@example.com", "not the password");
    assert.equal((await attempt("nobody@example.com", "x")).status, 429, "what is not there waits too");
  });

  test("IA-02: accounts are made by the administrator, unless sign-up is open", async () => {
    const methods = async (where) => (await fetch(`${where.url}/api/auth/methods`)).json();
    assert.deepEqual(await methods(server), { guest: "server", password: true, signUp: false, mail: false, providers: [] });
    const closed = await new Visitor(server).post("sign-up", { email: "eve@example.com", password: OLD });
    assert.deepEqual([closed.status, closed.body.reason], [403, "sign_up_off"]);
    const open = await Server.start(suite, { config: '[auth.password]\nsign_up = "open"\n[guests]\npolicy = "off"' });
    assert.deepEqual(await methods(open), { guest: "off", password: true, signUp: true, mail: false, providers: [] });
    const visitor = new Visitor(open);
    const made = await visitor.ok("sign-up", { email: "Eve@example.com", password: OLD, name: "Eve" });
    const seen = await me(made.token, open);
    assert.deepEqual([seen.name, seen.email, seen.isAdmin], ["Eve", "eve@example.com", undefined]);
    const again = await new Visitor(open).post("sign-up", { email: "eve@example.com", password: NEW });
    assert.equal(again.status, 409);
    await http(open, made.token).mutation("threads:create", {});
    const off = await Server.start(suite, { config: "[auth.password]\nenabled = false" });
    assert.equal((await methods(off)).password, false);
    assert.equal((await new Visitor(off).post("sign-in", { email: "a@b.c", password: OLD })).body.reason, "password_off");
  });

  test("IA-02: a guest's token may come along to sign-in, and one that is refused is not taken for none", async () => {
    const { visitor } = await person(server, "claims@example.com", OLD);
    const before = await guest(server);
    const answer = await visitor.ok("sign-in", { email: "claims@example.com", password: OLD }, { authorization: `Bearer ${before.token}` });
    assert.equal(typeof answer.claimed, "boolean");
    const stale = await visitor.post("sign-in", { email: "claims@example.com", password: OLD }, { authorization: "Bearer nonsense" });
    assert.equal(stale.status, 401);
    assert.equal(stale.body.code, "invalid_token");
  });

  test("IA-02: a mail brings the link, and the answer never tells whether there is an account", async () => {
    const mailbox = await smtp(suite);
    const config = `public_url = "http://localhost:9"\n[mail]\nsmtp = "${mailbox.url}"\nfrom = "Spool <no-reply@example.com>"`;
    const own = await Server.start(suite, { config });
    await person(own, "ada@example.com", OLD);
    const visitor = new Visitor(own);
    const [known, unknown] = [await visitor.post("forgot", { email: "Ada@example.com" }), await visitor.post("forgot", { email: "nobody@example.com" })];
    assert.deepEqual([known.status, known.body], [unknown.status, unknown.body]);
    assert.equal(known.status, 200);
    await until(() => mailbox.mails.length > 0);
    const [mail] = mailbox.mails;
    assert.deepEqual([mail.from, mail.to], ["no-reply@example.com", ["ada@example.com"]]);
    assert.match(mail.data, /http:\/\/localhost:9\/set-password#/);
    const begun = await visitor.ok("reset", { token: tokenOf(mail.data), password: NEW });
    assert.equal((await me(begun.token, own)).email, "ada@example.com");
    // What is asked too often is answered the same, and sends nothing.
    for (let n = 0; n < 4; n += 1) assert.equal((await visitor.post("forgot", { email: "ada@example.com" })).status, 200);
    await until(() => mailbox.mails.length === 2);
    await visitor.ok("sign-out");
    assert.deepEqual(mailbox.mails.map(({ to }) => to[0]), ["ada@example.com", "ada@example.com"]);
    assert.equal((await new Visitor(server).post("forgot", { email: "ada@example.com" })).body.reason, "mail_off");
  });

  test("OP-06: neither passwords nor secrets are in the data or the log", async () => {
    const own = await Server.start(suite, { env: { SPOOL_LOG: "trace" } });
    const { visitor, token } = await person(own, "ada@example.com", OLD);
    await visitor.post("sign-in", { email: "ada@example.com", password: "wrong password zebra" });
    await visitor.ok("password", { old: OLD, new: NEW });
    await http(own, token).query("threads:page", page());
    await own.stop();
    const secrets = [OLD, NEW, "wrong password zebra", visitor.cookie.split("=")[1], token];
    const files = (await readdir(own.data, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    assert.ok(files.length > 0);
    for (const entry of files) {
      const bytes = await readFile(path.join(entry.parentPath, entry.name));
      for (const secret of secrets) assert.equal(bytes.includes(secret), false, `${entry.name} holds a secret`);
    }
    for (const secret of secrets) assert.equal(own.stderr.includes(secret), false, "the log holds a secret");
    const doctor = await run(["doctor", "--data", own.data]);
    assert.equal(doctor.code, 0, doctor.stdout);
  });
});
