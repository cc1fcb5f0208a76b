// The HTTP function API as ConvexHttpClient, curl and browsers of other origins use it.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { guest, http, page, refusal } from "./lib/clients.mjs";
import { decodeTs } from "./lib/raw.mjs";
import { run, serviceKey, Server } from "./lib/server.mjs";

const server = await Server.start({ after });

async function call(path, { method = "POST", body, headers = {}, token } = {}) {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

describe("functions over HTTP", { concurrency: true }, () => {
  test("ConvexHttpClient: query, mutation, action, one user", async () => {
    const { token, userId } = await guest(server);
    const client = http(server, token);
    assert.equal((await client.query("users:me", {}))._id, userId);
    const threadId = await client.mutation("threads:create", { title: "over HTTP" });
    assert.equal((await client.query("threads:get", { threadId })).title, "over HTTP");
    const message = await client.action("turns:sendAndWait", { threadId, text: `/script ${JSON.stringify({ deltas: ["a", "b"] })}` });
    assert.equal(message.text, "ab");
    assert.equal(message.status, "complete");
  });

  test("errors are 200 with a ConvexError's data", async () => {
    const { token } = await guest(server);
    const data = await refusal(http(server, token).mutation("threads:update", { threadId: "thr_00000000000000000000000000", title: "x" }));
    assert.equal(data.code, "not_found");
    const { status, json } = await call("/api/query", { token, body: { path: "threads:nope", args: {} } });
    assert.equal(status, 200);
    assert.equal(json.status, "error");
    assert.equal(json.errorData.code, "function_not_found");
    assert.match(json.errorMessage, /threads:nope/);
  });

  test("consistentQuery reads one moment, and never a mixture", async () => {
    const [mine, theirs] = [await guest(server), await guest(server)];
    const [reader, writer] = [http(server, mine.token), http(server, mine.token)];
    const threadId = await writer.mutation("threads:create", { title: "then" });
    assert.equal((await reader.consistentQuery("threads:get", { threadId })).title, "then");
    await http(server, theirs.token).mutation("threads:create", { title: "elsewhere" });
    assert.equal((await reader.consistentQuery("threads:get", { threadId })).title, "then", "a write elsewhere changes nothing");
    await writer.mutation("threads:update", { threadId, title: "now" });
    // The moment before the write: as it was, or refused because it is gone.
    const again = await reader.consistentQuery("threads:get", { threadId }).then(({ title }) => title, ({ message }) => JSON.parse(message).code);
    assert.ok(again === "then" || again === "overloaded", again);
    assert.equal((await http(server, mine.token).consistentQuery("threads:get", { threadId })).title, "now");
    const [a, b] = [await call("/api/query_ts"), await call("/api/query_ts")];
    assert.ok(decodeTs(b.json.ts) >= decodeTs(a.json.ts));
  });

  test("args as an object and as an array, both formats, GET and the path form", async () => {
    const { token } = await guest(server);
    for (const args of [{ title: "as object" }, [{ title: "as array" }]]) {
      const { json } = await call("/api/mutation", { token, body: { path: "threads:create", args, format: "convex_encoded_json" } });
      assert.equal(json.status, "success");
    }
    for (const format of ["json", "convex_encoded_json", undefined]) {
      const { json } = await call("/api/query", { token, body: { path: "threads:page", args: page(10), format } });
      assert.equal(json.value.page.length, 2);
    }
    const query = new URLSearchParams({ path: "threads:page", args: JSON.stringify(page(10)), format: "json" });
    assert.equal((await call(`/api/query?${query}`, { method: "GET", token })).json.value.page.length, 2);
    assert.equal((await call("/api/run/threads/page", { token, body: { args: page(10) } })).json.value.page.length, 2);
  });

  test("an address with a slash at its end works", async () => {
    const { token } = await guest(server);
    assert.equal((await call("//api/query", { token, body: { path: "threads:page", args: page(10) } })).json?.status, "success");
    assert.equal((await call("//api/auth/guest")).status, 200);
  });

  test("what is no call is an HTTP error with code and message", async () => {
    const { token } = await guest(server);
    const bad = [
      ["/api/query", { body: "{nonsense" }, 400],
      ["/api/query", { body: "[]" }, 400],
      ["/api/query", { body: { args: {} } }, 400],
      ["/api/query", { body: { path: "threads:page", args: page(1), format: "xml" } }, 400],
      ["/api/nothing", { body: {} }, 404],
      ["/api/query", { body: { path: "users:me", args: {} }, headers: { authorization: "Bearer forged.token.here" } }, 401],
      ["/api/query", { body: { path: "users:me", args: {} }, headers: { authorization: "Convex no-such-key" } }, 401],
      ["/api/query", { body: { path: "users:me", args: {} }, headers: { authorization: "Basic eDp5" } }, 401],
    ];
    for (const [path, options, expected] of bad) {
      const { status, json, text } = await call(path, { token: options.headers ? undefined : token, ...options });
      const name = `${path} ${JSON.stringify(options)} → ${status} ${text.slice(0, 200)}`;
      assert.equal(status, expected, name);
      assert.equal(typeof json?.code, "string", name);
      assert.ok(json.message.length > 0, name);
    }
  });

  test("a body over the limit is refused with a code", async () => {
    const { token } = await guest(server);
    const body = { path: "threads:create", args: { title: "x".repeat(17 << 20) } };
    // A server may answer and hang up while the body is still on its way; then the answer can be lost.
    let answer;
    for (let attempt = 0; attempt < 10 && answer === undefined; attempt += 1) {
      answer = await call("/api/mutation", { token, body }).catch(() => undefined);
    }
    assert.deepEqual([answer?.status, answer?.json?.code], [413, "too_large"], answer?.text.slice(0, 200));
  });

  test("bad values over HTTP fail the call, not the connection", async () => {
    const { token } = await guest(server);
    for (const args of ['{"title":"\\ud800"}', '{"title":{"$integer":"AA=="}}', '{"$x":1}']) {
      const { status, json } = await call("/api/mutation", { token, body: `{"path":"threads:create","args":${args},"format":"convex_encoded_json"}` });
      assert.ok(status === 200 || status === 400, `${status}`);
      assert.equal((json.errorData ?? json).code, "bad_request", JSON.stringify(json));
    }
  });

  test("CORS: preflight and answers, errors too, name the origin and allow credentials", async () => {
    const origin = "http://app.example:5173";
    const preflight = await call("/api/mutation", {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type,convex-client" },
    });
    assert.ok(preflight.status === 200 || preflight.status === 204, `${preflight.status}`);
    const allowed = (preflight.headers.get("access-control-allow-headers") ?? "").toLowerCase();
    for (const name of ["authorization", "content-type", "convex-client"]) assert.match(allowed, new RegExp(name));
    assert.match(preflight.headers.get("access-control-allow-methods") ?? "", /POST/);
    const answers = [
      preflight,
      await call("/api/query", { headers: { origin }, body: { path: "server:info", args: {} } }),
      await call("/api/query", { headers: { origin }, body: "{nonsense" }),
      await call("/api/query", { headers: { origin, authorization: "Bearer bad" }, body: { path: "server:info", args: {} } }),
      await call("/api/auth/guest", { headers: { origin } }),
      await call("/api/stream/gen_00000000000000000000000000", { method: "GET", headers: { origin } }),
    ];
    for (const { status, headers } of answers) {
      const got = headers.get("access-control-allow-origin");
      assert.ok(got === origin || got === "*", `status ${status} has access-control-allow-origin ${got}`);
      assert.ok(got === "*" || /origin/i.test(headers.get("vary") ?? ""), "a mirrored origin varies");
    }
  });

  test("IA-10: a service key works as Bearer and as Convex, within its scopes", async () => {
    const key = await serviceKey(server);
    for (const scheme of ["Bearer", "Convex", "bearer"]) {
      const { json, text } = await call("/api/query", { headers: { authorization: `${scheme} ${key}` }, body: { path: "server:info", args: {} } });
      assert.equal(json?.status, "success", text);
    }
    const { stdout } = await run(["key", "create", "--scope", "threads:*", "--data", server.data]);
    const scoped = stdout.split(/\s+/).filter((word) => word.length >= 20).at(-1);
    const headers = { authorization: `Bearer ${scoped}` };
    const inside = await call("/api/query", { headers, body: { path: "threads:page", args: page(1) } });
    assert.equal(inside.json.status, "success", inside.text);
    const outside = await call("/api/mutation", { headers, body: { path: "generations:stop", args: { generationId: "gen_00000000000000000000000000" } } });
    assert.deepEqual([outside.status, outside.json.code], [403, "forbidden"], outside.text);
  });

  test("operations: health, readiness, keys, OpenAPI", async () => {
    for (const path of ["/healthz", "/readyz"]) assert.equal((await call(path, { method: "GET" })).status, 200);
    const jwks = await call("/.well-known/jwks.json", { method: "GET" });
    assert.ok(jwks.json.keys.length >= 1);
    assert.ok(jwks.json.keys.every((key) => key.d === undefined), "no private part");
    const { json } = await call("/openapi.json", { method: "GET" });
    const functions = json["x-functions"];
    for (const [name, kind] of Object.entries({ "threads:create": "mutation", "threads:page": "query", "turns:send": "mutation", "turns:sendAndWait": "action", "generations:deltas": "query" })) {
      assert.equal(functions[name]?.kind, kind, name);
      assert.equal(typeof functions[name].args, "object");
      assert.equal(typeof functions[name].returns, "object");
    }
  });
});
