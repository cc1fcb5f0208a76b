// Which sites may call from a browser, and what every answer tells browsers, errors too.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { guest } from "./lib/clients.mjs";
import { Server } from "./lib/server.mjs";

const APP = "https://app.example.com";
const OTHER = "https://other.example";

/** Requests that are answered with each status, and the status. */
const answers = (token) => {
  const json = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const post = (path, body, headers = json) => [path, { method: "POST", headers, body }];
  return [
    [200, post("/api/query", '{"path":"server:info","args":{}}')],
    [200, post("/api/query", '{"path":"threads:get","args":{"threadId":"nonsense"}}')],
    [200, ["/", {}]],
    [200, ["/readyz", {}]],
    [400, post("/api/query", "{nonsense")],
    [401, post("/api/query", '{"path":"users:me","args":{}}', { authorization: "Bearer bad" })],
    [403, post("/api/mutation", '{"path":"generations:append","args":{"generationId":"gen_00000000000000000000000000","events":[]}}')],
    [404, post("/api/nothing", "{}")],
    [404, ["/api/stream/gen_00000000000000000000000000", { headers: { authorization: `Bearer ${token}` } }]],
    [404, ["/v1/stream/nothing", { headers: { authorization: `Bearer ${token}` } }]],
    [405, ["/api/mutation", { method: "DELETE" }]],
    [413, post("/api/mutation", JSON.stringify({ path: "threads:create", args: { title: "x".repeat(17 << 20) } }))],
  ];
};

const call = async (server, [path, init], origin) => {
  const response = await fetch(`${server.url}${path}`, { ...init, headers: { ...init.headers, origin }, signal: AbortSignal.timeout(30_000) });
  await response.arrayBuffer();
  return response;
};

const preflight = (server, origin) =>
  call(server, ["/api/mutation", { method: "OPTIONS", headers: { "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type" } }], origin);

const secure = ({ headers, status }, what) => {
  const name = `${what} (${status})`;
  assert.equal(headers.get("x-content-type-options"), "nosniff", name);
  assert.equal(headers.get("x-frame-options"), "DENY", name);
  assert.ok(headers.has("referrer-policy"), name);
  const policy = headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src 'none'/, name);
  assert.match(policy, /frame-ancestors 'none'/, name);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/, name);
};

describe("HT-05: CORS and security headers", { concurrency: true }, () => {
  test("by default every site may call without cookies, and every answer says so", async () => {
    const server = await Server.start({ after });
    const { token } = await guest(server);
    for (const [status, request] of answers(token)) {
      const response = await call(server, request, OTHER);
      const name = `${request[0]} ${status}`;
      assert.equal(response.status, status, name);
      assert.ok([OTHER, "*"].includes(response.headers.get("access-control-allow-origin")), name);
      assert.equal(response.headers.get("access-control-allow-credentials"), null, name);
      assert.match(response.headers.get("vary") ?? "", /origin/i, name);
      secure(response, name);
    }
    const asked = await preflight(server, OTHER);
    assert.ok(asked.ok);
    assert.match(asked.headers.get("access-control-allow-headers"), /authorization/);
    assert.equal(asked.headers.get("access-control-allow-credentials"), null);
    secure(asked, "preflight");
    assert.equal(asked.headers.get("strict-transport-security"), null);
  });

  test("named sites alone may call, with cookies; others read no answer of any status", async () => {
    const config = `[cors]\norigins = ["${APP}"]\n[security]\nhsts_seconds = 3600\n`;
    const server = await Server.start({ after }, { config });
    const { token } = await guest(server);
    for (const [status, request] of answers(token)) {
      const name = `${request[0]} ${status}`;
      const named = await call(server, request, APP);
      assert.equal(named.status, status, name);
      assert.equal(named.headers.get("access-control-allow-origin"), APP, name);
      assert.equal(named.headers.get("access-control-allow-credentials"), "true", name);
      assert.equal(named.headers.get("strict-transport-security"), "max-age=3600", name);
      for (const stranger of [OTHER, `${APP}.evil.example`, "http://app.example.com", "null"]) {
        const other = await call(server, request, stranger);
        assert.equal(other.headers.get("access-control-allow-origin"), null, `${name} ${stranger}`);
      }
    }
    assert.equal((await preflight(server, APP)).headers.get("access-control-allow-origin"), APP);
    assert.equal((await preflight(server, OTHER)).headers.get("access-control-allow-origin"), null);
  });

  test("with a name and the star, only the named site may send cookies", async () => {
    const server = await Server.start({ after }, { config: `[cors]\norigins = ["${APP}", "*"]\n` });
    const credentials = async (origin) => {
      const { headers } = await preflight(server, origin);
      return [headers.get("access-control-allow-origin"), headers.get("access-control-allow-credentials")];
    };
    assert.deepEqual(await credentials(APP), [APP, "true"]);
    assert.deepEqual(await credentials(OTHER), [OTHER, null]);
  });

  test("429 and streams are answers like others", async () => {
    const limits = "[limits]\nexempt_loopback = false\nwrites = { per_second = 0.01, burst = 2 }\n";
    const server = await Server.start({ after }, { config: `[cors]\norigins = ["${APP}"]\n${limits}` });
    const { token } = await guest(server);
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    const mutation = (path, args) => ["/api/mutation", { method: "POST", headers, body: JSON.stringify({ path, args }) }];
    const response = await fetch(`${server.url}/api/mutation`, mutation("threads:create", {})[1]);
    const threadId = (await response.json()).value;
    const sent = await fetch(`${server.url}/api/mutation`, mutation("turns:send", { threadId, text: "/slow 20" })[1]);
    const { generationId } = (await sent.json()).value;
    const refused = await call(server, mutation("threads:create", {}), APP);
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get("access-control-allow-origin"), APP);
    assert.match(refused.headers.get("access-control-expose-headers"), /retry-after/);
    secure(refused, "429");
    const stream = await fetch(`${server.url}/api/stream/${generationId}`, { headers: { authorization: `Bearer ${token}`, origin: APP } });
    assert.ok([200, 204].includes(stream.status));
    assert.equal(stream.headers.get("access-control-allow-origin"), APP);
    secure(stream, "stream");
    await stream.body?.cancel();
  });
});
