// Six releases of the AI SDK, the first and the newest of three majors, unmodified: each with a chat whose
// state is a plain object, as `useChat` has it in React. Owns nothing of the server.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConvexHttpClient } from "convex/browser";
import { onEnd } from "../lib/cleanup.mjs";
import { SseParser } from "../lib/sse.mjs";
import { until } from "../lib/wait.mjs";

async function release(name) {
  const sdk = await import(name);
  const manifest = JSON.parse(await readFile(new URL(`node_modules/${name}/package.json`, import.meta.url), "utf8"));
  // The first releases put the chat's id into the address as it is.
  return { version: manifest.version, escapes: !name.endsWith("-first"), sdk, Chat: chatOf(sdk) };
}

class State {
  status = "ready";
  error = undefined;
  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (at, message) => (this.messages = this.messages.with(at, structuredClone(message)));
  snapshot = (value) => structuredClone(value);
}

const chatOf = ({ AbstractChat }) =>
  class extends AbstractChat {
    constructor({ messages = [], ...init }) {
      super({ ...init, state: new State(messages) });
    }
  };

/** First and newest release of each major. */
export const releases = await Promise.all(["ai5-first", "ai5", "ai6-first", "ai6", "ai7-first", "ai7"].map(release));

/** The SDK's own transport to `server`, as the user with `token`. */
export function transport({ sdk }, server, token, options = {}) {
  return new sdk.DefaultChatTransport({ api: `${server.url}/api/chat`, headers: { authorization: `Bearer ${token}` }, ...options });
}

/** A chat of the SDK; its stream is left when the test ends. Failures are in `chat.faults`. */
export function chat(t, release, server, token, { id, transport: options, ...init } = {}) {
  const faults = [];
  const made = new release.Chat({
    id,
    transport: transport(release, server, token, options),
    onError: (error) => faults.push(error),
    ...init,
  });
  made.faults = faults;
  onEnd(t, () => made.stop());
  return made;
}

const joined = (message, type) => (message?.parts ?? []).filter((part) => part.type === type).map(({ text }) => text).join("");

export const textOf = (message) => joined(message, "text");
export const reasoningOf = (message) => joined(message, "reasoning");
export const answerOf = (chat) => chat.messages.findLast(({ role }) => role === "assistant");

/** Waits until the chat shows `text` somewhere in its answer. */
export const shows = (chat, text) => until(() => textOf(answerOf(chat)).includes(text), { what: `the answer to show ${JSON.stringify(text)}` });

export const userMessage = (id, text) => ({ id, role: "user", parts: [{ type: "text", text }] });

/** A request to one of the chat routes, with JSON. */
export function request(server, token, path, { body, headers = {}, method = body === undefined ? "GET" : "POST", signal } = {}) {
  return fetch(`${server.url}/api/chat${path}`, {
    method,
    headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), "content-type": "application/json", ...headers },
    body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    signal: signal ?? AbortSignal.timeout(30_000),
  });
}

/** `{status, code, message}` of a refused request. */
export async function refused(response) {
  const body = await response.text();
  return { status: response.status, ...JSON.parse(body) };
}

/** The chunks of a response with the last id in force at each, until it ends or `enough` says so. */
export async function chunks(response, enough = () => false) {
  const parser = new SseParser();
  const seen = [];
  for await (const bytes of response.body) {
    for (const { data, id, event } of parser.push(bytes)) {
      if (event !== "message") throw new Error(`a named event: ${event}`);
      seen.push({ id: id === "" ? null : Number(id), chunk: data === "[DONE]" ? data : JSON.parse(data) });
      if (enough(seen)) return seen;
    }
  }
  return seen;
}

export const deltasOf = (seen, type = "text-delta") => seen.filter(({ chunk }) => chunk.type === type).map(({ chunk }) => chunk.delta).join("");

/** The functions of the server, called with a token or a key. */
export function rowsOf(server, token) {
  const rows = new ConvexHttpClient(server.url, { logger: false });
  rows.setAuth(token);
  return rows;
}

/** A new guest with a chat of their own, not begun: `say` posts a message, `stream` resumes. */
export async function guestOf(server) {
  const { token } = await (await fetch(`${server.url}/api/auth/guest`, { method: "POST" })).json();
  const id = `chat-${randomUUID()}`;
  const post = (body, options) => request(server, token, "", { body: { id, ...body }, ...options });
  return {
    token,
    id,
    rows: rowsOf(server, token),
    post,
    say: (text, messageId = randomUUID()) => post({ messages: [userMessage(messageId, text)] }),
    stream: (query = "", options) => request(server, token, `/${id}/stream${query}`, options),
  };
}

/** An answer that a backend with the service key `key` writes, event by event, into a new guest's chat. */
export async function written(server, key) {
  const user = await guestOf(server);
  const threadId = await user.rows.mutation("threads:create", { externalId: user.id });
  const backend = rowsOf(server, key);
  const { generationId, messageId } = await backend.mutation("generations:open", { threadId, text: "go" });
  const append = (...events) => backend.mutation("generations:append", { generationId, events });
  const finish = (args = { status: "complete" }) => backend.mutation("generations:finish", { generationId, ...args });
  return { ...user, threadId, generationId, messageId, append, finish };
}

export const text = (text) => ({ type: "text", text });

export const kindsOf = (seen) => seen.map(({ chunk }) => chunk.type ?? chunk);
