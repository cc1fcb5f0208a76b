// Streams that end while somebody reads them: those whose lifetime slides stay for their readers, and of one that is
// deleted or replaced its readers hear at once.

import { request as raw } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startServer } from "./server.mjs";

/** Longer than the lifetimes here, so that only the waiting itself can keep a stream. */
const LONG_POLL_MS = 4_000;
let server, ada;

beforeAll(async () => {
  server = await startServer({ SPOOL_STREAM_LONG_POLL_MS: String(LONG_POLL_MS) });
  ada = await server.guest();
});
afterAll(() => server?.stop());

const TEXT = { "content-type": "text/plain" };
const url = (path) => `${server.url}/v1/stream/lifetimes/${path}`;
const say = (path, method = "GET", headers = {}, body = undefined) =>
  fetch(url(path), { method, body, headers: { ...headers, authorization: `Bearer ${ada.token}` } });

describe("a lifetime that slides", () => {
  test("slides with a long poll that waits longer than it lasts", async () => {
    await say("polled", "PUT", { ...TEXT, "stream-ttl": "1" }, "x");
    const begun = Date.now();
    const polled = await say("polled?offset=now&live=long-poll");
    expect(polled.status).toBe(204);
    expect(Date.now() - begun).toBeGreaterThan(LONG_POLL_MS - 500);
    expect((await say("polled")).status).toBe(200);
    // And not without a reader.
    await expect.poll(async () => (await say("polled", "HEAD")).status, { timeout: 5_000 }).toBe(404);
  });

  test("slides with an event stream that is not at the end yet", { timeout: 60_000 }, async () => {
    const [part, parts, ttl] = ["x".repeat(15 << 20), 2, 2];
    await say("large", "PUT", { ...TEXT, "stream-ttl": String(ttl) });
    for (let n = 0; n < parts; n += 1) expect((await say("large", "POST", TEXT, part)).status).toBe(204);
    const [begun, whole] = [Date.now(), part.length * parts];
    // A reader who takes it in steps, for some lifetimes.
    const taken = await new Promise((resolve) => {
      const reading = raw(url("large?offset=-1&live=sse"), { agent: false, headers: { authorization: `Bearer ${ada.token}` } }, (answer) => {
        let [length, since] = [0, 0];
        // However it ends, by the server or here.
        for (const end of ["error", "close"]) answer.on(end, () => resolve(length));
        answer.on("data", (chunk) => {
          length += chunk.length;
          since += chunk.length;
          if (length > whole) return void reading.destroy();
          if (since < 1 << 20) return;
          since = 0;
          answer.pause();
          setTimeout(() => answer.resume(), 250);
        });
      });
      reading.on("error", () => resolve(0));
      reading.end();
    });
    expect(taken).toBeGreaterThan(whole);
    expect(Date.now() - begun).toBeGreaterThan(3 * ttl * 1000);
  });
});

describe("readers of a stream that is gone", () => {
  test("hear of it at once, also where its forks keep its data", async () => {
    for (const forked of [false, true]) {
      const path = `gone-${forked}`;
      await say(path, "PUT", TEXT, "x");
      if (forked) await say(`${path}-fork`, "PUT", { "stream-forked-from": `/v1/stream/lifetimes/${path}` });
      const followed = await say(`${path}?offset=-1&live=sse`);
      const reader = followed.body.pipeThrough(new TextDecoderStream()).getReader();
      let seen = "";
      while (!seen.includes("upToDate")) seen += (await reader.read()).value;
      const begun = Date.now();
      const polled = say(`${path}?offset=now&live=long-poll`);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect((await say(path, "DELETE")).status).toBe(204);
      expect((await polled).status).toBe(forked ? 410 : 404);
      while (!(await reader.read()).done);
      expect(Date.now() - begun).toBeLessThan(LONG_POLL_MS - 1_000);
    }
    expect(await (await say("gone-true-fork")).text()).toBe("x");
    await server.healthy();
  });

  test("are not told of another one that has got its name", async () => {
    await say("reused", "PUT", TEXT, "old");
    const polled = say("reused?offset=3&live=long-poll");
    await new Promise((resolve) => setTimeout(resolve, 200));
    // Both in the time that a reader takes to wake up.
    await Promise.all([say("reused", "DELETE"), say("reused", "PUT", TEXT, "another")]);
    if ((await say("reused")).status === 404) await say("reused", "PUT", TEXT, "another");
    const answer = await polled;
    expect([answer.status, await answer.text()].join(" ")).not.toContain("ther");
    expect(answer.status).toBe(404);
  });
});
