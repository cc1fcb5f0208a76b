// A server at its limit of open connections says so and goes on serving everybody else.

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { test } from "node:test";
import { guest } from "./lib/clients.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

test("above its connections the server answers 503 with Retry-After, and takes the next when one leaves", async (t) => {
  const server = await Server.start(t, { config: "connections = 2" });
  const { token } = await guest(server);
  const [first, second] = [await RawSession.open(t, server), await RawSession.open(t, server)];
  await assert.rejects(RawSession.open(t, server), /503/);
  const refused = await fetch(`${server.url}/api/stream/gen_00000000000000000000000000`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal((await refused.json()).code, "overloaded");
  // The official clients hear no more of a refused upgrade than that; whoever reads the answer is told when to come.
  const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" };
  const [upgrade] = await once(request(`${server.url}/api/1.48.0/sync`, { headers }).end(), "response");
  assert.equal(upgrade.statusCode, 503);
  assert.ok(Number(upgrade.headers["retry-after"]) >= 1);
  upgrade.resume();
  // Short requests and open sockets are not concerned.
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  second.modify();
  await second.settled();
  await first.close();
  await until(async () => RawSession.open(t, server).then((session) => session.close().then(() => true), () => false), { what: "a place" });
});

test("event streams and waiting long polls of Durable Streams are under the same limit, short reads are not", async (t) => {
  const server = await Server.start(t, { config: "connections = 2", env: { SPOOL_STREAM_LONG_POLL_MS: "20000" } });
  const { token } = await guest(server);
  const headers = { authorization: `Bearer ${token}` };
  const ask = (query, init = {}) => fetch(`${server.url}/v1/stream/notes${query}`, { headers: { ...headers, "content-type": "text/plain" }, ...init });
  assert.equal((await ask("", { method: "PUT", body: "x" })).status, 201);
  const leave = new AbortController();
  const events = await ask("?offset=-1&live=sse", { signal: leave.signal });
  assert.equal(events.status, 200);
  // Whoever looks holds a place for a moment, so the poll may have to come again.
  const poll = (async () => {
    for (;;) {
      const answer = await ask("?offset=1&live=long-poll");
      if (answer.status !== 503) return answer;
    }
  })();
  // Both hold a place; whoever comes is told when to come again.
  await until(() => RawSession.open(t, server).then((session) => session.close().then(() => false), (error) => /503/.test(error.message)), { what: "the poll to wait" });
  for (const query of ["?offset=-1&live=sse", "?offset=1&live=long-poll"]) {
    const refused = await ask(query);
    assert.equal(refused.status, 503, query);
    assert.ok(Number(refused.headers.get("retry-after")) >= 1);
    assert.equal((await refused.json()).code, "overloaded");
  }
  // What can be answered at once is.
  assert.equal(await (await ask("")).text(), "x");
  assert.equal(await (await ask("?offset=0&live=long-poll")).text(), "x");
  assert.equal((await ask("", { method: "HEAD" })).status, 200);
  assert.equal((await ask("", { method: "POST", body: "y" })).status, 204);
  assert.equal(await (await poll).text(), "y");
  leave.abort();
  await events.text().catch(() => {});
  const [first, second] = await until(async () => {
    const sessions = await Promise.allSettled([RawSession.open(t, server), RawSession.open(t, server)]);
    const open = sessions.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
    if (open.length === 2) return open;
    for (const session of open) await session.close();
    return false;
  }, { what: "both places" });
  await Promise.all([first.close(), second.close()]);
});
