// The unmodified npm client over its own socket: subscriptions, optimistic updates, authentication, values
// and results of every size. Nothing here knows the protocol; sync.wire does.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { codeOf, guest, http, live, page, refusal, user, watch } from "./lib/clients.mjs";
import { serviceKey, Server } from "./lib/server.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const server = await Server.start({ after });

describe("the official client", { concurrency: true }, () => {
  test("subscribe, see another client's change, leave, come back", async (t) => {
    const { token, client } = await user(t, server);
    const other = live(t, server, token);
    const seen = watch(client, "threads:page", page(10));
    await until(() => seen.current?.page.length === 0);
    const threadId = await other.mutation("threads:create", { title: "one" });
    await until(() => seen.current.page.length === 1);
    seen.stop();
    await other.mutation("threads:update", { threadId, title: "two" });
    const again = watch(client, "threads:page", page(10));
    await until(() => again.current?.page[0]?.title === "two");
    assert.ok(!seen.values.some(({ page: [first] }) => first?.title === "two"));
    assert.equal((await client.query("threads:get", { threadId })).title, "two");
    assert.deepEqual(client.faults, []);
  });

  test("100 optimistic mutations under foreign writes: no duplicate, no gap, visible when resolved", async (t) => {
    const { token, client } = await user(t, server);
    const foreign = live(t, server, token);
    const args = page(10);
    const count = 100;
    const faults = [];
    const own = (title) => title.startsWith("own ");
    let issued = false;
    let foreignSeen = 0;
    const check = ({ page: rows }) => {
      const titles = rows.map(({ title }) => title);
      if (new Set(titles).size !== titles.length) faults.push(`a duplicate: ${titles}`);
      const mine = titles.filter(own).map((title) => Number(title.slice(4)));
      if (issued && mine.length !== count) faults.push(`${mine.length} of ${count} own rows`);
      if (mine.some((n, at) => n !== mine.length - 1 - at)) faults.push(`own rows out of order: ${mine}`);
      const theirs = titles.filter((title) => !own(title)).map((title) => Number(title.slice(8)));
      if (theirs.some((n, at) => n !== theirs.length - 1 - at)) faults.push(`a gap in the foreign rows: ${theirs}`);
      if (theirs.length < foreignSeen) faults.push(`foreign rows vanished: ${theirs.length} after ${foreignSeen}`);
      foreignSeen = theirs.length;
    };
    const ready = gate();
    client.onUpdate("threads:page", args, (value) => (check(value), ready.open()));
    await within(ready.opened, "the first result");

    const writes = Promise.all(Array.from({ length: 40 }, (_, n) => foreign.mutation("threads:create", { title: `foreign ${n}` })));
    const insert = (title) => ({
      optimisticUpdate: (store) => {
        const now = store.getQuery("threads:page", args);
        if (now === undefined) return;
        store.setQuery("threads:page", args, { ...now, page: [{ _id: `optimistic ${title}`, title, optimistic: true }, ...now.page] });
      },
    });
    const promises = Array.from({ length: count }, (_, n) =>
      client.mutation("threads:create", { title: `own ${n}` }, insert(`own ${n}`)).then((id) => {
        const row = client.client.localQueryResult("threads:page", args).page.find(({ title }) => title === `own ${n}`);
        if (row?._id !== id) faults.push(`own ${n} resolved before its row was there (${row?._id})`);
      }),
    );
    issued = true;
    await within(Promise.all([...promises, writes]), "all mutations", 60_000);
    await until(() => foreignSeen === 40);
    assert.deepEqual(faults, []);
    assert.deepEqual(client.faults, []);
  });

  test("a failed optimistic mutation is taken back and rejects with its code", async (t) => {
    const { client } = await user(t, server);
    const threadId = await client.mutation("threads:create", { title: "true" });
    const seen = watch(client, "threads:get", { threadId });
    await until(() => seen.current?.title === "true");
    const refused = client.mutation("threads:update", { threadId, title: "hoped", status: "exploded" }, {
      optimisticUpdate: (store) => store.setQuery("threads:get", { threadId }, { ...store.getQuery("threads:get", { threadId }), title: "hoped" }),
    });
    assert.equal(await codeOf(refused), "bad_request");
    await until(() => seen.current.title === "true");
    assert.deepEqual(seen.values.map(({ title }) => title), ["true", "hoped", "true"]);
  });

  test("TY-02: an unknown function names itself and the nearest valid one", async (t) => {
    const { client } = await user(t, server);
    const data = await refusal(client.query("messages:pages", {}));
    assert.equal(data.code, "function_not_found");
    assert.match(JSON.stringify(data), /messages:pages.*messages:page|messages:page.*messages:pages/);
    assert.equal(await codeOf(client.action("turns:wait", {})), "function_not_found");
    assert.equal(await codeOf(client.action("threads:create", {})), "wrong_kind");
  });

  test("setAuth switches users; clearAuth ends what only they could see", async (t) => {
    const [first, second] = [await guest(server), await guest(server)];
    const client = live(t, server, first.token);
    const me = watch(client, "users:me", {});
    await until(() => me.current?._id === first.userId);
    const state = gate();
    client.setAuth(async () => second.token, (authenticated) => authenticated && state.open());
    await within(state.opened, "the second identity");
    await until(() => me.current?._id === second.userId);
    assert.deepEqual(client.faults, []);
  });

  test("a permanently refused token ends in onChange(false), and a good one heals it", async (t) => {
    const { token, userId } = await guest(server);
    const client = live(t, server, null);
    const refused = gate();
    client.setAuth(async () => "not.a.token", (authenticated) => !authenticated && refused.open());
    await within(refused.opened, "onChange(false)", 30_000);
    const healed = gate();
    client.setAuth(async () => token, (authenticated) => authenticated && healed.open());
    await within(healed.opened, "the good token", 30_000);
    assert.equal((await client.query("users:me", {}))._id, userId);
  });

  test("MS-14: text is taken and given back byte for byte", async (t) => {
    const { client } = await user(t, server);
    const texts = ["I want `${process.env.X}` eval(…) \u0007\u0000", "  \r\n\t lead and trail \n", "👩‍👩‍👧‍👦 אבג \u202e\u2028", "'; DROP TABLE messages; --", "\ufeffbom", "$ref", "é vs é"];
    for (const text of texts) {
      const threadId = await client.mutation("threads:create", {});
      const { userMessageId, generationId } = await client.mutation("turns:send", { threadId, text });
      assert.equal((await client.query("messages:get", { messageId: userMessageId })).text, text);
      await client.mutation("generations:stop", { generationId });
    }
  });

  test("results beyond 5 MB arrive, and those of other queries go on", async (t) => {
    const { token, client } = await user(t, server);
    const threadId = await client.mutation("threads:create", {});
    const service = http(server, await serviceKey(server));
    const text = "ä".repeat(400_000); // 800 kB each, and twice in a view: parts and text
    for (let n = 0; n < 5; n += 1) await service.mutation("messages:append", { threadId, role: "user", text: `${n}${text}` });
    const seen = watch(client, "messages:page", { threadId, ...page(20), order: "asc" });
    const small = watch(client, "threads:get", { threadId });
    await until(() => seen.current?.page.length === 5, { timeout: 30_000 });
    assert.ok(seen.current.page.every((message, n) => message.text === `${n}${text}`));
    await http(server, token).mutation("threads:update", { threadId, title: "beside it" });
    await until(() => small.current?.title === "beside it");
    assert.deepEqual(client.faults, []);
  });
});
