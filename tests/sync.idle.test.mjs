// Silence: what the official client's own limits (60 s without a word) make of an idle server, and of a network
// that stops without saying so. All of it waits at the same time.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { http, live, react, user, watch } from "./lib/clients.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const server = await Server.start({ after });
const IDLE_MS = 65_000;
const PATIENCE_MS = 90_000;
const title = async (token, threadId) => (await http(server, token).query("threads:get", { threadId })).title;

describe("silence", { concurrency: true }, () => {
  test("65 s idle: the same connection, and it works at once", async (t) => {
    const { token, client, userId } = await user(t, server);
    const threadId = await client.mutation("threads:create", { title: "before" });
    const seen = watch(client, "threads:get", { threadId });
    await until(() => seen.current?.title === "before");
    const other = react(t, server, token);
    const me = other.watchQuery("users:me", {});
    t.after(me.onUpdate(() => {}));
    await until(() => me.localQueryResult()?._id === userId);
    await sleep(IDLE_MS);
    for (const { connectionCount, connectionRetries, isWebSocketConnected } of [client.client.connectionState(), other.connectionState()]) {
      assert.deepEqual([connectionCount, connectionRetries, isWebSocketConnected], [1, 0, true]);
    }
    const begun = performance.now();
    await client.mutation("threads:update", { threadId, title: "after" });
    await until(() => seen.current.title === "after");
    assert.ok(performance.now() - begun < 2000);
    assert.deepEqual([...client.faults, ...other.faults, ...seen.errors], []);
  });

  for (const [name, frozen] of [["both ways", {}], ["only what the server says", { up: false }]]) {
    test(`a network that stops without a word, ${name}: the client comes back, its mutation runs once`, async (t) => {
      const { token } = await user(t, server);
      const threadId = await http(server, token).mutation("threads:create", { title: "before" });
      const proxy = await Proxy.start(t, server);
      const client = live(t, server, token, proxy.url);
      const seen = watch(client, "threads:get", { threadId });
      const list = watch(client, "threads:page", { paginationOpts: { numItems: 50, cursor: null } });
      await until(() => seen.current?.title === "before" && list.current !== undefined);
      proxy.freeze(frozen);
      // Made twice, this would be two threads.
      const made = client.mutation("threads:create", { title: "made in the dark" });
      const renamed = client.mutation("threads:update", { threadId, title: "in the dark" });
      // Others go on meanwhile; the frozen client hears of it afterwards.
      await http(server, token).mutation("threads:create", { title: "by others" });
      const [id] = await within(Promise.all([made, renamed]), "the mutations to be answered", PATIENCE_MS);
      await until(() => seen.current.title === "in the dark" && list.current.page.some(({ title }) => title === "by others"));
      assert.equal(await title(token, threadId), "in the dark");
      assert.deepEqual(list.current.page.filter(({ title }) => title === "made in the dark").map(({ _id }) => _id), [id]);
      assert.equal(client.client.connectionState().connectionCount, 2);
      assert.deepEqual([...client.faults, ...seen.errors, ...list.errors], []);
    });
  }
});
