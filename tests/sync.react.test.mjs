// `convex/react` mounted in a document: pages without gaps or duplicates while others write, connection
// and authentication states.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { mount } from "./lib/dom.mjs"; // before anything of React
import { ConvexProvider, ConvexProviderWithAuth, ConvexReactClient, useConvexAuth, useConvexConnectionState, useMutation, usePaginatedQuery, useQuery } from "convex/react";
import { createElement as h } from "react";
import WebSocket from "ws";
import { onEnd } from "./lib/cleanup.mjs";
import { guest, http, page, react } from "./lib/clients.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { serviceKey, Server } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const server = await Server.start({ after });
const service = http(server, await serviceKey(server));

/** A component that keeps every state its hook had: `states`, newest last. */
function probe(hook) {
  const states = [];
  const Probe = () => {
    states.push(hook());
    return null;
  };
  return { states, Probe, get now() { return states.at(-1); } };
}

const under = (client, Component) => h(ConvexProvider, { client }, h(Component));

/** A guest with a thread of `count` messages m0, m1, …. */
async function threadOf(count) {
  const { token } = await guest(server);
  const threadId = await http(server, token).mutation("threads:create", {});
  const append = (n) => service.mutation("messages:append", { threadId, role: "user", text: `m${n}` });
  for (let n = 0; n < count; n += 1) await append(n);
  return { token, threadId, append };
}

const numbers = (results) => results.map(({ text }) => Number(text.slice(1)));
const countdown = (from, count) => Array.from({ length: count }, (_, n) => from - n);

describe("convex/react", { concurrency: true }, () => {
  test("MS-12: usePaginatedQuery pages backwards while others append, without gap or duplicate", async (t) => {
    const { token, threadId, append } = await threadOf(60);
    const client = react(t, server, token);
    const list = probe(() => usePaginatedQuery("messages:page", { threadId, order: "desc" }, { initialNumItems: 10 }));
    mount(t, under(client, list.Probe));
    await until(() => list.now?.status === "CanLoadMore");
    assert.deepEqual(numbers(list.now.results), countdown(59, 10));
    let next = 60;
    while (list.now.status !== "Exhausted") {
      // Counted before either can have happened: both may be there by the time the append is answered.
      const wanted = list.now.results.length + 10 + 1;
      list.now.loadMore(10);
      await append(next);
      next += 1;
      const newest = next - 1;
      await until(() => (list.now.status === "CanLoadMore" || list.now.status === "Exhausted") && numbers(list.now.results)[0] === newest && list.now.results.length === wanted, {
        what: `message ${newest} and another page`,
      });
    }
    assert.deepEqual(numbers(list.now.results), countdown(next - 1, next));
    for (const { results } of list.states.filter(({ status }) => status !== "LoadingFirstPage")) {
      const seen = numbers(results);
      assert.deepEqual(seen, countdown(seen[0], seen.length), "every state is a run without gap or duplicate");
    }
    assert.deepEqual(client.faults, []);
  });

  test("MS-12: ascending pages reach the end and then take in what is appended", async (t) => {
    const { token, threadId, append } = await threadOf(15);
    const client = react(t, server, token);
    const list = probe(() => usePaginatedQuery("messages:page", { threadId, order: "asc" }, { initialNumItems: 10 }));
    mount(t, under(client, list.Probe));
    await until(() => list.now?.status === "CanLoadMore");
    list.now.loadMore(10);
    await until(() => list.now.status === "Exhausted");
    for (let n = 15; n < 40; n += 1) await append(n);
    await until(() => list.now.results.length === 40, { what: "the appended messages" });
    assert.deepEqual(numbers(list.now.results), Array.from({ length: 40 }, (_, n) => n));
    assert.deepEqual(client.faults, []);
  });

  test("pages that are open over a disconnect are whole afterwards", async (t) => {
    const { token, threadId, append } = await threadOf(25);
    const proxy = await Proxy.start(t, server);
    const client = react(t, server, token, proxy.url);
    const list = probe(() => usePaginatedQuery("messages:page", { threadId, order: "desc" }, { initialNumItems: 10 }));
    mount(t, under(client, list.Probe));
    await until(() => list.now?.status === "CanLoadMore");
    list.now.loadMore(10);
    await until(() => list.now.results.length === 20);
    proxy.offline();
    for (let n = 25; n < 32; n += 1) await append(n);
    proxy.online();
    await until(() => numbers(list.now.results)[0] === 31, { what: "what was missed" });
    assert.deepEqual(numbers(list.now.results), countdown(31, 27));
    assert.ok(list.states.slice(1).every(({ results, status }) => status === "LoadingFirstPage" || results.length > 0));
    assert.deepEqual(client.faults, []);
  });

  test("a page that has outgrown what one answer may hold is split, and stays whole", async (t) => {
    const { token, threadId } = await threadOf(5);
    const client = react(t, server, token);
    const list = probe(() => usePaginatedQuery("messages:page", { threadId, order: "asc" }, { initialNumItems: 10 }));
    mount(t, under(client, list.Probe));
    await until(() => list.now?.status === "Exhausted");
    // A page holds 4 MiB. Its end is fixed, so what is appended to the last one makes it too large.
    const large = (n) => `m${n}`.padEnd(1_500_000, " ");
    for (let n = 5; n < 13; n += 1) await service.mutation("messages:append", { threadId, role: "user", text: large(n) });
    await until(() => list.now.status === "Exhausted" && list.now.results.length === 13, { what: "all of the messages", timeout: 30_000 });
    assert.deepEqual(numbers(list.now.results), Array.from({ length: 13 }, (_, n) => n));
    assert.ok(list.now.results.slice(5).every(({ text }, n) => text === large(n + 5)));
    for (const { results } of list.states) {
      const seen = numbers(results);
      assert.deepEqual(seen, Array.from({ length: seen.length }, (_, n) => n), "every state is a run without gap or duplicate");
    }
    await service.mutation("messages:append", { threadId, role: "user", text: "m13" });
    await until(() => list.now.results.length === 14, { what: "a page after the split" });
    assert.deepEqual(client.faults, []);
  });

  test("a cursor that is none makes the list begin anew", async (t) => {
    const { token, threadId } = await threadOf(25);
    let spoilt = 0;
    class Spoiling extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { perMessageDeflate: false });
      }
      /** The second page is asked for with a cursor of another query, once. */
      send(data) {
        const second = !spoilt && /"cursor":"[^"]+"/.test(data);
        if (second) spoilt += 1;
        return super.send(second ? data.replace(/"cursor":"[^"]+"/, '"cursor":"bm90IGEgY3Vyc29y"') : data);
      }
    }
    const client = new ConvexReactClient(server.url, { logger: false, unsavedChangesWarning: false, webSocketConstructor: Spoiling });
    client.setAuth(async () => token);
    onEnd(t, () => client.close());
    const list = probe(() => usePaginatedQuery("messages:page", { threadId, order: "desc" }, { initialNumItems: 10 }));
    mount(t, under(client, list.Probe));
    await until(() => list.now?.status === "CanLoadMore");
    const mark = list.states.length;
    list.now.loadMore(10);
    const begunAnew = () => list.states.slice(mark).some(({ status }) => status === "LoadingFirstPage");
    await until(() => begunAnew() && list.now.status === "CanLoadMore", { what: "the first page again" });
    assert.equal(spoilt, 1);
    assert.deepEqual(numbers(list.now.results), countdown(24, 10));
    list.now.loadMore(10);
    await until(() => list.now.results.length === 20);
    list.now.loadMore(10);
    await until(() => list.now.status === "Exhausted");
    assert.deepEqual(numbers(list.now.results), countdown(24, 25));
  });

  test("a thread list under updates shows each thread once", async (t) => {
    const { token } = await guest(server);
    const other = http(server, token);
    const ids = [];
    for (let n = 0; n < 30; n += 1) ids.push(await other.mutation("threads:create", { title: `t${n}` }));
    const client = react(t, server, token);
    const list = probe(() => usePaginatedQuery("threads:page", {}, { initialNumItems: 10 }));
    mount(t, under(client, list.Probe));
    await until(() => list.now?.status === "CanLoadMore");
    list.now.loadMore(10);
    await until(() => list.now.results.length === 20);
    // Old threads come to the top one by one: each crosses page boundaries.
    for (const threadId of ids.slice(0, 8)) await service.mutation("messages:append", { threadId, role: "user", text: "up" });
    const top = ids.slice(0, 8).toReversed();
    await until(() => list.now.results.slice(0, 8).every(({ _id }, n) => _id === top[n]), { what: "the touched threads on top" });
    for (const { results } of list.states) {
      const seen = results.map(({ _id }) => _id);
      assert.equal(new Set(seen).size, seen.length, "no thread twice");
    }
    assert.deepEqual(client.faults, []);
  });

  test("useMutation with an optimistic update: never flickers back", async (t) => {
    const { token } = await guest(server);
    const threadId = await http(server, token).mutation("threads:create", { title: "old" });
    const client = react(t, server, token);
    const titles = [];
    let rename;
    const view = probe(() => {
      const thread = useQuery("threads:get", { threadId });
      rename = useMutation("threads:update").withOptimisticUpdate((store, { title }) => {
        const now = store.getQuery("threads:get", { threadId });
        if (now) store.setQuery("threads:get", { threadId }, { ...now, title });
      });
      if (thread && titles.at(-1) !== thread.title) titles.push(thread.title);
      return thread;
    });
    mount(t, under(client, view.Probe));
    await until(() => view.now?.title === "old");
    for (let n = 0; n < 20; n += 1) await within(rename({ threadId, title: `new ${n}` }), "the rename");
    await until(() => view.now.title === "new 19");
    // React may skip a state, but never shows an older one again.
    const order = titles.map((title) => (title === "old" ? -1 : Number(title.slice(4))));
    assert.ok(order.every((n, at) => at === 0 || n > order[at - 1]), `${titles}`);
  });

  test("connection and authentication states go through a lost network", async (t) => {
    const { token, userId } = await guest(server);
    const proxy = await Proxy.start(t, server);
    const client = react(t, server, null, proxy.url);
    const fetchAccessToken = async () => token;
    const useAuth = () => ({ isLoading: false, isAuthenticated: true, fetchAccessToken });
    const view = probe(() => ({ auth: useConvexAuth(), connection: useConvexConnectionState(), me: useQuery("users:me", {}) }));
    mount(t, h(ConvexProviderWithAuth, { client, useAuth }, h(view.Probe)));
    await until(() => view.now?.auth.isAuthenticated && view.now.me?._id === userId, { what: "the signed-in state" });
    proxy.offline();
    await until(() => !view.now.connection.isWebSocketConnected);
    assert.equal(view.now.me._id, userId, "values stay while the network is gone");
    proxy.online();
    await until(() => view.now.connection.isWebSocketConnected && view.now.auth.isAuthenticated, { what: "the connection to be back" });
    await until(async () => (await client.query("threads:page", page(1))) !== undefined);
    assert.deepEqual(client.faults, []);
  });
});
