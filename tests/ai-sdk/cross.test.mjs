// One log, every client: a turn that begins through the AI SDK is read on over plain events to any offset
// and finished over the Convex client, on another "device" each time, byte for byte.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { ConvexClient } from "convex/browser";
import WebSocket from "ws";
import { onEnd } from "../lib/cleanup.mjs";
import { FakeLlm } from "../lib/fake-llm.mjs";
import { Server } from "../lib/server.mjs";
import { followSse } from "../lib/sse.mjs";
import { random, until } from "../lib/wait.mjs";
import { chunks, deltasOf, guestOf, releases, textOf, transport, userMessage } from "./lib.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const seed = Number(process.env.SPOOL_TEST_SEED ?? Date.now() % 1_000_000);
const { below } = random(seed);
const MIXED = "Zoë 你好 👩‍💻🏽 e\u0301\r\n\ttab  \n\n»data: x« 🇮🇱 אב \u2028 end. ";

const joined = (events) => events.filter(({ type }) => type === "text").map(({ text }) => text).join("");

async function guest(t) {
  const { token, rows } = await guestOf(server);
  const live = new ConvexClient(server.url, { webSocketConstructor: WebSocket, logger: false, unsavedChangesWarning: false });
  live.setAuth(async () => token);
  onEnd(t, () => live.close());
  return { token, rows, live };
}

/** Follows the deltas over a socket from `cursor` on, as a live query per page, to the end. */
async function finish(live, generationId, cursor) {
  let text = "";
  for (;;) {
    const page = await new Promise((resolve, reject) => {
      const stop = live.onUpdate("generations:deltas", { generationId, cursor }, (page) => page.events.length > 0 && resolve([page, stop]), reject);
    });
    page[1]();
    text += joined(page[0].events);
    cursor = page[0].cursor;
    if (page[0].events.some(({ type }) => type === "status")) return text;
  }
}

describe(`across the wires (seed ${seed})`, { concurrency: true }, () => {
  for (const release of releases) {
    test(`ai ${release.version} begins, plain events go on, Convex finishes`, async (t) => {
      const { token, rows, live } = await guest(t);
      const key = `cross ${release.version}`;
      const characters = Array.from(MIXED.repeat(6));
      fake.script(key, characters.flatMap((character) => [character, { wait: 2 }]));
      let response;
      const sdk = transport(release, server, token, { fetch: async (url, init) => (response = await fetch(url, init)).clone() });
      const leave = new AbortController();
      const chat = `cross-${randomUUID()}`;
      const stream = await sdk.sendMessages({ chatId: chat, trigger: "submit-message", messages: [userMessage("u", key)], abortSignal: leave.signal });
      const generationId = response.headers.get("x-spool-generation-id");

      // The SDK shows some of it; its bytes up to an `id:` line are the first third.
      const first = below(150) + 1;
      const shown = (async () => {
        let message;
        for await (const state of release.sdk.readUIMessageStream({ stream, onError: () => {} })) message = state;
        return textOf(message);
      })();
      const seen = await chunks(response, (seen) => (seen.at(-1).id ?? 0) >= first);
      leave.abort();
      const begun = deltasOf(seen);
      assert.ok((await shown).startsWith(begun) || begun.startsWith(await shown));
      assert.equal(Buffer.byteLength(begun), seen.at(-1).id);

      // Plain events from there, cut at random again.
      const second = seen.at(-1).id + below(150) + 1;
      const middle = await followSse(server, token, generationId, { offset: seen.at(-1).id, stop: ({ offset }) => Number(offset) >= second });

      const rest = middle.final === null ? await finish(live, generationId, Number(middle.offset)) : "";
      assert.equal(begun + middle.text + rest, characters.join(""));

      // And by single requests, from the same place.
      const page = await rows.query("generations:deltas", { generationId, cursor: Number(middle.offset) });
      assert.equal(joined(page.events), rest);
      const thread = await until(() => rows.query("threads:find", { externalId: chat }));
      const messages = await rows.query("messages:page", { threadId: thread._id, paginationOpts: { numItems: 5, cursor: null } });
      assert.equal(messages.page[1].text, characters.join(""));
    });
  }
});
