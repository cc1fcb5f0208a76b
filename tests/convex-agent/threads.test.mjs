// `useUIMessages` with several threads and several pages: switching in mid-stream mixes nothing and loses
// nothing, older pages join a running answer.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { answerOf, checkRenders, checkStored, guestOf, joined, over, rowsOf, shows, tab, text, texts, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);

/** A guest with two threads, and an answer in each of which nothing is written yet. */
async function pair() {
  const user = await guestOf(server);
  const other = { ...user, threadId: await user.rows.mutation("threads:create", {}) };
  return { user, other, a: await written(server, key, user, "to a"), b: await written(server, key, other, "to b") };
}

describe("threads and pages", { concurrency: 4 }, () => {
  test("switching between two running answers mixes nothing", async (t) => {
    const { user, other, a, b } = await pair();
    const view = tab(t, server, user);
    const said = { a: "", b: "" };
    for (let n = 0; n < 30; n += 1) {
      for (const [name, answer] of Object.entries({ a, b })) {
        await answer.append(text(`${name}${n} `));
        said[name] += `${name}${n} `;
      }
      const where = Math.floor(n / 5) % 2 === 0 ? { threadId: user.threadId, text: said.a } : { threadId: other.threadId, text: said.b };
      if (n % 5 === 0) view.show(where.threadId);
      // Some switches come before the screen has caught up with the one before.
      if (n % 3 === 0) await until(() => view.now.threadId === where.threadId && joined(answerOf(view.now)) === where.text);
    }
    for (const [who, answer, name] of [[user, a, "a"], [other, b, "b"]]) {
      view.show(who.threadId);
      await until(() => view.now.threadId === who.threadId && joined(answerOf(view.now)) === said[name]);
      await answer.append(text("end"));
      await shows(view, `${said[name]}end`);
      await answer.finish();
      await over(view);
      assert.equal((await checkStored(who, view, answer.messageId)).text, `${said[name]}end`);
    }
    checkRenders(view);
    for (const { threadId, results } of view.states.filter(({ status }) => status !== "LoadingFirstPage")) {
      const [mine, theirs] = threadId === user.threadId ? ["a", "b"] : ["b", "a"];
      for (const message of results) {
        const shown = joined(message);
        assert.ok(message.role === "user" ? shown === `to ${mine}` : !shown.includes(theirs), `${mine} shows ${shown}`);
      }
    }
  });

  test("away to a quiet thread and back: the answer goes on", async (t) => {
    const user = await guestOf(server);
    const quiet = await user.rows.mutation("threads:create", {});
    const { append, finish, messageId } = await written(server, key, user);
    const view = tab(t, server, user);
    let said = "";
    const say = async (word) => append(text(word)).then(() => (said += word));
    for (let n = 0; n < 5; n += 1) {
      await say(`${n}: before `);
      await shows(view, said);
      view.show(quiet);
      await until(() => view.now.threadId === quiet && view.now.status === "Exhausted");
      assert.deepEqual(view.now.results, []);
      await say("meanwhile ");
      view.show(user.threadId);
      await shows(view, said);
      await say("after\n");
      await shows(view, said);
    }
    await finish();
    await over(view);
    await checkStored(user, view, messageId);
    checkRenders(view);
  });

  test("away while it runs, back when it is over", async (t) => {
    const { user, other, a, b } = await pair();
    const view = tab(t, server, user);
    await a.append(text("one "));
    await shows(view, "one ");
    view.show(other.threadId);
    await b.append(text("two "));
    await shows(view, "two ");
    await a.append(text("more"));
    await a.finish();
    view.show(user.threadId);
    await until(() => answerOf(view.now)?.id === a.messageId);
    await over(view);
    await checkStored(user, view, a.messageId);
    view.show(other.threadId);
    await b.finish();
    await until(() => answerOf(view.now)?.id === b.messageId);
    await over(view);
    await checkStored(other, view, b.messageId);
    checkRenders(view);
  });

  test("older pages join a running answer", async (t) => {
    const user = await guestOf(server);
    const service = rowsOf(server, key);
    for (let n = 0; n < 47; n += 1) await service.mutation("messages:append", { threadId: user.threadId, role: n % 2 ? "assistant" : "user", text: `m${n}` });
    const { append, finish, messageId } = await written(server, key, user, "m47");
    const view = tab(t, server, user, { initialNumItems: 10 });
    let said = "";
    const say = async (word) => {
      await append(text(word));
      await shows(view, (said += word));
    };
    await say("before ");
    assert.deepEqual(view.now.results.map(({ order }) => order), Array.from({ length: 10 }, (_, n) => 39 + n));
    while (view.now.status !== "Exhausted") {
      const had = view.now.results.length;
      view.now.loadMore(10);
      await say(`${had} `);
      await until(() => view.now.results.length > had && view.now.status !== "LoadingMore", { what: "another page" });
    }
    assert.deepEqual(view.now.results.slice(0, -1).map((message) => joined(message)), Array.from({ length: 48 }, (_, n) => `m${n}`));
    await finish();
    await over(view);
    await checkStored(user, view, messageId);
    assert.ok(texts(view, 48).length >= 5);
    assert.equal(view.now.results.length, 49);
    assert.equal(answerOf(view.now).order, 48);
    checkRenders(view);
  });
});
