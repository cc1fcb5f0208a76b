// Sign-in with an identity provider in the built-in UI: the code flow with PKCE, everything that can be wrong
// with it, and one run of a real browser.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, describe, test } from "node:test";
import { launch, open } from "./lib/browser.mjs";
import { guest, http, page } from "./lib/clients.mjs";
import { pair, seconds } from "./lib/issuer.mjs";
import { Provider } from "./lib/oidc.mjs";
import { Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

/** A visitor with cookies, who follows redirects one at a time. */
class Visitor {
  constructor(server) {
    this.server = server;
    this.cookies = new Map();
  }

  async get(url) {
    const headers = { cookie: [...this.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ") };
    const response = await fetch(new URL(url, this.server.url), { redirect: "manual", headers, signal: AbortSignal.timeout(30_000) });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value, attributes] = /^([^=]+)=([^;]*)(.*)$/.exec(line);
      if (value === "") this.cookies.delete(name);
      else this.cookies.set(name, { value, attributes });
    }
    return response;
  }

  /** The address at the provider. */
  async start(returnTo = "/") {
    const response = await this.get(`/api/auth/oidc/test/start?return_to=${encodeURIComponent(returnTo)}`);
    assert.equal(response.status, 303);
    return response.headers.get("location");
  }

  /** From the provider back to the callback's address, which is not visited. */
  async consent(location) {
    return (await fetch(location, { redirect: "manual" })).headers.get("location");
  }

  /** Where the callback leads. */
  async callback(location) {
    const response = await this.get(location);
    assert.equal(response.status, 303);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    return response.headers.get("location");
  }

  async signIn(returnTo) {
    return this.callback(await this.consent(await this.start(returnTo)));
  }

  /** The token of the session in the cookie; `null` if there is none. */
  async token() {
    const cookie = this.cookies.get("spool_session");
    const headers = { "content-type": "application/json", ...(cookie === undefined ? {} : { cookie: `spool_session=${cookie.value}` }) };
    const response = await fetch(`${this.server.url}/api/auth/token`, { method: "POST", headers, body: "{}" });
    return response.status === 200 ? (await response.json()).token : null;
  }
}

const suite = { after };
const provider = await Provider.start(suite);
const server = await Server.start(suite, { config: provider.config() });
const me = (token) => http(server, token).query("users:me", {});
const failed = (reason) => `/sign-in?signin_error=${reason}`;

/** A provider and a server of a test's own. */
async function pairOf(t, options) {
  const own = await Provider.start(t, options);
  const its = await Server.start(t, { config: own.config() });
  return { own, its, visitor: new Visitor(its) };
}

describe("sign-in with a provider", { concurrency: true }, () => {
  test("IA-02: the flow ends in a session of the provider's person, on the page that was asked for", async () => {
    const visitor = new Visitor(server);
    const url = new URL(await visitor.start("/t/thr_1?x=y"));
    const asked = Object.fromEntries(url.searchParams);
    assert.equal(url.origin + url.pathname, `${provider.url}/authorize`);
    assert.deepEqual([asked.response_type, asked.client_id, asked.code_challenge_method], ["code", "spool-ui", "S256"]);
    assert.equal(asked.redirect_uri, `${server.url}/api/auth/oidc/test/callback`);
    assert.deepEqual(asked.scope.split(" ").sort(), ["email", "openid", "profile"]);
    for (const secret of ["state", "nonce", "code_challenge"]) assert.ok(asked[secret].length >= 43, secret);
    const kept = visitor.cookies.get("spool_oidc");
    for (const attribute of ["HttpOnly", "SameSite=Lax", "Path=/api/auth/oidc", "Max-Age=600"]) assert.ok(kept.attributes.includes(attribute), attribute);

    const back = await visitor.consent(url.href);
    assert.equal(await visitor.callback(back), "/t/thr_1?x=y");
    assert.ok(!visitor.cookies.has("spool_oidc"), "the sign-in is over");
    const session = visitor.cookies.get("spool_session");
    for (const attribute of ["HttpOnly", "SameSite=Lax", "Path=/api/auth"]) assert.ok(session.attributes.includes(attribute), attribute);
    const user = await me(await visitor.token());
    assert.deepEqual([user.kind, user.name, user.email], ["full", "Ada", "ada@example.com"]);
    const [listed] = await http(server, await visitor.token()).query("sessions:list", {});
    assert.equal(listed.method, "oidc:test");

    // Who comes again is the same user, in a session of its own.
    const other = new Visitor(server);
    assert.equal(await other.signIn(), "/");
    assert.equal((await me(await other.token()))._id, user._id);
    assert.notEqual(other.cookies.get("spool_session").value, session.value);
    const exchange = provider.exchanges.at(-1);
    assert.equal(exchange.client_secret, undefined, "the secret is in the header alone");
    // The methods that the page of sign-in draws.
    const methods = await (await fetch(`${server.url}/api/auth/methods`)).json();
    assert.deepEqual(methods.providers, [{ id: "test", name: "Test Provider" }]);
    for (const secret of [provider.secret, exchange.code, exchange.code_verifier, session.value, asked.state]) {
      assert.ok(!server.stderr.includes(secret), "no secret in the log");
    }
  });

  test("IA-02: a public client has no secret, and PKCE protects it", async (t) => {
    const { own, visitor } = await pairOf(t, { secret: null });
    assert.equal(await visitor.signIn(), "/");
    assert.notEqual(await visitor.token(), null);
    assert.equal(own.exchanges[0].client_id, "spool-ui");
    assert.equal(own.exchanges[0].code_verifier.length, 43);
  });

  test("IA-02: a wrong state, another browser's callback, and a second use are refused", async () => {
    const visitor = new Visitor(server);
    const back = new URL(await visitor.consent(await visitor.start()));
    const stranger = new Visitor(server);
    assert.equal(await stranger.callback(back), failed("state_missing"), "a person who is sent somebody else's callback");
    const theirs = new Visitor(server);
    await theirs.start();
    assert.equal(await theirs.callback(back), failed("state_mismatch"), "who is in a sign-in of their own");
    const wrong = new Visitor(server);
    const answer = new URL(await wrong.consent(await wrong.start()));
    answer.searchParams.set("state", "x".repeat(43));
    assert.equal(await wrong.callback(answer), failed("state_mismatch"));
    assert.ok(!wrong.cookies.has("spool_oidc"), "after a wrong guess there is no second");
    for (const nobody of [stranger, theirs, wrong]) assert.equal(await nobody.token(), null);

    assert.equal(await visitor.callback(back), "/");
    const used = visitor.cookies.get("spool_session").value;
    assert.equal(await visitor.callback(back), failed("state_missing"), "the same callback again");
    assert.equal(visitor.cookies.get("spool_session").value, used, "takes nobody's session");
    const forged = new Visitor(server);
    forged.cookies.set("spool_oidc", { value: `${Buffer.from("{}").toString("base64url")}.${"A".repeat(43)}` });
    assert.equal(await forged.callback(back), failed("state_missing"));
  });

  test("IA-02: a replayed code is refused by the provider, and that is said", async () => {
    const first = new Visitor(server);
    const code = new URL(await first.consent(await first.start())).searchParams.get("code");
    // Taken from one sign-in and put into another: the verifier does not fit, and the code is used up.
    const thief = new Visitor(server);
    const answer = new URL(await thief.consent(await thief.start()));
    answer.searchParams.set("code", code);
    assert.equal(await thief.callback(answer), failed("code_refused"));
    assert.equal(await thief.token(), null);
    await until(() => server.stderr.includes("invalid_grant"), { what: "the reason in the log" });
    assert.ok(!server.stderr.includes(code), "without the code, which the provider's words repeat");
  });

  test("IA-02: an id token of another sign-in, client, issuer, key or time is refused", async (t) => {
    const { own, its, visitor } = await pairOf(t);
    const attempt = async (wrong, signer) => {
      Object.assign(own, { wrong, signer });
      return visitor.signIn();
    };
    assert.equal(await attempt({ nonce: "x".repeat(43) }), failed("nonce_mismatch"));
    assert.equal(await attempt({ nonce: undefined }), failed("nonce_mismatch"));
    for (const [why, wrong, signer] of [
      ["audience", { aud: "another-client" }],
      ["one of many, for another", { aud: ["spool-ui", "another"], azp: "another" }],
      ["issuer", { iss: "https://evil.example" }],
      ["time", { exp: seconds(-60) }],
      ["no subject", { sub: undefined }],
      ["key", {}, { ...pair("ES256"), kid: own.keys[0].kid }],
      ["shared secret", {}, { alg: "HS256", kid: own.keys[0].kid, secret: own.secret }],
      ["no signature", {}, { alg: "none", kid: own.keys[0].kid }],
    ]) {
      assert.equal(await attempt(wrong, signer), failed("token_refused"), why);
    }
    assert.equal(await visitor.token(), null);
    assert.equal(await attempt({ aud: ["spool-ui", "another"], azp: "spool-ui" }), "/");
    await until(() => its.stderr.includes("wrong_audience"), { what: "the reason in the log" });
  });

  test("IA-02: a sign-in that took too long is refused", async () => {
    const visitor = new Visitor(server);
    const back = await visitor.consent(await visitor.start());
    const [text] = visitor.cookies.get("spool_oidc").value.split(".");
    const pending = JSON.parse(Buffer.from(text, "base64url"));
    // The clock of the server cannot be turned from here; its key, which signs the cookie, is at hand.
    const hmac = (key, words) => createHmac("sha256", key).update(words).digest();
    const key = hmac(await readFile(path.join(server.data, "signing-key.pk8")), "spool sign-in: pending");
    const seal = (content) => {
      const words = Buffer.from(JSON.stringify(content)).toString("base64url");
      return { value: `${words}.${hmac(key, words).toString("base64url")}` };
    };
    visitor.cookies.set("spool_oidc", seal({ ...pending, until_ms: Date.now() - 1 }));
    assert.equal(await visitor.callback(back), failed("state_expired"));
    assert.equal(await visitor.token(), null);
    visitor.cookies.set("spool_oidc", seal(pending));
    assert.equal(await visitor.callback(back), "/", "it was nothing but the time");
  });

  test("IA-02: nobody is led to another site", async () => {
    const visitor = new Visitor(server);
    for (const evil of ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)", "/api/auth/oidc/test/start"]) {
      const response = await visitor.get(`/api/auth/oidc/test/start?return_to=${encodeURIComponent(evil)}`);
      assert.deepEqual([response.status, response.headers.get("location")], [303, failed("bad_return")], evil);
    }
    const unknown = await visitor.get("/api/auth/oidc/nobody/start");
    assert.equal(unknown.headers.get("location"), failed("unknown_provider"));
    // A callback says nothing about where to go, whatever stands in it.
    const back = new URL(await visitor.consent(await visitor.start()));
    back.searchParams.set("return_to", "https://evil.example/");
    assert.equal(await visitor.callback(back), "/");
  });

  test("IA-02: a person who declines, and a provider that is away or broken, end on a page with the reason", async (t) => {
    const { own, visitor } = await pairOf(t);
    own.denies = "access_denied";
    assert.equal(await visitor.signIn(), failed("denied"));
    own.denies = "server_error";
    assert.equal(await visitor.signIn(), failed("provider_error"));
    own.denies = undefined;

    const answers = {
      "a token endpoint that fails": [(response) => response.writeHead(500).end("secret words"), "provider_unavailable"],
      "one that gives no id token": [(response) => response.writeHead(200, { "content-type": "application/json" }).end("{}"), "provider_error"],
      "one that says anything": [(response) => response.writeHead(200).end("<html>"), "provider_error"],
      "an endless answer": [(response) => response.writeHead(200).end("x".repeat(400_000)), "provider_unavailable"],
    };
    for (const [what, [answer, reason]] of Object.entries(answers)) {
      own.instead["/token"] = answer;
      assert.equal(await visitor.signIn(), failed(reason), what);
    }
    delete own.instead["/token"];
    const back = await visitor.consent(await visitor.start());
    await own.close();
    assert.equal(await visitor.callback(back), failed("provider_unavailable"));
    assert.equal(await visitor.token(), null);
    await own.open();
    assert.equal(await visitor.signIn(), "/", "and is there again");

    const late = await Provider.start(t);
    const its = await Server.start(t, { config: late.config() });
    await late.close();
    const early = new Visitor(its);
    const start = async () => (await early.get("/api/auth/oidc/test/start")).headers.get("location");
    assert.equal(await start(), failed("provider_unavailable"), "a provider that was never reached");
    await late.open();
    await until(async () => (await start()).startsWith(late.url), { what: "the provider to be asked again" });
  });

  test("IA-02, GU-03: a browser goes through it, and takes along what it made as a guest", async (t) => {
    const { own, its } = await pairOf(t, { withPage: true });
    const browser = await launch(t);
    const tab = await open(t, browser, its.url);
    await tab.getByRole("textbox", { name: "Message" }).fill("Made as a guest");
    await tab.getByRole("textbox", { name: "Message" }).press("Enter");
    await tab.getByRole("navigation", { name: "Threads" }).getByRole("link", { name: "Made as a guest" }).waitFor();

    own.denies = "access_denied";
    await tab.getByRole("link", { name: "Sign in", exact: true }).click();
    await tab.getByRole("link", { name: "Continue with Test Provider" }).click();
    await tab.getByRole("link", { name: "Continue as Ada" }).click();
    await tab.getByRole("alert").filter({ hasText: "told not to let you in" }).waitFor();
    own.denies = undefined;
    await tab.getByRole("link", { name: "Continue with Test Provider" }).click();
    await tab.getByRole("link", { name: "Continue as Ada" }).click();
    await tab.getByRole("region", { name: "You" }).filter({ hasText: "Ada" }).waitFor();
    assert.equal(new URL(tab.url()).pathname, "/");
    await tab.getByRole("navigation", { name: "Threads" }).getByRole("link", { name: "Made as a guest" }).waitFor();
    assert.equal(await tab.evaluate(() => localStorage.getItem("spool.token")), null, "the guest is forgotten");
    const stored = await tab.evaluate(() => JSON.stringify({ ...localStorage, cookie: document.cookie }));
    assert.ok(!/spool_session|eyJ/.test(stored), `no script sees a secret: ${stored}`);
    await tab.reload();
    await tab.getByRole("region", { name: "You" }).filter({ hasText: "Ada" }).waitFor();
    assert.deepEqual(tab.faults, []);
  });

  test("GU-01: with the policy local a browser sends nothing until somebody signs in, and then hands its drafts over", async (t) => {
    const own = await Provider.start(t, { withPage: true });
    const its = await Server.start(t, { config: `[guests]\npolicy = "local"\n${own.config()}` });
    const browser = await launch(t);
    const tab = await open(t, browser, "about:blank");
    const sent = [];
    tab.on("request", (request) => sent.push(`${request.method()} ${request.url()} ${request.postData() ?? ""}`));
    tab.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));
    await tab.goto(its.url);
    await tab.getByText("Only in this browser.").waitFor();
    const writer = tab.getByRole("textbox", { name: "Draft" });
    for (const text of ["A thought of mine", "and another"]) {
      await writer.fill(text);
      await writer.press("Enter");
      await tab.getByRole("list", { name: "Messages of this draft" }).getByText(text).waitFor();
    }
    await tab.reload();
    await tab.getByRole("button", { name: "A thought of mine", exact: true }).click();
    await tab.getByText("and another").waitFor();
    assert.ok(sent.length > 0);
    assert.deepEqual(sent.filter((one) => /thought|another/.test(one) || one.includes("/api/auth/guest")), [], "no request has content, and nobody became a guest");

    await tab.getByRole("main").getByRole("link", { name: "Sign in" }).click();
    await tab.getByRole("link", { name: "Continue with Test Provider" }).click();
    await tab.getByRole("link", { name: "Continue as Ada" }).click();
    const row = tab.getByRole("navigation", { name: "Threads" }).getByRole("link", { name: "A thought of mine" });
    await row.click();
    await tab.getByRole("region", { name: "Messages" }).getByText("and another").waitFor();
    await until(async () => (await tab.evaluate(() => localStorage.getItem("spool.local"))) === "[]", { what: "the drafts to leave the browser" });
    assert.deepEqual(tab.faults, []);
  });

  test("GU-03: an account that a provider vouches for claims a guest, and may ask again", async () => {
    const { token } = await guest(server);
    const visitor = new Visitor(server);
    await visitor.signIn();
    const claim = (into) =>
      fetch(`${server.url}/api/auth/claim`, { method: "POST", headers: { authorization: `Bearer ${into}` }, body: JSON.stringify({ token }) });
    assert.equal((await claim(await visitor.token())).status, 200);
    assert.equal((await http(server, await visitor.token()).query("threads:page", page())).page.length, 0);
    assert.equal((await claim(await visitor.token())).status, 200, "again, by the same account");
  });
});
