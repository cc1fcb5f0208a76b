// The routes that are not calls of functions × everybody who is not the owner, with every method. A route without
// a case here fails, so that none is forgotten.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { http } from "./lib/clients.mjs";
import { routes } from "./matrix/routes.mjs";
import { checkSecret, filled, healthy, MARK, scrubbed, sight, world } from "./matrix/world.mjs";

const place = await world({ after });
const { server, token: owner } = place;
// Streams and subscriptions have names, not ids: the owner's, and as long a one of nobody.
const ids = { ...place.ids, stream: "of-the-owner", subscription: "of-the-owner" };
const none = { ...place.none, stream: "of-no-person", subscription: "of-no-person" };

/** Answered by tests/matrix.functions.test.mjs. */
const FUNCTIONS = "calls of functions";
/** Takes no id: whoever calls is told nothing of others. */
const OPEN = [{}];
const chat = (text) => ({ id: "$thread", messages: [{ id: "m1", role: "user", parts: [{ type: "text", text }] }] });
const decision = { type: "tool-x", toolCallId: "t", state: "approval-responded", input: {}, approval: { id: "$approval", approved: true } };

/**
 * What is asked at each route: `path` (the pattern itself if it is left out), `body`, `headers`. `own` says that the
 * name in it is each caller's own, so that the same name is another thing for everybody.
 */
const CASES = {
  "/api/sync": FUNCTIONS,
  "/api/{version}/sync": FUNCTIONS,
  "/api/query": FUNCTIONS,
  "/api/mutation": FUNCTIONS,
  "/api/action": FUNCTIONS,
  "/api/run/{*path}": FUNCTIONS,
  "/api/query_batch": FUNCTIONS,
  "/api/query_ts": OPEN,
  "/api/query_at_ts": FUNCTIONS,
  "/api/debug_event": OPEN,
  "/api/auth/guest": OPEN,
  "/api/auth/methods": OPEN,
  // They act on the cookie, the secret or the guest that they are given, and take no id.
  "/api/auth/claim": OPEN,
  "/api/auth/oidc/{provider}/start": OPEN,
  "/api/auth/oidc/{provider}/callback": OPEN,
  "/api/auth/sign-in": OPEN,
  "/api/auth/sign-up": OPEN,
  "/api/auth/sign-out": OPEN,
  "/api/auth/token": OPEN,
  "/api/auth/password": OPEN,
  "/api/auth/forgot": OPEN,
  "/api/auth/reset": OPEN,
  "/api/stream/{generation}": [{ path: "/api/stream/$generation" }, { path: "/api/stream/$generation?offset=1" }],
  "/api/chat": [
    { body: chat("hello") },
    { body: { id: "$thread", message: { id: "m1", role: "user", parts: [{ type: "text", text: "hello" }] } } },
    { body: { id: "$thread", trigger: "regenerate-message", messageId: "$message", messages: [] } },
    { body: { id: "$thread", messages: [{ id: "$message", role: "assistant", parts: [decision] }] } },
    { body: { ...chat("hello"), id: "mine", messages: [{ id: "m1", role: "user", parts: [{ type: "file", mediaType: "text/plain", url: "/api/uploads/$upload" }] }] } },
    { body: { id: "mine", trigger: "regenerate-message", messageId: "$message", messages: [] } },
    { body: { id: "mine", messages: [{ id: "$message", role: "assistant", parts: [decision] }] } },
  ],
  "/api/chat/{chat}/stream": [{ path: "/api/chat/$thread/stream" }, { path: "/api/chat/$thread/stream?activeStreamId=$generation" }],
  "/api/chat/{chat}/stop": [{ path: "/api/chat/$thread/stop" }, { path: "/api/chat/$thread/stop", body: { activeStreamId: "$generation" } }],
  "/api/uploads": [{ path: "/api/uploads?threadId=$thread&name=a.txt", body: "x" }],
  "/api/uploads/{id}": [{ path: "/api/uploads/$upload" }],
  "/v1/stream/__ds/jwks.json": OPEN,
  "/v1/stream/__ds/subscriptions/{id}": [
    { path: "/v1/stream/__ds/subscriptions/$subscription", own: true },
    { path: "/v1/stream/__ds/subscriptions/$subscription", body: { type: "pull-wake", wake_stream: "$stream", streams: ["$stream"] }, own: true },
  ],
  "/v1/stream/__ds/subscriptions/{id}/streams": [{ path: "/v1/stream/__ds/subscriptions/$subscription/streams", body: { streams: ["$stream"] }, own: true }],
  "/v1/stream/__ds/subscriptions/{id}/streams/{*path}": [{ path: "/v1/stream/__ds/subscriptions/$subscription/streams/$stream", own: true }],
  "/v1/stream/__ds/subscriptions/{id}/claim": [{ path: "/v1/stream/__ds/subscriptions/$subscription/claim", body: {}, own: true }],
  "/v1/stream/__ds/subscriptions/{id}/callback": [{ path: "/v1/stream/__ds/subscriptions/$subscription/callback", body: {}, own: true }],
  "/v1/stream/__ds/subscriptions/{id}/ack": [{ path: "/v1/stream/__ds/subscriptions/$subscription/ack", body: {}, own: true }],
  "/v1/stream/__ds/subscriptions/{id}/release": [{ path: "/v1/stream/__ds/subscriptions/$subscription/release", body: {}, own: true }],
  "/v1/stream/__ds/{*rest}": [{ path: "/v1/stream/__ds/$stream" }],
  "/v1/stream/": OPEN,
  "/v1/stream/{*path}": [
    { path: "/v1/stream/$stream?offset=-1", own: true },
    { path: "/v1/stream/$stream", body: "x", headers: { "content-type": "text/plain" }, own: true },
    { path: "/v1/stream/fork", headers: { "content-type": "text/plain", "stream-forked-from": "/v1/stream/$stream" }, own: true },
    { path: "/v1/stream/generations/$generation?offset=-1" },
    { path: "/v1/stream/generations/$generation", body: "x", headers: { "content-type": "text/plain" } },
  ],
  "/.well-known/jwks.json": OPEN,
  "/openapi.json": OPEN,
  "/healthz": OPEN,
  "/readyz": OPEN,
  "/metrics": OPEN,
  "/version": OPEN,
};
const METHODS = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"];
/** What comes with a refusal, whatever it is. A caller's own things may be had, and need not exist. */
const REFUSED = new Set([400, 401, 403, 404, 405, 409]);

/** Asks; `all` is everything that a caller could tell apart. */
async function ask(method, route, item, caller, these) {
  const { path = route, body, headers = {} } = filled(item, these);
  const type = typeof body === "string" ? "text/plain" : "application/json";
  const sent = body === undefined || method === "GET" || method === "HEAD" ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(server.url + path, {
    method,
    headers: { "content-type": type, ...headers, ...(caller.token === null ? {} : { authorization: `Bearer ${caller.token}` }) },
    body: sent,
    signal: AbortSignal.timeout(15_000),
  });
  const text = await response.text();
  const head = [response.status, ...[...response.headers].filter(([name]) => name !== "date" && name !== "x-request-id")];
  const all = scrubbed(text + JSON.stringify(head));
  checkSecret(place, all, `${method} ${path} for ${caller.name}`);
  // A caller's own thing is shown by the name that the caller gave it.
  return { status: response.status, all: item.own ? all.replaceAll(these.stream, "<name>") : all };
}

describe("the routes", () => {
  let before;
  const stream = { path: "/v1/stream/$stream", body: MARK, headers: { "content-type": "text/plain" } };
  const me = () => ({ authorization: `Bearer ${owner}` });
  const content = async () => (await fetch(`${server.url}/v1/stream/${ids.stream}?offset=-1`, { headers: me() })).text();
  const subscription = async () => (await fetch(`${server.url}/v1/stream/__ds/subscriptions/${ids.subscription}`, { headers: me() })).json();

  test("each has a case here, and each case is a route", async () => {
    assert.deepEqual(Object.keys(CASES).toSorted(), [...new Set(await routes())].toSorted());
  });

  test("the owner has what the cases ask for", async () => {
    const put = (path, body, type) => fetch(server.url + path, { method: "PUT", headers: { ...me(), "content-type": type }, body });
    assert.equal((await put(filled(stream.path, ids), MARK, "text/plain")).status, 201);
    const made = await put(`/v1/stream/__ds/subscriptions/${ids.subscription}`, JSON.stringify({ type: "pull-wake", wake_stream: ids.stream, streams: [ids.stream] }), "application/json");
    assert.equal(made.status, 201, await made.text());
    before = [await sight(place), await content(), await subscription()];
    assert.equal(before[1], MARK);
  });

  for (const [route, items] of Object.entries(CASES).filter(([, items]) => items !== FUNCTIONS)) {
    test(`IA-05: ${route}`, async () => {
      for (const caller of place.callers) {
        for (const item of items) {
          for (const method of METHODS) {
            const foreign = await ask(method, route, item, caller, ids);
            assert.ok(foreign.status < 500, `${method} ${route} for ${caller.name}: ${foreign.status}`);
            if (items === OPEN) continue;
            const where = `${method} ${JSON.stringify({ route, ...item })} for ${caller.name}`;
            const missing = await ask(method, route, item, caller, none);
            assert.equal(foreign.all, missing.all, `${where}: a foreign id is told from a missing one`);
            const may = item.own && (caller.is === "user" || caller.is === "key" || caller.is === "worker");
            assert.ok(may || REFUSED.has(foreign.status), `${where}: ${foreign.all}`);
            if (caller.is === "refused" || caller.is === "anonymous") assert.ok([401, 404, 405].includes(foreign.status), `${where}: ${foreign.all}`);
          }
        }
      }
    });
  }

  test("IA-05: a signed URL opens what it was made for, as it is, and nothing else", async () => {
    const client = http(server, owner);
    const other = await client.mutation("turns:send", { threadId: await client.mutation("threads:create", {}), text: "other" });
    const signed = [
      [await client.mutation("uploads:readUrl", { uploadId: ids.upload, ttlSeconds: 600 }), `/api/uploads/${none.upload}`],
      [await client.mutation("streams:readUrl", { generationId: ids.generation, ttlSeconds: 600 }), `/v1/stream/generations/${other.generationId}`],
      [await client.mutation("streams:readUrl", { path: ids.stream, ttlSeconds: 600 }), `/v1/stream/${ids.stream}/more`],
    ];
    const stranger = (await client.query("users:me", {}))._id.replace(/.{26}$/, "0".repeat(26));
    for (const [{ url }, elsewhere] of signed) {
      const good = new URL(url, server.url);
      const altered = (change) => {
        const copy = new URL(good);
        change(copy, copy.searchParams.get("signature").split("."));
        assert.notEqual(copy.href, good.href);
        return copy;
      };
      const bad = {
        "a later end": altered(({ searchParams: p }) => p.set("expires", Number(p.get("expires")) + 60)),
        "no end": altered(({ searchParams: p }) => p.delete("expires")),
        "another signature": altered(({ searchParams: p }, [user, mac]) => p.set("signature", `${user}.${mac.replace(/./, (c) => (c === "A" ? "B" : "A"))}`)),
        "a shorter signature": altered(({ searchParams: p }, [user, mac]) => p.set("signature", `${user}.${mac.slice(0, -4)}`)),
        "an empty signature": altered(({ searchParams: p }, [user]) => p.set("signature", `${user}.`)),
        "another user": altered(({ searchParams: p }, [, mac]) => p.set("signature", `${stranger}.${mac}`)),
        "no signature": altered(({ searchParams: p }) => p.delete("signature")),
        "another path": altered((copy) => (copy.pathname = elsewhere)),
      };
      const get = (address, token = null) => fetch(address, { headers: token === null ? {} : { authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(15_000) });
      const opened = await get(good);
      assert.equal(opened.status, 200, good.pathname);
      assert.ok((await opened.text()).includes(MARK), good.pathname);
      for (const [what, address] of Object.entries(bad)) {
        const answer = await get(address);
        const text = await answer.text();
        assert.equal(answer.status, 401, `${what}: ${address.pathname}: ${text}`);
        assert.ok(!text.includes(MARK), what);
      }
      for (const caller of place.callers.filter(({ token }) => token !== null)) {
        const answer = await get(good, caller.token);
        assert.ok([401, 403, 404].includes(answer.status), `${caller.name} speaks for itself, not for the URL: ${answer.status}`);
        assert.ok(!(await answer.text()).includes(MARK), caller.name);
      }
      for (const method of ["POST", "PUT", "DELETE"]) {
        assert.ok([401, 405].includes((await fetch(good, { method })).status), `a URL for reading does not ${method}`);
      }
    }
    await client.mutation("threads:remove", { threadId: (await client.query("messages:get", { messageId: other.messageId })).threadId });
  });

  test("IA-05: nothing of the owner's has changed", async () => {
    assert.deepEqual([await sight(place), await content(), await subscription()], before);
    await healthy(server);
  });
});
