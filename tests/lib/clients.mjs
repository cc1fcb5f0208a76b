// The official clients, signed in as guests, as these tests use them. Every client of a test is closed when
// the test (or suite) ends; what its message handler threw is kept in `client.faults` instead of breaking
// the socket, as in a browser.

import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { ConvexReactClient } from "convex/react";
import WebSocket from "ws";
import { onEnd } from "./cleanup.mjs";
import { secret } from "./secrets.mjs";
import { within } from "./wait.mjs";

/** A new guest: `{token, userId}`. */
export async function guest(server) {
  const response = await fetch(`${server.url}/api/auth/guest`, { method: "POST", signal: AbortSignal.timeout(15_000) });
  if (response.status !== 200) throw new Error(`guest sign-in: HTTP ${response.status} ${await response.text()}`);
  const identity = await response.json();
  secret(identity.token, "a guest's token");
  return identity;
}

function reportingSocket(faults) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      this.on("error", () => {});
    }
    set onmessage(handler) {
      super.onmessage = (event) => {
        try {
          handler(event);
        } catch (error) {
          faults.push(error);
        }
      };
    }
    get onmessage() {
      return super.onmessage;
    }
  };
}

function make(t, Client, url, token, options = {}) {
  const faults = [];
  const client = new Client(url, {
    logger: false,
    unsavedChangesWarning: false,
    webSocketConstructor: reportingSocket(faults),
    ...options,
  });
  client.faults = faults;
  if (token !== null) client.setAuth(async () => token);
  onEnd(t, () => within(client.close(), "a client to close", 5000).catch(() => {}));
  return client;
}

/** A live client of the user with `token` (null: anonymous), at `address` if not the server's own. */
export const live = (t, server, token, address = server.url) => make(t, ConvexClient, address, token);

export const react = (t, server, token, address = server.url) => make(t, ConvexReactClient, address, token);

export function http(server, token = null) {
  const client = new ConvexHttpClient(server.url, { logger: false });
  if (token !== null) client.setAuth(token);
  return client;
}

/** A user with a live client and an HTTP client: `{token, userId, client, http}`. */
export async function user(t, server) {
  const identity = await guest(server);
  return { ...identity, client: live(t, server, identity.token), http: http(server, identity.token) };
}

/** The code of a refused call; throws if the call was not refused with one. */
export async function codeOf(promise) {
  const data = await refusal(promise);
  return data.code;
}

/** `{code, message, …}` of a refused call. */
export async function refusal(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    const data = refusalOf(error);
    if (typeof data?.code !== "string") throw new Error(`refused, but without a code: ${error?.message}`, { cause: error });
    return data;
  }
  throw new Error(`not refused: ${JSON.stringify(value)?.slice(0, 200)}`);
}

/** The data of a thrown refusal: a ConvexError's, or the body of an HTTP error, which the official client throws as text. */
export function refusalOf(error) {
  if (error?.data !== undefined) return error.data;
  try {
    return JSON.parse(error.message);
  } catch {
    return undefined;
  }
}

/** Every result of a live query in order: `{values, errors, current, stop}`. */
export function watch(client, path, args) {
  const seen = { values: [], errors: [] };
  seen.stop = client.onUpdate(path, args, (value) => seen.values.push(value), (error) => seen.errors.push(error));
  Object.defineProperty(seen, "current", { get: () => seen.values.at(-1) });
  return seen;
}

/**
 * Follows a generation's log through `generations:deltas`, subscribing at 0 and then at each returned
 * cursor. `ended` resolves with the whole when the log's status event is in; `prefixes` are the texts as
 * they grew; `at` their times.
 */
export function follow(client, generationId, { cursor = 0, onText = () => {} } = {}) {
  const log = { text: "", reasoning: "", events: [], prefixes: [], at: [], cursor, final: null, results: 0 };
  let stop = null;
  const ended = new Promise((resolve, reject) => {
    const subscribe = () => {
      const from = log.cursor;
      const previous = stop;
      stop = client.onUpdate(
        "generations:deltas",
        { generationId, cursor: from },
        (result) => {
          if (log.cursor !== from || log.final !== null) return;
          log.results += 1;
          if (result.cursor < from) return reject(new Error(`the cursor went back from ${from} to ${result.cursor}`));
          if (result.events.length === 0 && result.cursor === from) return;
          take(log, result);
          onText(log);
          if (log.final === null) return subscribe();
          stop();
          resolve(log);
        },
        reject,
      );
      previous?.();
    };
    subscribe();
  });
  ended.catch(() => {});
  log.ended = ended;
  log.leave = () => stop?.();
  log.end = (timeout = 30_000) => within(ended, `the end of ${generationId} (so far ${JSON.stringify(log.text.slice(-80))})`, timeout);
  return log;
}

function take(log, { events, cursor }) {
  const before = log.text;
  for (const event of events) {
    if (event.type === "text") log.text += event.text;
    else if (event.type === "reasoning") log.reasoning += event.text;
    else if (event.type === "status") log.final = event;
    log.events.push(event);
  }
  log.cursor = cursor;
  if (log.text !== before) {
    log.prefixes.push(log.text);
    log.at.push(Date.now());
  }
}

/** Length of an event in offset units: bytes of text, or one. */
export const units = (event) => (event.type === "text" || event.type === "reasoning" ? Buffer.byteLength(event.text) : 1);

/** A thread with one turn sent into it: `{threadId, userMessageId, messageId, generationId}`. */
export async function send(client, text, threadId) {
  const thread = threadId ?? (await client.mutation("threads:create", {}));
  return { threadId: thread, ...(await client.mutation("turns:send", { threadId: thread, text })) };
}

const FINAL = new Set(["complete", "error", "stopped", "interrupted"]);

/** The message once it is final. */
export function settled(client, messageId, timeout = 30_000) {
  let stop;
  const done = new Promise((resolve, reject) => {
    stop = client.onUpdate("messages:get", { messageId }, (message) => FINAL.has(message?.status) && resolve(message), reject);
  });
  return within(done, `message ${messageId} to be final`, timeout).finally(() => stop());
}

export const page = (numItems = 100, cursor = null) => ({ paginationOpts: { numItems, cursor } });
