// The SDK's own clients as slow readers: what they take nothing of is ended by the server, and resumed by them.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Server, serviceKey } from "../lib/server.mjs";
import { gate, until } from "../lib/wait.mjs";
import { answerOf, chat, releases, text, textOf, userMessage, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);

/** More than the 30 s after which a reader is sent away, less than the 60 s after which the kernel lets go. */
const SLOW_MS = 42_000;
const PIECE = "0123456789abcdé ".repeat(12_500);
const digest = (text) => createHash("sha256").update(text).digest("hex");

/** A fetch whose body is read once, and then not until `on` opens. */
const stalling = (on) => async (url, init) => {
  const response = await fetch(url, init);
  let first = true;
  const gated = new TransformStream({
    async transform(bytes, controller) {
      controller.enqueue(bytes);
      if (first) await on.opened;
      first = false;
    },
  });
  return new Response(response.body.pipeThrough(gated), { status: response.status, headers: response.headers });
};

describe("slow readers", { concurrency: true }, () => {
  for (const release of releases.filter(({ escapes }) => escapes)) {
    test(`ST-18: ai ${release.version} is sent away, resumes and has every byte`, { timeout: 110_000 }, async (t) => {
      const user = await written(server, key);
      const said = [];
      const say = async (words) => said.push(words) && user.append(text(words));
      await say("at once. ");
      const on = gate();
      let fetching = stalling(on);
      const reader = chat(t, release, server, user.token, {
        id: user.id,
        messages: [userMessage("go", "go")],
        transport: { fetch: (...request) => fetching(...request) },
      });
      const reading = reader.resumeStream();
      await until(() => textOf(answerOf(reader)) === "at once. ");
      for (let n = 0; n < 60; n += 1) await say(`${n} ${PIECE}`);
      await sleep(SLOW_MS);
      on.open();
      await reading;
      assert.equal(reader.status, "error");
      assert.match(String(reader.error), /too slow/);
      assert.ok(said.join("").startsWith(textOf(answerOf(reader))) && textOf(answerOf(reader)).length < said.join("").length);
      fetching = fetch;
      const resumed = reader.resumeStream();
      await say("the end");
      await user.finish();
      await resumed;
      assert.equal(reader.status, "ready");
      assert.deepEqual([digest(textOf(answerOf(reader))), answerOf(reader).id], [digest(said.join("")), user.messageId]);
      assert.equal(reader.messages.length, 2);
    });
  }
});
