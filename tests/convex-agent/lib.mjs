// What the tests of this package share: a document for React, a client whose socket counts what it receives,
// a mounted hook of which every render is kept, and a backend that writes an answer event by event. Owns no
// test. The hooks, React and the client are this package's own, unmodified.

import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { ConvexHttpClient } from "convex/browser";
import { JSDOM } from "jsdom";
import WebSocket from "ws";
import { onEnd } from "../lib/cleanup.mjs";
import { until, within } from "../lib/wait.mjs";

// React looks for a window when it is loaded.
const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://127.0.0.1/", pretendToBeVisual: true });
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: false });
globalThis.navigator ??= window.navigator; // Node has its own from version 21 on
const { createElement: h, useLayoutEffect } = await import("react");
const { createRoot } = await import("react-dom/client");
const { ConvexProvider, ConvexReactClient } = await import("convex/react");
const { useThreadMessages, useUIMessages } = await import("@convex-dev/agent/react");
export { useThreadMessages };

// The hooks report a gap in three ways: an assertion while rendering, an error in a promise of nobody, and a
// warning. All three end up here; the tests of a file that share a process look at what came in their time.
const complaints = [];
process.on("unhandledRejection", (error) => complaints.push(error));
for (const level of ["warn", "error"]) {
  const say = console[level];
  console[level] = (...words) => {
    complaints.push(words.map(String).join(" "));
    say(...words);
  };
}

/** A new guest: `{token, rows, threadId}`, with a thread of theirs. */
export async function guestOf(server) {
  const response = await fetch(`${server.url}/api/auth/guest`, { method: "POST", signal: AbortSignal.timeout(15_000) });
  const { token } = await response.json();
  const rows = rowsOf(server, token);
  return { token, rows, threadId: await rows.mutation("threads:create", {}) };
}

/** The functions of the server, called with a token or a key. */
export function rowsOf(server, token) {
  const rows = new ConvexHttpClient(server.url, { logger: false });
  rows.setAuth(token);
  return rows;
}

/** A client in a tab of its own; `client.wire` counts the messages that came in, and their bytes. */
export function clientOf(t, server, token) {
  const wire = { bytes: 0, messages: 0 };
  class Counting extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      this.on("error", () => {});
      this.on("message", (data) => {
        wire.bytes += data.length;
        wire.messages += 1;
      });
    }
  }
  const client = new ConvexReactClient(server.url, { logger: false, unsavedChangesWarning: false, webSocketConstructor: Counting });
  client.wire = wire;
  client.setAuth(async () => token);
  onEnd(t, () => within(client.close(), "a client to close", 5000).catch(() => {}));
  return client;
}

/**
 * A tab that shows a thread with one of the hooks and keeps every state that came on the screen: `states` of
 * `{threadId, status, results}`, `now` the newest. `show(threadId)` switches.
 */
export function tab(t, server, user, { hook = useUIMessages, path = "messages:listMessages", initialNumItems = 20, client = clientOf(t, server, user.token) } = {}) {
  const view = { client, states: [], get now() { return view.states.at(-1); } };
  const errors = [];
  const Thread = ({ threadId }) => {
    const { status, results, loadMore } = hook(path, { threadId }, { initialNumItems, stream: true });
    const state = { threadId, status, results: structuredClone(results), loadMore };
    useLayoutEffect(() => void view.states.push(state)); // what React throws away again, nobody sees
    return null;
  };
  const container = document.body.appendChild(document.createElement("div"));
  const root = createRoot(container, { onUncaughtError: (error) => errors.push(error), onCaughtError: (error) => errors.push(error) });
  view.show = (threadId) => root.render(h(ConvexProvider, { client }, h(Thread, { threadId })));
  const known = complaints.length;
  view.complaints = () => [...errors, ...complaints.slice(known)];
  onEnd(t, () => {
    root.unmount();
    container.remove();
  });
  view.show(user.threadId);
  return view;
}

export const joined = (message, type = "text") => (message?.parts ?? []).filter((part) => part.type === type).map(({ text }) => text).join("");

/** As the hooks make `text` of parts. */
export const spaced = ({ parts }) => parts.filter(({ type, text }) => type === "text" && text !== "").map(({ text }) => text).join(" ");

export const answerOf = (state) => state?.results.findLast(({ role }) => role === "assistant");

/** Waits until the newest answer on the screen says exactly `text`. */
export const shows = (view, text, timeout) => until(() => joined(answerOf(view.now)) === text, { timeout, what: `the answer to be ${JSON.stringify(text.slice(-60))}` });

/** Waits until the newest answer is over, and its last renders are done. */
export async function over(view, status = "success", timeout = 30_000) {
  await until(() => answerOf(view.now)?.status === status && answerOf(view.now).id.startsWith("stream:") === false, { timeout, what: `an answer that is ${status}` });
  await turn();
}

/** The different texts that the message at `order` had, in the order of the renders. */
export function texts(view, order, threadId = view.now.threadId) {
  const seen = [];
  for (const state of view.states.filter((state) => state.threadId === threadId)) {
    const text = joined(state.results.find((message) => message.order === order));
    if (text !== seen.at(-1)) seen.push(text);
  }
  return seen;
}

/** What a part that is no text is known by: a call, a card, a source or a file. */
const nameOf = ({ type, toolCallId, sourceId, id, url }) => toolCallId ?? sourceId ?? (type === "file" ? url : type.startsWith("data-") ? id : undefined);

/** Those parts of a message by their names, in their order. */
export const named = ({ parts }) => new Map(parts.map((part) => [nameOf(part), part]).filter(([name]) => name !== undefined));

/** What a call, a card, a source or a file says: the fields that are ours, whoever made the part. */
export const fieldsOf = ({ type, state, input, output, errorText, data, url, title, mediaType }) => JSON.parse(JSON.stringify({ type, state, input, output, errorText, data, url, title, mediaType }));

/** What was on the screen stays, in its place; a call that is over stays as it is. */
function checkParts(before, after, what) {
  const [was, is] = [named(before), named(after)];
  assert.deepEqual([...is.keys()].slice(0, was.size), [...was.keys()], `${what}: parts in their places`);
  for (const [name, part] of was) {
    if (part.toolCallId === undefined) continue;
    const now = is.get(name);
    if (part.state.startsWith("output-")) assert.deepEqual(fieldsOf(now), fieldsOf(part), `${what}: ${name} was over`);
    assert.deepEqual([now.type, now.input], [part.type, part.input], `${what}: ${name}`);
  }
}

/**
 * What holds for every render: messages in order, none twice, none gone again; an answer only grows, by its
 * parts and by its `text`; calls and cards stay in their places; what is over stays over; and the hook complains of
 * nothing.
 */
export function checkRenders(view) {
  assert.deepEqual(view.complaints(), []);
  let before;
  // Until the first page of another thread is there, the hook goes on to return the stream of the thread
  // before, whatever the server says; an application has that status to know.
  for (const state of view.states.filter(({ status }) => status !== "LoadingFirstPage")) {
    const orders = state.results.map(({ order }) => order);
    assert.deepEqual(orders, [...new Set(orders)].sort((a, b) => a - b), "in order, and none twice");
    const keys = state.results.map(({ key }) => key);
    assert.equal(new Set(keys).size, keys.length);
    if (before?.threadId === state.threadId) {
      for (const message of before.results) {
        const after = state.results.find(({ order }) => order === message.order);
        const name = `message ${message.order}`;
        assert.ok(after !== undefined, `${name} is gone`);
        for (const what of [joined, (message) => joined(message, "reasoning"), ({ text }) => text]) {
          assert.ok(what(after).startsWith(what(message)), `${name} shrank from ${JSON.stringify(what(message))} to ${JSON.stringify(what(after))}`);
        }
        checkParts(message, after, name);
        if (message.status === "success" || message.status === "failed") assert.equal(after.status, message.status, `${name} was over`);
        else if (message.status === "streaming") assert.notEqual(after.status, "pending", `${name} had begun`);
      }
    }
    before = state;
  }
}

/** The answer on the screen is the stored message, byte for byte. */
export async function checkStored(user, view, messageId) {
  const [shown, stored] = [answerOf(view.now), await user.rows.query("messages:get", { messageId })];
  assert.equal(shown.id, messageId);
  assert.ok(Buffer.from(joined(shown)).equals(Buffer.from(stored.text)), `${JSON.stringify(joined(shown))} is not ${JSON.stringify(stored.text)}`);
  assert.equal(joined(shown, "reasoning"), joined(stored, "reasoning"));
  assert.equal(shown.text, spaced(stored));
  return stored;
}

/** An answer in the user's thread that a backend with the service key `key` writes, event by event. */
export async function written(server, key, { threadId }, text = "go") {
  const backend = rowsOf(server, key);
  const { generationId, messageId } = await backend.mutation("generations:open", { threadId, text });
  const append = (...events) => backend.mutation("generations:append", { generationId, events });
  const finish = (args = { status: "complete" }) => backend.mutation("generations:finish", { generationId, ...args });
  return { generationId, messageId, append, finish };
}

export const text = (text) => ({ type: "text", text });

/** A turn that the demo model answers as dictated: reasoning, deltas, delayMs, failAfter and so on. */
export const dictate = ({ rows, threadId }, script) => rows.mutation("turns:send", { threadId, text: `/script ${JSON.stringify(script)}` });
