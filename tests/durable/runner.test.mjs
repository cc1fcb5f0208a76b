// Answers that a service writes over this wire, and a kill -9 of the server between any two appends: the
// official client throughout.

import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { http } from "../lib/clients.mjs";
import { makeWorker } from "../lib/workers.mjs";
import { startServer } from "./server.mjs";

let server, ada, bob, worker, rival, limited;

beforeAll(async () => {
  server = await startServer();
  [ada, bob] = [await server.guest(), await server.guest()];
  [worker, rival, limited] = [await server.key("*"), await server.key("*"), await server.key("threads:*")];
});
afterAll(() => server?.stop());

const bearer = (who) => ({ Authorization: `Bearer ${who.token}` });
const url = (path) => `${server.url}/v1/stream/${path}`;

/** An answer that the worker's key has opened: its ids and its path on this wire. */
async function opened() {
  const threadId = await server.call("mutation", "threads:create", {}, ada.token);
  const ids = await server.call("mutation", "generations:open", { threadId, text: "go" }, worker.token);
  return { ...ids, threadId, path: `generations/${ids.generationId}` };
}

const post = (path, body, who = worker, headers = {}) =>
  fetch(url(path), { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers: { "content-type": "application/json", ...bearer(who), ...headers } });

const handle = (path, who = worker) => new DurableStream({ url: url(path), headers: bearer(who), contentType: "application/json" });

const text = (text) => ({ type: "text", text });
const textOf = (events) => events.map((event) => (event.type === "text" ? event.text : "")).join("");
const finish = (generationId) => server.call("mutation", "generations:finish", { generationId, status: "complete" }, worker.token);
const read = async (path, offset = "-1") => {
  const response = await stream({ url: url(path), headers: bearer(ada), offset, live: false });
  const items = await response.json();
  return { items, offset: response.offset };
};

describe("the runner of an answer", () => {
  test("ST-05: a late joiner gets the whole prefix as one text in its first event, then the tail", async () => {
    const { path, generationId } = await opened();
    const words = Array.from({ length: 200 }, (_, n) => `wörd ${n} `);
    for (const word of words.slice(0, 100)) expect((await post(path, [text(word)])).status).toBe(204);
    const prefix = words.slice(0, 100).join("");
    const joined = await fetch(url(`${path}?offset=-1&live=sse`), { headers: bearer(ada) });
    const reader = joined.body.pipeThrough(new TextDecoderStream()).getReader();
    let seen = "";
    const datas = () => seen.split("\n\n").slice(0, -1).filter((event) => event.startsWith("event: data\n")).map((event) => JSON.parse(event.split("\n").slice(1).map((line) => line.slice(5)).join("\n")));
    while (datas().length === 0) seen += (await reader.read()).value;
    expect(datas()[0]).toEqual([{ type: "text", text: prefix }]);
    // A page, and one that begins inside the prefix, say it in one piece, too.
    expect((await read(path)).items).toEqual([text(prefix)]);
    const half = Buffer.byteLength(words.slice(0, 50).join(""));
    expect((await read(path, String(half))).items).toEqual([text(words.slice(50, 100).join(""))]);
    for (const word of words.slice(100)) await post(path, [text(word)]);
    await finish(generationId);
    for (let part = await reader.read(); !part.done; part = await reader.read()) seen += part.value;
    expect(textOf(datas().flat())).toBe(words.join(""));
    expect(datas().flat().at(-1)).toMatchObject({ type: "status", status: "complete" });
  });

  test("the end is nothing but the end, however fast the answer grows", async () => {
    const { path, generationId } = await opened();
    let over = false;
    const bodies = [];
    const asking = Promise.all(Array.from({ length: 4 }, async () => {
      while (!over) {
        const answer = await fetch(url(`${path}?offset=now`), { headers: bearer(ada) });
        bodies.push(await answer.text());
      }
    }));
    for (let n = 0; n < 300; n += 1) await post(path, [text(`${n} `)]);
    over = true;
    await asking;
    await finish(generationId);
    expect(bodies.length).toBeGreaterThan(100);
    expect(new Set(bodies)).toEqual(new Set(["[]"]));
  });

  test("appends with the official client, and the owner reads it live to its end", async () => {
    const { path, generationId, messageId } = await opened();
    const live = await stream({ url: url(path), headers: bearer(ada), offset: "-1", live: "sse" });
    const got = [];
    live.subscribeJson((batch) => void got.push(...batch.items));
    const out = handle(path);
    await out.append(JSON.stringify(text("Zoë ")));
    const producer = new IdempotentProducer(out, "runner", { lingerMs: 1 });
    const events = [{ type: "reasoning", text: "hm" }, { type: "tool_start", toolCallId: "c", tool: "t", input: { a: 1 } }, { type: "tool_end", toolCallId: "c", output: [2] }, text("👩‍💻 "), text("end")];
    for (const event of events) producer.append(JSON.stringify(event));
    await producer.flush();
    await expect.poll(() => textOf(got)).toBe("Zoë 👩‍💻 end");
    await finish(generationId);
    await expect.poll(() => got.at(-1)?.type).toBe("status");
    await live.closed;
    expect(got.filter(({ type }) => type !== "text")).toEqual([...events.filter(({ type }) => type !== "text"), expect.objectContaining({ type: "status", status: "complete" })]);
    expect((await server.call("query", "messages:get", { messageId }, ada.token)).text).toBe("Zoë 👩‍💻 end");
  });

  test("is one service key and nobody else", async () => {
    const { path } = await opened();
    expect((await post(path, text("mine"))).status).toBe(204);
    for (const [who, status] of [[ada, 403], [bob, 403], [rival, 403], [limited, 403], [{ token: "spk_nonsense" }, 401]]) {
      expect((await post(path, text("x"), who)).status).toBe(status);
    }
    const anonymous = await fetch(url(path), { method: "POST", body: "[]", headers: { "content-type": "application/json" } });
    expect(anonymous.status).toBe(401);
    // What a foreign user is told does not depend on whether the answer exists.
    const none = `${path.slice(0, -1)}${path.endsWith("0") ? "1" : "0"}`;
    const told = async (where) => ({ status: (await post(where, text("x"), bob)).status, body: await (await post(where, text("x"), bob)).json() });
    expect(await told(path)).toEqual(await told(none));
    expect((await post(none, text("x"))).status).toBe(404);
    await expect(handle(path, rival).append(JSON.stringify(text("x")))).rejects.toThrow();
    expect(textOf((await read(path)).items)).toBe("mine");
    await server.healthy();
  });

  test("hears in the protocol's words that the answer is over", async () => {
    const { path, generationId } = await opened();
    const producer = { "producer-id": "p", "producer-epoch": "0", "producer-seq": "0" };
    expect((await post(path, text("four"), worker, producer)).status).toBe(200);
    const { cursor } = await finish(generationId);
    const late = await post(path, text("x"));
    expect(late.status).toBe(409);
    expect(late.headers.get("stream-closed")).toBe("true");
    expect(Number(late.headers.get("stream-next-offset"))).toBe(cursor);
    // A repetition of what was taken before is still known.
    expect((await post(path, text("four"), worker, producer)).status).toBe(204);
    await expect(handle(path).append(JSON.stringify(text("x")))).rejects.toThrow();
    expect((await read(path)).items.map(({ type }) => type)).toEqual(["text", "status"]);
  });

  test("is refused what is no event, and nothing of it is stored", async () => {
    const { path } = await opened();
    for (const body of [
      "", "{", "null", "1", '"text"', "[]", "[[]]", "{}", "[1]", [null], { type: "nonsense" }, { type: "text" }, { type: "text", text: 5 },
      [text("a"), { type: "reasoning" }], { type: "tool_start", toolCallId: "c" }, { type: "Text", text: "a" },
      { type: "status", status: "complete" }, { type: "steered", messageId: "msg_00000000000000000000000000", text: "I never said so" }, [text("a"), { type: "steered", messageId: "m", text: "" }], [[text("a")]], '[{"type":"text","text":"a"}', '{"type":"text","text":"\\ud800"}',
    ]) {
      expect((await post(path, body)).status, JSON.stringify(body)).toBe(400);
    }
    for (const [headers, status] of [
      [{ "content-type": "text/plain" }, 409], [{ "content-type": "nonsense" }, 400], [{ "stream-closed": "true" }, 400], [{ "stream-seq": "a" }, 400],
      [{ "producer-id": "p" }, 400], [{ "producer-id": "p", "producer-epoch": "0", "producer-seq": "-1" }, 400],
      [{ "producer-id": "p", "producer-epoch": "0", "producer-seq": "1" }, 409],
    ]) {
      expect((await post(path, text("x"), worker, headers)).status, JSON.stringify(headers)).toBe(status);
    }
    for (const method of ["PUT", "DELETE"]) {
      expect((await fetch(url(path), { method, headers: bearer(worker) })).status).toBe(403);
    }
    expect((await read(path)).items).toEqual([]);
  });

  test("is the worker that holds the lease, in its present epoch", async () => {
    const owner = { http: http(server, ada.token) };
    const [mine, other] = [await makeWorker(server, owner), await makeWorker(server, owner)];
    const threadId = await owner.http.mutation("threads:create", { workerId: mine.workerId });
    const { generationId } = await owner.http.mutation("turns:send", { threadId, text: "go" });
    const path = `generations/${generationId}`;
    const epoch = (number) => ({ "x-spool-worker-epoch": String(number) });
    // It is its own to read before it has begun, and not yet to write.
    expect((await fetch(url(path), { headers: bearer(mine) })).status).toBe(200);
    expect((await post(path, text("early"), mine, epoch(mine.epoch))).status).toBe(403);
    await mine.client.mutation("workers:claim", { epoch: mine.epoch });
    expect((await post(path, text("one "), mine, epoch(mine.epoch))).status).toBe(204);
    const producer = { "producer-id": "p", "producer-epoch": "0", "producer-seq": "0", ...epoch(mine.epoch) };
    expect((await post(path, text("two"), mine, producer)).status).toBe(200);
    expect((await post(path, text("two"), mine, producer)).status).toBe(204);
    for (const headers of [{}, epoch("x"), epoch(-1), epoch("1.0")]) expect((await post(path, text("x"), mine, headers)).status, JSON.stringify(headers)).toBe(400);
    expect((await post(path, text("x"), other, epoch(other.epoch))).status).toBe(404);
    expect((await post(path, text("x"), worker, epoch(1))).status).toBe(400);
    const live = await stream({ url: url(path), headers: bearer(mine), offset: "-1", live: "sse" });
    const got = [];
    live.subscribeJson((batch) => void got.push(...batch.items));
    await expect.poll(() => textOf(got)).toBe("one two");
    live.cancel();
    expect((await fetch(url(path), { headers: bearer(other) })).status).toBe(404);
    // Workers have no streams of their own.
    for (const method of ["GET", "PUT", "POST"]) expect((await fetch(url("notes"), { method, headers: { ...bearer(mine), "content-type": "text/plain" }, body: method === "POST" ? "x" : undefined })).status, method).toBe(403);
    // A newer process of the same worker.
    const newer = (await mine.client.mutation("workers:connect", {})).epoch;
    const late = await post(path, text("late"), mine, epoch(mine.epoch));
    expect([late.status, late.headers.get("stream-closed"), await late.json()]).toMatchObject([409, null, { code: "stale_epoch", epoch: newer }]);
    expect(textOf((await read(path)).items)).toBe("one two");
  });

  test("is fenced off by its successor's epoch", async () => {
    const { path } = await opened();
    const by = (epoch, seq) => ({ "producer-id": "p", "producer-epoch": String(epoch), "producer-seq": String(seq) });
    expect((await post(path, text("1"), worker, by(0, 0))).status).toBe(200);
    expect((await post(path, text("2"), worker, by(1, 0))).status).toBe(200);
    const late = await post(path, text("x"), worker, by(0, 1));
    expect([late.status, late.headers.get("producer-epoch")]).toEqual([403, "1"]);
    const gap = await post(path, text("x"), worker, by(1, 2));
    expect([gap.status, gap.headers.get("producer-expected-seq"), gap.headers.get("producer-received-seq")]).toEqual([409, "1", "2"]);
    expect(textOf((await read(path)).items)).toBe("12");
  });
});

/** Sends a request again until somebody answers it. The same request, so that its number is the same. */
async function persistent(target, init) {
  for (;;) {
    try {
      return await fetch(target, init);
    } catch (error) {
      if (init?.signal?.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Follows a stream to its end, going on where it was whenever the connection breaks. */
async function followed(path, got) {
  for (let [offset, over] = ["-1", false]; !over; ) {
    try {
      const session = await stream({ url: url(path), headers: bearer(ada), offset, live: "sse", onError: (error) => void error });
      const closed = session.closed.then(() => (over = session.streamClosed));
      session.subscribeJson((batch) => {
        got.push(...batch.items);
        offset = batch.offset;
      });
      await closed;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Whether data of removed streams is still there, as the server itself sees it. */
async function sweeping() {
  const { token } = JSON.parse(await readFile(`${server.data}/admin.json`, "utf8"));
  return server.call("query", "remains:waiting", {}, token);
}

describe("kill -9", () => {
  const APPENDS = 40;

  test("between any two appends: producers go on once, readers without a gap", { timeout: 90_000 }, async () => {
    const { path: answer, generationId, messageId } = await opened();
    const notes = "kill/notes";
    await DurableStream.create({ url: url(notes), contentType: "application/json", headers: bearer(ada) });
    const errors = [];
    const producers = [[notes, ada], [answer, worker]].map(
      ([path, who]) => new IdempotentProducer(handle(path, who), "p", { lingerMs: 0, fetch: persistent, onError: (error) => errors.push(error) }),
    );
    const word = (k) => `w${k}é👩‍💻 `;
    const places = [{ path: notes, offset: "-1", seen: [] }, { path: answer, offset: "-1", seen: [] }];
    // A reader that lives through all of it, reconnecting by itself.
    const lived = [];
    const living = followed(answer, lived);
    for (let k = 0; k < APPENDS; k += 1) {
      producers[0].append(JSON.stringify({ k }));
      producers[1].append(JSON.stringify(text(word(k))));
      const flushed = Promise.all(producers.map((producer) => producer.flush()));
      // Every other time the server dies with the appends on their way: they are sent again then.
      if (k % 2 === 0) await flushed;
      await server.crash();
      await flushed;
      for (const place of places) {
        const { items, offset } = await read(place.path, place.offset);
        place.seen.push(...items);
        place.offset = offset;
      }
      expect(places[0].seen).toEqual(Array.from({ length: k + 1 }, (_, n) => ({ k: n })));
      expect(textOf(places[1].seen)).toBe(Array.from({ length: k + 1 }, (_, n) => word(n)).join(""));
    }
    expect(errors).toEqual([]);
    const whole = Array.from({ length: APPENDS }, (_, n) => word(n)).join("");
    await finish(generationId);
    await living;
    expect(textOf(lived)).toBe(whole);
    expect((await server.call("query", "messages:get", { messageId }, ada.token)).text).toBe(whole);
    await server.healthy();
  });

  test("between any two appends by function: the offset tells what was taken", { timeout: 60_000 }, async () => {
    const { path, generationId, messageId } = await opened();
    let cursor = 0;
    for (let k = 0; k < 8; k += 1) {
      const append = () => server.call("mutation", "generations:append", { generationId, offset: cursor, events: [text(`${k} é `)] }, worker.token);
      const first = append().catch(() => null);
      // The answer may be lost together with the server; the append itself may not be, or may.
      if (k % 2 === 0) await first;
      await server.crash();
      await first;
      const again = await append();
      expect(again.cursor).toBe(cursor + Buffer.byteLength(`${k} é `));
      cursor = again.cursor;
    }
    const whole = Array.from({ length: 8 }, (_, k) => `${k} é `).join("");
    expect(textOf((await read(path)).items)).toBe(whole);
    await finish(generationId);
    expect((await server.call("query", "messages:get", { messageId }, ada.token)).text).toBe(whole);
  });

  test("amid the removal of a large stream: the name is free, and the rest goes", { timeout: 60_000 }, async () => {
    const chunk = new Uint8Array(8 << 20).map((_, at) => at % 251);
    await fetch(url("kill/large"), { method: "PUT", headers: { "content-type": "application/octet-stream", ...bearer(ada) } });
    for (let n = 0; n < 6; n += 1) {
      await fetch(url("kill/large"), { method: "POST", body: chunk, headers: { "content-type": "application/octet-stream", ...bearer(ada) } });
    }
    expect((await fetch(url("kill/large"), { method: "DELETE", headers: bearer(ada) })).status).toBe(204);
    expect((await fetch(url("kill/large"), { headers: bearer(ada) })).status).toBe(404);
    await server.crash();
    expect((await fetch(url("kill/large"), { headers: bearer(ada) })).status).toBe(404);
    const made = await fetch(url("kill/large"), { method: "PUT", body: "new", headers: { "content-type": "text/plain", ...bearer(ada) } });
    expect(made.status).toBe(201);
    expect(await (await fetch(url("kill/large"), { headers: bearer(ada) })).text()).toBe("new");
    await expect.poll(sweeping, { timeout: 20_000 }).toBe(false);
    await server.healthy();
  });
});
