// The official client, with credentials, against a server that is not open: what the conformance suite does
// not ask. Each test has streams of its own; the server is shared.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { createServer } from "node:http";
import { createPublicKey, verify } from "node:crypto";
import { runToEnd, startServer } from "./server.mjs";

let server, ada, bob;

beforeAll(async () => {
  server = await startServer({ SPOOL_STREAM_LONG_POLL_MS: "500" });
  [ada, bob] = [await server.guest(), await server.guest()];
});
afterAll(() => server?.stop());

const bearer = (who) => ({ Authorization: `Bearer ${who.token}` });
const url = (path) => `${server.url}/v1/stream/${path}`;
let made = 0;
const name = () => `tests/${(made += 1)}`;

/** A request with Ada's credentials, or others, or none. */
const request = (path, init = {}, who = ada) =>
  fetch(url(path), { ...init, headers: { ...(who && bearer(who)), ...init.headers } });

const create = (path, contentType, init = {}) =>
  request(path, { method: "PUT", ...init, headers: { "content-type": contentType, ...init.headers } });

const append = (path, contentType, body, headers = {}) =>
  request(path, { method: "POST", body, headers: { "content-type": contentType, ...headers } });

/** Reads an event stream until `enough(events)`: `[{event, data}]` as an EventSource would see them. */
async function events(response, enough) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const seen = [];
  let text = "";
  while (!enough(seen)) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split(/\r\n|\r|\n/);
      text = text.slice(end + 2);
      const field = (key) => lines.filter((line) => line.startsWith(`${key}:`)).map((line) => line.slice(key.length + 1).replace(/^ /, ""));
      seen.push({ event: field("event")[0], data: field("data").join("\n") });
    }
  }
  await reader.cancel();
  return seen;
}

const closed = (seen) => seen.some(({ event, data }) => event === "control" && JSON.parse(data).streamClosed);
const caughtUp = (seen) => closed(seen) || seen.some(({ event, data }) => event === "control" && JSON.parse(data).upToDate);

describe("the official client", () => {
  test("writes with an idempotent producer and reads everything once, live", async () => {
    const path = name();
    const handle = await DurableStream.create({ url: url(path), contentType: "application/json", headers: bearer(ada) });
    for (const live of ["long-poll", "sse"]) {
      const response = await stream({ url: url(path), headers: bearer(ada), offset: "-1", live });
      const got = [];
      response.subscribeJson((batch) => void got.push(...batch.items));
      const errors = [];
      const producer = new IdempotentProducer(handle, `producer-${live}`, { onError: (error) => errors.push(error), lingerMs: 1 });
      const before = live === "sse" ? 500 : 0;
      for (let n = 0; n < 500; n += 1) {
        producer.append(JSON.stringify({ n: before + n }));
        if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await producer.flush();
      expect(errors).toEqual([]);
      await expect.poll(() => got.length, { timeout: 10_000 }).toBe(before + 500);
      expect(got.map((item) => item.n)).toEqual(Array.from({ length: before + 500 }, (_, n) => n));
      response.cancel();
      await producer.detach();
    }
  });

  test("a lost writer is fenced off by its successor", async () => {
    const path = name();
    const handle = await DurableStream.create({ url: url(path), contentType: "text/plain", headers: bearer(ada) });
    const lost = [];
    const first = new IdempotentProducer(handle, "p", { epoch: 0, onError: (error) => lost.push(error) });
    first.append("1");
    await first.flush();
    const second = new IdempotentProducer(handle, "p", { epoch: 1, onError: (error) => lost.push(error) });
    second.append("2");
    await second.flush();
    expect(lost).toEqual([]);
    first.append("x");
    await first.flush().catch(() => {});
    expect(lost.length).toBe(1);
    expect(await (await request(path)).text()).toBe("12");
  });

  test("text that begins with a space, has any line ends or cut characters arrives as it was", async () => {
    const path = name();
    await create(path, "text/plain");
    const bytes = new TextEncoder().encode(" a\n  b\n\nid: 1\nevent: control\ndata: {\"streamClosed\":true}\n\u2028é💥end");
    const response = await stream({ url: url(path), headers: bearer(ada), offset: "-1", live: "sse" });
    let text = "";
    response.subscribeText((chunk) => void (text += chunk.text));
    // Seven bytes at a time cuts characters in two.
    for (let at = 0; at < bytes.length; at += 7) await append(path, "text/plain", bytes.slice(at, at + 7));
    await expect.poll(() => text).toBe(new TextDecoder().decode(bytes));
    response.cancel();
  });
});

describe("whose streams they are", () => {
  test("a foreign stream is answered like a missing one, by every method", async () => {
    const path = name();
    await create(path, "text/plain", { body: "secret" });
    const say = async (who, where, init) => {
      const response = await request(where, init, who);
      const headers = Object.fromEntries([...response.headers].filter(([key]) => !["date", "x-request-id"].includes(key)));
      return { status: response.status, body: await response.text(), headers };
    };
    const post = { method: "POST", body: "x", headers: { "content-type": "text/plain" } };
    const inits = [{}, { method: "HEAD" }, { method: "DELETE" }, post, { method: "POST", headers: { "stream-closed": "true" } }];
    for (const init of inits) {
      expect(await say(bob, path, init)).toEqual(await say(bob, `${path}-none`, init));
      expect((await say(bob, path, init)).status).toBe(404);
    }
    for (const query of ["?offset=-1&live=sse", "?offset=now&live=long-poll", "?offset=9"]) {
      expect(await say(bob, path + query)).toEqual(await say(bob, `${path}-none${query}`));
    }
    const fork = { method: "PUT", headers: { "stream-forked-from": `/v1/stream/${path}` } };
    expect((await say(bob, name(), fork)).status).toBe(404);
    // The same name is free for everybody.
    expect((await say(bob, path, { method: "PUT", body: "mine", headers: { "content-type": "text/plain" } })).status).toBe(201);
    expect(await (await request(path)).text()).toBe("secret");
  });

  test("without credentials there is nothing, not even whether something is there", async () => {
    const path = name();
    await create(path, "text/plain");
    for (const where of [path, `${path}-none`, "__ds/subscriptions/x"]) {
      expect((await request(where, {}, null)).status).toBe(401);
    }
    expect((await fetch(url(path), { headers: { authorization: "Bearer nonsense" } })).status).toBe(401);
  });

  test("a signed URL reads one stream until it expires, and writes nothing", async () => {
    const path = `${name()}/ä ö`;
    await create(path.replaceAll(" ", "%20"), "text/plain", { body: "hello" });
    const signed = await server.call("mutation", "streams:readUrl", { path, ttlSeconds: 2 }, ada.token);
    const read = (more = "", init = {}) => fetch(server.url + signed.url + more, init);
    expect(await (await read()).text()).toBe("hello");
    expect(await (await read("&offset=2")).text()).toBe("llo");
    expect(caughtUp(await events(await read("&offset=-1&live=sse"), caughtUp))).toBe(true);
    for (const method of ["PUT", "POST", "DELETE"]) expect((await read("", { method })).status).toBe(401);
    const other = signed.url.replace(/%20.*\?/, "?");
    expect((await fetch(server.url + other)).status).toBe(401);
    expect((await fetch(server.url + signed.url.replace(/expires=\d+/, "expires=9999999999"))).status).toBe(401);
    await expect.poll(async () => (await read()).status, { timeout: 5_000 }).toBe(401);
    await expect(server.call("mutation", "streams:readUrl", { path, ttlSeconds: 2 }, bob.token)).rejects.toThrow("not_found");
  });

  test("the development switch refuses an address that others can reach", async () => {
    const open = { SPOOL_DEV_OPEN_STREAMS: "1" };
    const { code, stderr } = await runToEnd(["serve", "--listen", "0.0.0.0:0"], open);
    expect(code).not.toBe(0);
    expect(stderr).toContain("streams.dev_open");
    expect((await runToEnd(["serve", "--listen", "127.0.0.1:0"], { SPOOL_DEV_OPEN_STREAMS: "maybe" })).stderr).toContain("SPOOL_DEV_OPEN_STREAMS");
  });
});

describe("bad input", () => {
  test("each malformed header and parameter is 400, and changes nothing", async () => {
    const path = name();
    await create(path, "text/plain", { body: "x" });
    for (const offset of ["", "x", "1.5", "-2", "1,2", "NOW", "0x10", "99999999999999999999", "9"]) {
      expect((await request(`${path}?offset=${offset}`)).status, `offset ${offset}`).toBe(400);
    }
    for (const query of ["offset=-1&offset=-1", "live=sse", "live=long-poll", "offset=-1&live=maybe"]) {
      expect((await request(`${path}?${query}`)).status, query).toBe(400);
    }
    const producer = (id, epoch, seq) => ({ "producer-id": id, "producer-epoch": epoch, "producer-seq": seq });
    for (const headers of [
      producer("", "0", "0"), producer("p", "-1", "0"), producer("p", "0", "1e3"), producer("p", "9007199254740992", "0"),
      { "producer-id": "p" }, { "producer-epoch": "0", "producer-seq": "0" }, { "content-type": "nonsense" },
    ]) {
      expect((await append(path, "text/plain", "y", headers)).status, JSON.stringify(headers)).toBe(400);
    }
    for (const headers of [
      { "stream-ttl": "-1" }, { "stream-ttl": "1.0" }, { "stream-ttl": "" }, { "stream-expires-at": "tomorrow" },
      { "stream-ttl": "5", "stream-expires-at": "2099-01-01T00:00:00Z" }, { "stream-fork-offset": "0" },
      { "stream-forked-from": path, "stream-fork-offset": "-1" }, { "stream-forked-from": path, "stream-fork-sub-offset": "1.5" },
    ]) {
      expect((await create(name(), "text/plain", { headers })).status, JSON.stringify(headers)).toBe(400);
    }
    const json = name();
    await create(json, "application/json");
    for (const body of ["{", "[1,]", "[]", "1 2", "\ufeff1", "NaN", new Uint8Array([0x22, 0xff, 0x22])]) {
      expect((await append(json, "application/json", body)).status, String(body)).toBe(400);
    }
    expect(await (await request(json)).json()).toEqual([]);
    expect(await (await request(path)).text()).toBe("x");
    expect((await request("%00")).status).toBe(400);
    expect((await request("__ds/other")).status).toBe(404);
    expect((await request("%5F_ds/other")).status).toBe(404);
  });

  test("nothing in a payload becomes an event of its own", async () => {
    for (const [contentType, body] of [
      ["text/plain", 'a\r\rdata: x\r\n\r\nevent: control\r\ndata: {"streamClosed":true}\r\n\r\n:\rid: 7\n\nretry: 1\n\n'],
      ["application/json", JSON.stringify({ "event: control\n\ndata: x": 'event: control\r\n\r\ndata: {"streamClosed":true}\n\n' })],
      ["application/json", '[1,\r\r\n\n\n"event: control",\r\n"data: {}"\r\n\r\n,\r2]'],
    ]) {
      const path = name();
      expect((await create(path, contentType, { body })).status).toBe(201);
      const seen = await events(await request(`${path}?offset=-1&live=sse`), caughtUp);
      expect(seen.map(({ event }) => event)).toEqual(["data", "control"]);
      expect(JSON.parse(seen[1].data).streamClosed).toBeUndefined();
      if (contentType === "text/plain") expect(seen[0].data).toBe(body.replace(/\r\n|\r/g, "\n"));
      else expect(JSON.parse(seen[0].data)).toEqual([JSON.parse(body)].flat());
    }
    // What only looks like JSON is not taken at all.
    const path = name();
    expect((await create(path, "application/json", { body: '[1,\r\r\n\n\nevent: control\r\ndata: {"streamClosed":true}\r\n\r\n2]' })).status).toBe(400);
    expect((await request(path)).status).toBe(404);
  });

  test("an append beyond the limit is 413 in the server's own words", async () => {
    const path = name();
    await create(path, "application/octet-stream");
    const refused = await append(path, "application/octet-stream", new Uint8Array(17 << 20));
    expect(refused.status).toBe(413);
    expect((await refused.json()).code).toBe("too_large");
    const json = name();
    await create(json, "application/json");
    expect((await append(json, "application/json", JSON.stringify("x".repeat(5 << 20)))).status).toBe(413);
  });

  test("large bodies come back byte for byte, in pages and live", async () => {
    const path = name();
    await create(path, "application/octet-stream");
    const body = new Uint8Array(9_000_001).map((_, at) => (at * 7) % 256);
    await append(path, "application/octet-stream", body, { "stream-closed": "true" });
    const pages = [];
    for (let [offset, done] = ["-1", false]; !done; ) {
      const page = await request(`${path}?offset=${offset}`);
      pages.push(Buffer.from(await page.arrayBuffer()));
      [offset, done] = [page.headers.get("stream-next-offset"), page.headers.has("stream-closed")];
      expect(page.headers.has("stream-up-to-date")).toBe(done);
    }
    expect(pages.length).toBeGreaterThan(2);
    expect(Buffer.compare(Buffer.concat(pages), Buffer.from(body))).toBe(0);
    const seen = await events(await request(`${path}?offset=-1&live=sse`), closed);
    const parts = seen.filter(({ event }) => event === "data").map(({ data }) => Buffer.from(data, "base64"));
    expect(Buffer.compare(Buffer.concat(parts), Buffer.from(body))).toBe(0);
    seen.forEach(({ event }, at) => event === "data" && expect(seen[at + 1].event).toBe("control"));
  });

  test("the worst that a body can hold fits the pages", async () => {
    // Every byte of it grows sixfold wherever it is written as JSON.
    const path = name();
    await create(path, "text/plain");
    const body = "\u0001".repeat(5 << 20);
    await append(path, "text/plain", body, { "stream-closed": "true" });
    let [text, offset] = ["", "-1"];
    while (text.length < body.length) {
      const page = await request(`${path}?offset=${offset}`);
      expect(page.status).toBe(200);
      text += await page.text();
      offset = page.headers.get("stream-next-offset");
    }
    expect(text === body).toBe(true);
    // A JSON message of nothing but quotes, as large as one may be, after a page that is nearly full.
    const json = name();
    await create(json, "application/json");
    const message = JSON.stringify('"'.repeat((2 << 20) - 10));
    for (let n = 0; n < 3; n += 1) expect((await append(json, "application/json", message)).status).toBe(204);
    let values = [];
    for (offset = "-1"; values.length < 3; ) {
      const page = await request(`${json}?offset=${offset}`);
      expect(page.status).toBe(200);
      values = values.concat(await page.json());
      offset = page.headers.get("stream-next-offset");
    }
    expect(values.every((value) => JSON.stringify(value) === message)).toBe(true);
  });

  test("a webhook to a private address is refused", async () => {
    for (const hook of ["http://127.0.0.1:1/", "https://127.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://10.1.2.3/", "https://2130706433/"]) {
      const body = JSON.stringify({ type: "webhook", pattern: "*", webhook: { url: hook } });
      const refused = await request("__ds/subscriptions/hook", { method: "PUT", body });
      expect(refused.status, hook).toBe(400);
      expect((await refused.json()).error.code).toBe("WEBHOOK_URL_REJECTED");
    }
  });
});

describe("caches", () => {
  test("an ETag changes with data and with the end, and belongs to one life of a name", async () => {
    const path = name();
    await create(path, "text/plain", { body: "x" });
    const etag = async () => (await request(path)).headers.get("etag");
    const etags = [await etag()];
    await append(path, "text/plain", "y");
    etags.push(await etag());
    await request(path, { method: "POST", headers: { "stream-closed": "true" } });
    etags.push(await etag());
    const same = await request(path, { headers: { "if-none-match": `"other", W/${etags[2]}` } });
    expect(same.status).toBe(304);
    expect(same.headers.get("stream-closed")).toBe("true");
    await request(path, { method: "DELETE" });
    await create(path, "text/plain", { body: "xy", headers: { "stream-closed": "true" } });
    etags.push(await etag());
    expect(new Set(etags).size).toBe(4);
  });

  test("what can still grow is asked for again, what cannot is kept", async () => {
    const path = name();
    await create(path, "text/plain", { body: "x" });
    const kept = async () => (await request(path)).headers.get("cache-control");
    expect(await kept()).toBe("private, no-cache");
    await request(path, { method: "POST", headers: { "stream-closed": "true" } });
    expect(await kept()).toBe("private, max-age=60, stale-while-revalidate=300");
  });

  test("a page that is read by a signed URL may be shared by those who have it, while the URL can be opened", async () => {
    const path = name();
    await create(path, "application/octet-stream", { body: new Uint8Array(3 << 20) });
    const urlFor = async (ttlSeconds) => server.url + (await server.call("mutation", "streams:readUrl", { path, ttlSeconds }, ada.token)).url;
    const long = await urlFor(3600);
    const kept = async (url, init) => {
      const page = await fetch(url, init);
      await page.arrayBuffer();
      return page.headers.get("cache-control");
    };
    // Full, then up to the present end; by header it stays the reader's own, whatever else the URL says.
    expect(await kept(`${long}&offset=-1`)).toBe("public, max-age=60, stale-while-revalidate=300");
    expect(await kept(`${long}&offset=-1`, { headers: bearer(ada) })).toBe("private, max-age=60, stale-while-revalidate=300");
    expect(await kept(`${long}&offset=${3 << 20}`)).toBe("private, no-cache");
    expect(await kept(`${long}&offset=now`)).toBe("no-store");
    expect(await kept(`${long}&offset=${(3 << 20) - 5}&live=long-poll`)).toBe("private, max-age=60, stale-while-revalidate=300");
    await request(path, { method: "POST", headers: { "stream-closed": "true" } });
    expect(await kept(`${long}&offset=${3 << 20}`)).toBe("public, max-age=60, stale-while-revalidate=300");
    const [, fresh, stale] = (await kept(`${await urlFor(20)}&offset=-1`)).match(/^public, max-age=(\d+), stale-while-revalidate=(\d+)$/);
    expect(Number(fresh)).toBeGreaterThan(10);
    expect(Number(fresh) + Number(stale)).toBeLessThanOrEqual(20);
    // Asking again costs nothing, and says the same about keeping.
    const etag = (await fetch(`${long}&offset=-1`)).headers.get("etag");
    const same = await fetch(`${long}&offset=-1`, { headers: { "if-none-match": etag } });
    expect([same.status, same.headers.get("cache-control")]).toEqual([304, "public, max-age=60, stale-while-revalidate=300"]);
  });

  test("a cursor never goes back, within a connection and from one answer to the next", async () => {
    const path = name();
    await create(path, "text/plain", { body: "x" });
    const far = 99_999_999_999;
    const reading = events(await request(`${path}?offset=-1&live=sse&cursor=${far}`), closed);
    for (let n = 0; n < 8; n += 1) await append(path, "text/plain", "y");
    await append(path, "text/plain", "z", { "stream-closed": "true" });
    const cursors = (await reading).filter(({ event }) => event === "control").map(({ data }) => JSON.parse(data).streamCursor).filter(Boolean).map(Number);
    expect(cursors.length).toBeGreaterThan(2);
    expect(cursors[0]).toBeGreaterThan(far);
    expect(cursors).toEqual(cursors.toSorted((a, b) => a - b));
    const largest = "18446744073709551615";
    const polled = await request(`${path}?offset=0&live=long-poll&cursor=${largest}`);
    expect(polled.headers.get("stream-cursor")).not.toBe(largest);
  });
});

describe("answers as streams", () => {
  async function answer(text = "Tell me something long") {
    const threadId = await server.call("mutation", "threads:create", {}, ada.token);
    const sent = await server.call("mutation", "turns:send", { threadId, text }, ada.token);
    return { ...sent, path: `generations/${sent.generationId}` };
  }

  const textOf = (items) => items.map((item) => (item.type === "text" ? item.text : "")).join("");

  test("are followed live, and resumed at any character", async () => {
    const { path, messageId } = await answer();
    const response = await stream({ url: url(path), headers: bearer(ada), offset: "-1", live: "sse" });
    const live = [];
    await new Promise((resolve, reject) => {
      response.subscribeJson((batch) => {
        live.push(...batch.items);
        if (batch.streamClosed || batch.items.at(-1)?.type === "status") resolve();
      });
      response.closed?.then(resolve, reject);
    });
    const message = await server.call("query", "messages:get", { messageId }, ada.token);
    expect(textOf(live)).toBe(message.text);
    expect(live.at(-1)).toMatchObject({ type: "status", status: "complete" });

    const whole = await request(path);
    const all = await whole.json();
    expect(textOf(all)).toBe(message.text);
    expect(whole.headers.get("stream-closed")).toBe("true");
    // Offsets count bytes of text, and are those of the other wires.
    const bytes = new TextEncoder().encode(JSON.stringify(all));
    expect(bytes.length).toBeGreaterThan(0);
    const first = all.findIndex((item) => item.type === "text");
    const before = all.slice(0, first).reduce((sum, item) => sum + (item.type === "reasoning" ? Buffer.byteLength(item.text) : 1), 0);
    for (const characters of [1, 7, 40]) {
      const skipped = all[first].text.slice(0, characters);
      const offset = before + Buffer.byteLength(skipped);
      const padded = String(offset).padStart(16, "0");
      const rest = await (await request(`${path}?offset=${padded}`)).json();
      expect(skipped + textOf(rest)).toBe(message.text);
      const deltas = await server.call("query", "generations:deltas", { generationId: path.split("/")[1], cursor: offset }, ada.token);
      expect(deltas.events).toEqual(rest);
      const seen = await events(await request(`${path}?offset=${padded}&live=sse`), closed);
      const replayed = seen.filter(({ event }) => event === "data").flatMap(({ data }) => JSON.parse(data));
      expect(textOf(replayed)).toBe(textOf(rest));
    }
  });

  test("belong to their owner and are read-only", async () => {
    const { path, generationId } = await answer();
    expect((await request(path, {}, bob)).status).toBe(404);
    expect((await request(`generations/${generationId.slice(0, -1)}${generationId.endsWith("0") ? 1 : 0}`)).status).toBe(404);
    expect((await request("generations/nonsense")).status).toBe(404);
    for (const init of [{ method: "PUT" }, { method: "DELETE" }, { method: "POST", body: "{}" }]) {
      expect((await request(path, { ...init, headers: { "content-type": "application/json" } })).status).toBe(403);
    }
    const signed = await server.call("mutation", "streams:readUrl", { generationId, ttlSeconds: 60 }, ada.token);
    expect((await fetch(server.url + signed.url)).status).toBe(200);
    expect((await fetch(server.url + signed.url.replace(generationId, `${generationId.slice(0, -1)}0`))).status).toBe(401);
  });
});

describe("crashes", () => {
  test("nothing that was acknowledged is lost, and nothing is there twice", { timeout: 90_000 }, async () => {
    const path = name();
    expect((await create(path, "application/json")).status).toBe(201);
    let [seq, acknowledged] = [0, 0];
    for (let round = 0; round < 5; round += 1) {
      const after = 20 + Math.floor(Math.random() * 150);
      const killed = new Promise((resolve) => setTimeout(resolve, after)).then(() => server.crash());
      let dead = false;
      killed.then(() => (dead = true));
      while (!dead) {
        const headers = { "producer-id": "writer", "producer-epoch": "0", "producer-seq": String(seq) };
        const answer = await append(path, "application/json", JSON.stringify(seq), headers).catch(() => null);
        // Whatever is not acknowledged is sent again, under the same number.
        if (answer === null) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          continue;
        }
        expect([200, 204]).toContain(answer.status);
        seq += 1;
        acknowledged = seq;
      }
      await killed;
      const stored = (await stream({ url: url(path), headers: bearer(ada), offset: "-1", live: false })).json();
      const values = await stored;
      expect(values.length).toBeGreaterThanOrEqual(acknowledged);
      expect(values).toEqual(Array.from({ length: values.length }, (_, n) => n));
      seq = acknowledged;
    }
    expect(acknowledged).toBeGreaterThan(20);
  });

  test("receivers that hang delay their own owner, and no lease of anybody", { timeout: 60_000 }, async () => {
    const SLOW = 70;
    const [slow, waiting, quick] = [[], [], []];
    const receiver = createServer((incoming, answer) => {
      if (incoming.url === "/quick") {
        quick.push(Date.now());
        return void incoming.resume().on("end", () => answer.end('{"done":true}'));
      }
      slow.push(incoming.url);
      waiting.push(answer);
    });
    await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
    const open = await startServer({ SPOOL_DEV_OPEN_STREAMS: "1" });
    try {
      const [eve, bob] = [await open.guest(), await open.guest()];
      const send = (who, path, method, body, type = "application/json") =>
        fetch(`${open.url}/v1/stream/${path}`, { method, body: typeof body === "string" ? body : JSON.stringify(body), headers: { "content-type": type, ...bearer(who) } });
      const hook = (path) => ({ type: "webhook", pattern: "jobs/*", webhook: { url: `http://127.0.0.1:${receiver.address().port}/${path}` } });
      await Promise.all(Array.from({ length: SLOW }, (_, n) => send(eve, `__ds/subscriptions/s${n}`, "PUT", hook(`slow-${n}`))));
      expect((await send(bob, "__ds/subscriptions/quick", "PUT", hook("quick"))).status).toBe(201);
      await send(bob, "wakes", "PUT", [], "application/json");
      const pull = { type: "pull-wake", streams: ["work"], wake_stream: "wakes", lease_ttl_ms: 1000 };
      expect((await send(bob, "__ds/subscriptions/pull", "PUT", pull)).status).toBe(201);
      await send(eve, "jobs/a", "PUT", "x", "text/plain");
      await expect.poll(() => slow.length, { timeout: 5_000 }).toBeGreaterThanOrEqual(8);
      // Now the others: one is called at once, and a lease that nobody renews is over in its time.
      const begun = Date.now();
      await send(bob, "work", "PUT", "x", "text/plain");
      expect((await send(bob, "__ds/subscriptions/pull/claim", "POST", { worker: "lost" })).status).toBe(200);
      await send(bob, "jobs/b", "PUT", "x", "text/plain");
      const wakes = async () => (await (await fetch(`${open.url}/v1/stream/wakes`, { headers: bearer(bob) })).json()).length;
      await expect.poll(() => quick.length, { timeout: 5_000 }).toBe(1);
      await expect.poll(wakes, { timeout: 5_000 }).toBe(2);
      expect(Date.now() - begun).toBeLessThan(6_000);
      expect(slow.length).toBe(8);
      // And all of hers come, as hers end.
      const ending = setInterval(() => waiting.splice(0).forEach((answer) => answer.end('{"done":true}')), 20);
      await expect.poll(() => new Set(slow).size, { timeout: 20_000 }).toBe(SLOW).finally(() => clearInterval(ending));
    } finally {
      receiver.closeAllConnections();
      receiver.close();
      await open.stop();
    }
  });

  test("a wake outlives the server that was delivering it", { timeout: 60_000 }, async () => {
    const calls = [];
    // The first call is never answered; later ones are taken.
    const receiver = createServer((incoming, answer) => {
      let body = "";
      incoming.on("data", (chunk) => (body += chunk));
      incoming.on("end", () => {
        calls.push({ body, signature: incoming.headers["webhook-signature"] });
        if (calls.length > 1) answer.end('{"done":true}');
      });
    });
    await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
    const open = await startServer({ SPOOL_DEV_OPEN_STREAMS: "1" });
    try {
      const at = (path) => `${open.url}/v1/stream/${path}`;
      const webhook = { url: `http://127.0.0.1:${receiver.address().port}/hook` };
      const subscription = { type: "webhook", pattern: "jobs/**", webhook, lease_ttl_ms: 1000 };
      const made = await fetch(at("__ds/subscriptions/s"), { method: "PUT", body: JSON.stringify(subscription) });
      const { signing } = (await made.json()).webhook;
      await fetch(at("jobs/a/b"), { method: "PUT", body: "x", headers: { "content-type": "text/plain" } });
      await expect.poll(() => calls.length, { timeout: 5_000 }).toBe(1);
      await open.crash();
      await expect.poll(() => calls.length, { timeout: 10_000 }).toBe(2);
      const [first, second] = calls.map(({ body }) => JSON.parse(body));
      expect(second.generation).toBe(first.generation + 1);
      expect(second.streams).toEqual(first.streams);
      // The lost holder is fenced off, with a token that is still good.
      const headers = { authorization: `Bearer ${first.callback_token}` };
      const late = { wake_id: first.wake_id, generation: first.generation, done: true };
      const fenced = await fetch(first.callback_url, { method: "POST", headers, body: JSON.stringify(late) });
      expect([fenced.status, (await fenced.json()).error.code]).toEqual([409, "FENCED"]);
      // The key is the same after the restart.
      const { keys } = await (await fetch(signing.jwks_url)).json();
      const [, time, kid, signature] = calls[1].signature.match(/^t=(\d+),kid=([^,]+),ed25519=(.+)$/);
      expect(kid).toBe(signing.kid);
      const key = createPublicKey({ key: keys.find((one) => one.kid === kid), format: "jwk" });
      expect(verify(null, Buffer.from(`${time}.${calls[1].body}`), key, Buffer.from(signature, "base64url"))).toBe(true);
      const acked = async () => (await (await fetch(at("__ds/subscriptions/s"))).json()).streams[0].acked_offset;
      await expect.poll(acked).toBe("0000000000000001");
    } finally {
      receiver.closeAllConnections();
      receiver.close();
      await open.stop();
    }
  });
});
