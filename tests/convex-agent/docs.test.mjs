// `useThreadMessages`: the same answers as `MessageDoc`s. While an answer is made the hook makes them of its
// stream; once it is over they are ours, with the same places and contents.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { guestOf, rowsOf, tab, text, useThreadMessages, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);

const PATH = "threads:listThreadMessages";
const open = (t, user, options) => tab(t, server, user, { hook: useThreadMessages, path: PATH, ...options });
const docsOf = (view, order = 1) => view.now?.results.filter((doc) => doc.order === order) ?? [];
const said = (docs) => docs.map(({ text }) => text ?? "").filter((text) => text !== "").join("|");
const shape = (docs) =>
  docs.map(({ order, stepOrder, tool, text, message }) => ({
    order,
    stepOrder,
    tool,
    text: text ?? "",
    role: message.role,
    // Fields that are there and undefined are not there.
    content: JSON.parse(JSON.stringify(message.content)),
  }));

/** Nothing twice, nothing out of order, nothing that shrinks, no complaint of the hook. */
function checkViews(view) {
  assert.deepEqual(view.complaints(), []);
  let longest = "";
  for (const { results, status } of view.states) {
    if (status === "LoadingFirstPage") continue;
    const places = results.map(({ order, stepOrder }) => order * 1000 + stepOrder);
    assert.deepEqual(places, [...new Set(places)].sort((a, b) => a - b));
    const now = said(results.filter(({ order }) => order === 1));
    assert.ok(now.startsWith(longest), `${JSON.stringify(longest)} became ${JSON.stringify(now)}`);
    longest = now;
  }
}

describe("useThreadMessages", { concurrency: 4 }, () => {
  test("an answer streams in and becomes stored documents without a seam", async (t) => {
    const user = await guestOf(server);
    const view = open(t, user);
    await until(() => view.now?.status === "Exhausted");
    const { append, finish, messageId } = await written(server, key, user);
    await append({ type: "reasoning", text: "hm é" });
    let words = "";
    for (const word of ["Zeile\r\n", "data: x\n\n", "👩", "\u200d👧 ", "[DONE]"]) {
      await append(text(word));
      words += word;
      await until(() => said(docsOf(view)) === words, { what: JSON.stringify(words) });
    }
    await append({ type: "tool_start", toolCallId: "c1", tool: "search", input: { q: 1 } });
    await append({ type: "tool_end", toolCallId: "c1", output: { found: [1, null] } });
    await append({ type: "source", title: "T", url: "https://example.com/" });
    await append(text("after"));
    await until(() => said(docsOf(view)) === `${words}|after`);
    const streamed = shape(docsOf(view));
    assert.deepEqual(docsOf(view).map(({ status, streaming }) => [status, streaming]), [["pending", true], ["pending", true]]);
    await finish();
    await until(() => docsOf(view).every(({ status, streaming }) => status === "success" && streaming === false));
    assert.deepEqual(shape(docsOf(view)), streamed);
    assert.deepEqual(streamed.map(({ stepOrder, tool }) => [stepOrder, tool]), [[0, true], [1, false]]);
    assert.deepEqual(docsOf(view).map(({ _id }) => _id), [messageId, `${messageId}-1`]);
    assert.deepEqual(docsOf(view)[1].sources.map(({ url }) => url), ["https://example.com/"]);
    assert.deepEqual([docsOf(view, 0)[0].message, docsOf(view, 0)[0].status], [{ role: "user", content: "go" }, "success"]);
    checkViews(view);
  });

  test("who comes late, and who reads on from a cursor, has the same; each delta begins where the one before ends", async (t) => {
    const user = await guestOf(server);
    const { append, finish, generationId } = await written(server, key, user);
    for (const word of ["one ", "two ", "thrée "]) await append(text(word));
    const view = open(t, user);
    await until(() => said(docsOf(view)) === "one two thrée ");
    const options = { threadId: user.threadId, paginationOpts: { numItems: 0, cursor: null } };
    const rows = rowsOf(server, user.token);
    const list = await rows.query(PATH, { ...options, streamArgs: { kind: "list", startOrder: 0 } });
    assert.deepEqual(list.streams.messages.map(({ streamId, order, stepOrder, status }) => [streamId, order, stepOrder, status]), [[generationId, 1, 0, "streaming"]]);
    const from = async (cursor) => (await rows.query(PATH, { ...options, streamArgs: { kind: "deltas", cursors: [{ streamId: generationId, cursor }] } })).streams.deltas;
    assert.deepEqual((await from(0)).map(({ start, end }) => [start, end]), [[0, 4], [4, 8], [8, 15]]);
    assert.deepEqual((await from(6)).map(({ start, end }) => [start, end]), [[6, 8], [8, 15]]);
    await append(text("end"));
    await finish({ status: "error", error: { code: "provider_error", message: "down", retryable: true } });
    await until(() => docsOf(view)[0]?.status === "failed");
    assert.deepEqual([said(docsOf(view)), docsOf(view)[0].error], ["one two thrée end", "down"]);
    checkViews(view);
  });

  test("a stranger's thread is not there", async (t) => {
    const [user, stranger] = [await guestOf(server), await guestOf(server)];
    const args = { threadId: user.threadId, paginationOpts: { numItems: 10, cursor: null } };
    await assert.rejects(rowsOf(server, stranger.token).query(PATH, args), /No such thread/);
  });
});
