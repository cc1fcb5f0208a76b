// A server at its limit of open connections says so and goes on serving everybody else.

import assert from "node:assert/strict";
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
  // Short requests and open sockets are not concerned.
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  second.modify();
  await second.settled();
  await first.close();
  await until(async () => RawSession.open(t, server).then((session) => session.close().then(() => true), () => false), { what: "a place" });
});
