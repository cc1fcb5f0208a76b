// Tokens of identity providers through the front door: which are believed, why the others are refused, and
// what happens to their keys.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { http, refusal } from "./lib/clients.mjs";
import { Issuer, jwt, pair, seconds } from "./lib/issuer.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const SECRET = "a-shared-secret-of-the-tests-with-more-than-32-bytes";
const me = (server, token) => http(server, token).query("users:me", {});

/** `{status, …}` of a call with a raw header value. */
async function call(server, token, path = "users:me", kind = "query") {
  const response = await fetch(`${server.url}/api/${kind}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ path, args: {} }),
    signal: AbortSignal.timeout(15_000),
  });
  return { status: response.status, retryAfter: response.headers.get("retry-after"), ...(await response.json()) };
}

const suite = { after };
const issuer = await Issuer.start(suite, { algs: ["RS256", "ES256", "EdDSA"] });
const other = await Issuer.start(suite);
const shared = { alg: "HS256", secret: SECRET };
const pems = ["ES256", "RS256", "EdDSA"].map(pair);
const [pem] = pems;
const texts = pems.map(({ publicKey }) => `"""${publicKey.export({ type: "spki", format: "pem" })}"""`);
const set = { keys: [{ ...pem.publicKey.export({ format: "jwk" }), kid: "in-the-url" }] };
const config = [
  issuer.config(),
  other.config(),
  `[[auth.issuers]]\nissuer = "shared"\naudience = "authenticated"\nsecret = "\${TEST_SECRET}"\n`,
  `[[auth.issuers]]\nissuer = "pem"\nauthorized_parties = ["https://app"]\nkeys = [${texts}]\n`,
  `[[auth.issuers]]\nissuer = "url"\naudience = ["a", "b"]\njwks = "data:application/json,${encodeURIComponent(JSON.stringify(set))}"\n`,
].join("\n");
const server = await Server.start(suite, { config, env: { TEST_SECRET: SECRET } });

describe("tokens of others", { concurrency: true }, () => {
  test("IA-02: every kind of key is taken, fetched or configured", async () => {
    const tokens = [
      ...issuer.keys.map((key) => issuer.token({ sub: "one" }, key)),
      jwt({ alg: "HS256" }, { iss: "shared", aud: "authenticated", sub: "one", exp: seconds(60) }, shared),
      ...pems.map((key) => jwt({ alg: key.alg, kid: "not-in-a-pem" }, { iss: "pem", azp: "https://app", sub: "one", exp: seconds(60) }, key)),
      jwt({ alg: "ES256", kid: "in-the-url" }, { iss: "url", aud: "b", sub: "one", exp: seconds(60) }, pem),
    ];
    const users = [];
    for (const token of tokens) users.push((await me(server, token))._id);
    assert.equal(new Set(users.slice(0, 3)).size, 1, "one subject of one issuer is one user, whatever the key");
    assert.equal(new Set(users).size, 4, "one subject of four issuers is four users");
  });

  test("IA-03: 20 first calls at once make one user, who can act at once", async () => {
    const token = issuer.token({ sub: "first", name: "Ada", email: "ada@example.com", picture: "https://example.com/a.png" });
    const threads = await Promise.all(Array.from({ length: 20 }, () => http(server, token).mutation("threads:create", {})));
    assert.equal(new Set(threads).size, 20);
    const users = await Promise.all(Array.from({ length: 20 }, () => me(server, token)));
    assert.equal(new Set(users.map(({ _id }) => _id)).size, 1);
    const { _id, ...user } = users[0];
    assert.deepEqual(user, { kind: "full", name: "Ada", email: "ada@example.com", picture: "https://example.com/a.png" });
    const list = await http(server, token).query("threads:page", { paginationOpts: { numItems: 50, cursor: null } });
    assert.equal(list.page.length, 20, "all in one account");
  });

  test("what a newer token says of its user is kept, and an older one changes nothing back", async () => {
    const [older, newer] = [issuer.token({ sub: "renamed", name: "Old", iat: seconds(-60) }), issuer.token({ sub: "renamed", name: "New" })];
    assert.equal((await me(server, older)).name, "Old");
    assert.equal((await me(server, newer)).name, "New");
    assert.equal((await me(server, older)).name, "New");
  });

  test("a user of an issuer is no guest of ours, whatever the subject is called", async () => {
    const guest = await (await fetch(`${server.url}/api/auth/guest`, { method: "POST" })).json();
    const { sub } = JSON.parse(Buffer.from(guest.token.split(".")[1], "base64url"));
    const token = issuer.token({ sub });
    assert.notEqual((await me(server, token))._id, guest.userId);
    const renewed = await fetch(`${server.url}/api/auth/guest`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
    assert.notEqual((await renewed.json()).userId, guest.userId);
  });

  /** What is wrong, the reason, and the token. */
  const bad = {
    "an expired token": ["expired", () => issuer.token({ exp: seconds(-10) })],
    "a token that is not valid yet": ["not_yet_valid", () => issuer.token({ nbf: seconds(60) })],
    "a token for another audience": ["wrong_audience", () => issuer.token({ aud: "somebody-else" })],
    "a token for nobody": ["missing_claim", () => issuer.token({ aud: undefined })],
    "a token of another party": ["wrong_audience", () => jwt({ alg: "ES256" }, { iss: "pem", azp: "https://evil", sub: "x", exp: seconds(60) }, pem)],
    "an issuer that is not configured": ["unknown_issuer", () => issuer.token({ iss: "https://evil.example" })],
    "an issuer with a slash too many": ["unknown_issuer", () => issuer.token({ iss: `${issuer.url}/` })],
    "a key of another issuer under a known id": ["bad_signature", () => issuer.token({}, { ...pair("RS256"), kid: issuer.keys[0].kid })],
    "a token of one issuer in the name of another": ["unknown_key", () => other.token({ iss: issuer.url })],
    "an algorithm that is not allowed": ["algorithm_refused", () => issuer.token({}, { ...shared, kid: issuer.keys[0].kid })],
    "an algorithm that is not the key's": ["algorithm_refused", () => issuer.token({}, { ...pair("ES256"), kid: issuer.keys[0].kid })],
    "no signature": ["algorithm_refused", () => issuer.token({}, { alg: "none", kid: issuer.keys[0].kid })],
    "HS256 with the public key as secret": ["algorithm_refused", () => issuer.token({}, { alg: "HS256", kid: issuer.keys[0].kid, secret: issuer.keys[0].publicKey.export({ type: "spki", format: "pem" }) })],
    "a wrong shared secret": ["bad_signature", () => jwt({ alg: "HS256" }, { iss: "shared", aud: "authenticated", sub: "x", exp: seconds(60) }, { secret: "wrong" })],
    "a signature cut short": ["bad_signature", () => issuer.token().slice(0, -8)],
    "an unknown key": ["unknown_key", () => issuer.token({}, pair("RS256"))],
    "no subject": ["missing_claim", () => issuer.token({ sub: undefined })],
    "an empty subject": ["missing_claim", () => issuer.token({ sub: "" })],
    "no expiry": ["missing_claim", () => issuer.token({ exp: undefined })],
    "no issuer": ["missing_claim", () => issuer.token({ iss: undefined })],
    "an oversized token": ["too_large", () => issuer.token({ padding: "x".repeat(17 << 10) })],
    "garbage": ["malformed", () => "garbage"],
    "garbage in three parts": ["malformed", () => "a.b.c"],
    "nothing": ["malformed", () => ""],
  };
  for (const [name, [reason, make]] of Object.entries(bad)) {
    test(`IA-02: ${name} is refused over HTTP and on a socket: ${reason}`, async (t) => {
      const answer = await call(server, make());
      assert.equal(answer.status, 401, JSON.stringify(answer));
      assert.deepEqual([answer.code, answer.reason], ["invalid_token", reason], answer.message);
      const token = make();
      if (token !== "") assert.ok(!JSON.stringify(answer).includes(token), "the token is not repeated");

      const session = await RawSession.open(t, server);
      session.authenticate(token);
      session.modify([["users:me", {}]]);
      session.request("Mutation", "threads:create", {});
      const error = await session.next(({ type }) => type === "AuthError", "the refusal");
      assert.deepEqual([error.authUpdateAttempted, error.baseVersion], [true, 0]);
      assert.match(error.error, new RegExp(`invalid_token|${answer.message}`));
      await within(session.closed, "the socket to be closed");
      assert.deepEqual(session.messages.filter(({ type }) => type === "MutationResponse" || type === "Transition"), [], "nothing ran");
    });
  }
});

test("OP-06: no secret and no token is in the log of all that", () => {
  assert.ok(!server.stderr.includes(SECRET));
  assert.doesNotMatch(server.stderr, /eyJ[\w-]{20,}/);
});

describe("keys of an issuer", { concurrency: true }, () => {
  const start = async (t, more, options) => {
    const issuer = await Issuer.start(t, options);
    return { issuer, server: await Server.start(t, { config: issuer.config(more) }) };
  };

  test("100 first tokens at once are one fetch, and later ones none", async (t) => {
    const { issuer, server } = await start(t);
    issuer.delay = 100;
    const ids = await Promise.all(Array.from({ length: 100 }, (_, n) => me(server, issuer.token({ sub: `s${n}` }))));
    assert.equal(new Set(ids.map(({ _id }) => _id)).size, 100);
    await me(server, issuer.token());
    assert.equal(issuer.fetches, 1);
  });

  test("garbage key ids cause one fetch per interval and no more", async (t) => {
    const { issuer, server } = await start(t, "refetch_seconds = 3600");
    await me(server, issuer.token());
    const key = pair("ES256");
    const reasons = await Promise.all(Array.from({ length: 50 }, (_, n) => call(server, issuer.token({}, { ...key, kid: `k${n}` }))));
    assert.deepEqual(new Set(reasons.map(({ reason }) => reason)), new Set(["unknown_key"]));
    assert.equal(issuer.fetches, 1, "the interval began with the first fetch");
    await me(server, issuer.token());
  });

  test("a rotation works live, and the withdrawn key is refused", async (t) => {
    const { issuer, server } = await start(t);
    const old = issuer.token();
    const { _id } = await me(server, old);
    issuer.rotate("ES256");
    await until(async () => (await me(server, issuer.token()))._id === _id, { what: "the new key to be taken" });
    assert.equal((await refusal(me(server, old))).reason, "unknown_key");
  });

  test("an issuer that is away takes nobody's session; what cannot be checked is 503", async (t) => {
    const { issuer, server } = await start(t, "refetch_seconds = 1\ncache_seconds = 1");
    const { _id } = await me(server, issuer.token());
    await issuer.close();
    const deadline = Date.now() + 2500;
    await until(async () => {
      assert.equal((await me(server, issuer.token()))._id, _id);
      return Date.now() > deadline;
    });
    const answer = await call(server, issuer.token({}, pair("RS256")));
    assert.deepEqual([answer.status, answer.code, answer.reason], [503, "issuer_unavailable", "issuer_unavailable"]);
    assert.ok(Number(answer.retryAfter) >= 1);
    issuer.rotate();
    await issuer.open();
    await until(async () => (await me(server, issuer.token()))._id === _id, { what: "the issuer's new key" });
  });

  test("an issuer that was never reached: 503, and the token is good once it is there", async (t) => {
    const { issuer, server } = await start(t);
    await issuer.close();
    assert.equal((await call(server, issuer.token())).status, 503);
    const session = await RawSession.open(t, server);
    session.authenticate(issuer.token());
    const { code, reason } = await within(session.closed, "the socket to be closed");
    assert.deepEqual([code, reason], [1013, "IssuerUnavailable"]);
    assert.ok(!session.messages.some(({ type }) => type === "AuthError"), "a client would drop its token");
    await issuer.open();
    await until(() => me(server, issuer.token()), { what: "the issuer's keys" });
  });

  const faults = {
    "is of another issuer": ["/.well-known/openid-configuration", (r) => r.end('{"issuer":"https://evil","jwks_uri":"https://evil/keys"}')],
    "sends elsewhere": ["/keys", (r) => r.writeHead(302, { location: "https://evil.example/keys" }).end()],
    "names keys without TLS elsewhere": ["/.well-known/openid-configuration", (r, url) => r.end(JSON.stringify({ issuer: url, jwks_uri: "http://10.0.0.1/keys" }))],
    "never ends": ["/keys", (r) => { const more = () => !r.destroyed && r.write("x".repeat(64 << 10), more); more(); }],
    "is no JSON": ["/keys", (r) => r.end("<html>")],
    "is an error": ["/keys", (r) => r.writeHead(500).end("oops")],
    "has no usable key": ["/keys", (r) => r.end('{"keys":[{"kty":"oct","k":"AAAA"}]}')],
  };
  for (const [name, [path, answer]] of Object.entries(faults)) {
    test(`an answer that ${name} gives no keys`, async (t) => {
      const { issuer, server } = await start(t);
      issuer.instead[path] = (response) => answer(response, issuer.url);
      const refused = await call(server, issuer.token());
      assert.equal(refused.reason, "issuer_unavailable", JSON.stringify(refused));
      assert.match(server.stderr, /keys of an issuer could not be fetched/);
      delete issuer.instead[path];
      await until(() => me(server, issuer.token()), { what: "the right answer" });
    });
  }

  test("an issuer that hangs keeps nobody for ever", async (t) => {
    const { issuer, server } = await start(t);
    issuer.instead["/keys"] = () => {};
    const begun = Date.now();
    assert.equal((await call(server, issuer.token())).status, 503);
    assert.ok(Date.now() - begun < 12_000);
  });
});
