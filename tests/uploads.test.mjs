// Files through the front door: up, down, by signed URL, into a model's prompt, and away again, with the
// thread or after a crash.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import http_ from "node:http";
import path from "node:path";
import { after, describe, test } from "node:test";
import { http, page, refusal, settled, user } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { run, Server, serviceKey } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const LIMIT = 1 << 20;
const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env, config: `[uploads]\nmax_bytes = ${LIMIT}\n` });
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const NOBODY = `upl_${"0".repeat(26)}`;

const bearer = (token) => (token === null ? {} : { authorization: `Bearer ${token}` });

/** Uploads, and answers `{status, body}`. */
async function upload(at, token, threadId, body, { name = "a.txt", type = "text/plain", requestId } = {}) {
  const query = new URLSearchParams({ threadId, name, ...(requestId === undefined ? {} : { requestId }) });
  const headers = { ...bearer(token), ...(type === null ? {} : { "content-type": type }) };
  const response = await fetch(`${at.url}/api/uploads?${query}`, { method: "POST", headers, body, signal: AbortSignal.timeout(30_000) });
  return { status: response.status, body: await response.json() };
}

const read = (at, token, id, headers = {}) => fetch(`${at.url}/api/uploads/${id}`, { headers: { ...bearer(token), ...headers } });

const onDisk = (at) => readdir(path.join(at.data, "uploads"));

async function threadOf(t, at = server) {
  const someone = await user(t, at);
  return { ...someone, threadId: await someone.client.mutation("threads:create", {}) };
}

describe("uploads", { concurrency: true }, () => {
  test("what goes up comes down, byte for byte, as something that cannot run", async (t) => {
    const { token, threadId, client } = await threadOf(t);
    const { status, body: file } = await upload(server, token, threadId, PNG, { name: "dot é.png", type: "image/png" });
    assert.equal(status, 201);
    assert.deepEqual(
      [file.fileName, file.mediaType, file.size, file.sha256, file.threadId],
      ["dot é.png", "image/png", PNG.length, createHash("sha256").update(PNG).digest("hex"), threadId],
    );
    const down = await read(server, token, file._id);
    assert.deepEqual(Buffer.from(await down.arrayBuffer()), PNG);
    const headers = Object.fromEntries(down.headers);
    assert.equal(headers["content-type"], "image/png");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["content-security-policy"], "sandbox; default-src 'none'; frame-ancestors 'none'");
    assert.equal(headers["content-disposition"], "inline; filename*=UTF-8''dot%20%C3%A9.png");
    assert.equal((await read(server, token, file._id, { "if-none-match": headers.etag })).status, 304);
    for (const type of ["text/html", "image/svg+xml", "application/pdf"]) {
      const { body } = await upload(server, token, threadId, "<script>alert(1)</script>", { name: "x.html", type });
      const answer = await read(server, token, body._id);
      assert.match(answer.headers.get("content-disposition"), /^attachment;/, type);
    }
    assert.deepEqual((await client.query("uploads:list", { threadId })).length, 4);
    const guessed = await upload(server, token, threadId, Buffer.from("a,b"), { name: "t.csv", type: null });
    assert.equal(guessed.body.mediaType, "text/csv");
  });

  test("HT-06: a name that walks is stored under the file's own id", async (t) => {
    const { token, threadId } = await threadOf(t);
    const before = await readdir(path.dirname(server.data));
    const { body: file } = await upload(server, token, threadId, "x", { name: "../../x" });
    assert.equal(file.fileName, "x");
    assert.ok((await onDisk(server)).includes(file._id));
    assert.equal(await readFile(path.join(server.data, "uploads", file._id), "utf8"), "x");
    assert.ok(!(await readdir(path.dirname(server.data))).some((name) => name === "x" && !before.includes(name)));
    for (const id of ["..%2f..%2fspool.db", "..%2fsigning-key.pk8", "x", NOBODY]) {
      assert.equal((await read(server, token, id)).status, 404, id);
    }
  });

  test("HT-06: over the limit is 413, with and without a length, and leaves nothing", async (t) => {
    const { token, threadId, client } = await threadOf(t);
    const exact = await upload(server, token, threadId, Buffer.alloc(LIMIT, 7));
    assert.deepEqual([exact.status, exact.body.size], [201, LIMIT]);
    const over = await upload(server, token, threadId, Buffer.alloc(LIMIT + 1, 7));
    assert.deepEqual([over.status, over.body.code, over.body.limit], [413, "too_large", LIMIT]);
    const endless = new ReadableStream({
      sent: 0,
      pull(controller) {
        if (++this.sent > 40) return controller.close();
        controller.enqueue(new Uint8Array(64 << 10));
      },
    });
    const query = new URLSearchParams({ threadId, name: "endless" });
    const chunked = await fetch(`${server.url}/api/uploads?${query}`, { method: "POST", headers: bearer(token), body: endless, duplex: "half" });
    assert.deepEqual([chunked.status, (await chunked.json()).code], [413, "too_large"]);
    assert.deepEqual((await client.query("uploads:list", { threadId })).map(({ _id }) => _id), [exact.body._id]);
  });

  test("every bad upload is refused in words", async (t) => {
    const { token, threadId } = await threadOf(t);
    const stranger = await user(t, server);
    for (const [who, where, options, status, code] of [
      [null, threadId, {}, 401, "unauthenticated"],
      ["nonsense", threadId, {}, 401, "invalid_token"],
      [stranger.token, threadId, {}, 404, "not_found"],
      [token, `thr_${"0".repeat(26)}`, {}, 404, "not_found"],
      [token, "thr", {}, 400, "bad_id"],
      [token, threadId, { type: "nonsense" }, 400, "bad_request"],
      [token, threadId, { requestId: "r".repeat(300) }, 413, "too_large"],
    ]) {
      const answer = await upload(server, who, where, "x", options);
      assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer));
    }
    const narrow = await Server.start(t, { config: '[uploads]\ntypes = ["image/*"]\n' });
    const other = await threadOf(t, narrow);
    assert.equal((await upload(narrow, other.token, other.threadId, "x")).body.code, "bad_request");
    assert.equal((await upload(narrow, other.token, other.threadId, PNG, { type: "image/png" })).status, 201);
  });

  test("a file of somebody else is as missing as one of nobody; a signed URL opens one file for a while", async (t) => {
    const { token, threadId, client } = await threadOf(t);
    const stranger = await user(t, server);
    const { body: file } = await upload(server, token, threadId, "mine");
    const { body: other } = await upload(server, token, threadId, "other");
    const [foreign, missing] = await Promise.all([read(server, stranger.token, file._id), read(server, stranger.token, NOBODY)]);
    assert.deepEqual([foreign.status, await foreign.json()], [missing.status, await missing.json()]);
    assert.equal((await read(server, null, file._id)).status, 401);

    const { url, expiresAt } = await client.mutation("uploads:readUrl", { uploadId: file._id, ttlSeconds: 60 });
    assert.ok(expiresAt > Date.now());
    assert.equal(await (await fetch(server.url + url)).text(), "mine");
    assert.equal((await fetch(server.url + url.replace(file._id, other._id))).status, 401);
    assert.equal((await fetch(server.url + url.replace(/expires=(\d+)/, (_, at) => `expires=${Number(at) + 9}`))).status, 401);
    assert.equal((await refusal(stranger.client.mutation("uploads:readUrl", { uploadId: file._id, ttlSeconds: 60 }))).code, "not_found");
    const brief = await client.mutation("uploads:readUrl", { uploadId: file._id, ttlSeconds: 1 });
    await until(async () => (await fetch(server.url + brief.url)).status === 401, { what: "the URL to expire" });

    await client.mutation("uploads:remove", { uploadId: file._id });
    assert.equal((await fetch(server.url + url)).status, 404);
    await until(async () => !(await onDisk(server)).includes(file._id), { what: "the bytes to go" });
    assert.ok((await onDisk(server)).includes(other._id));
  });

  test("a repeated upload is the same file", async (t) => {
    const { token, threadId } = await threadOf(t);
    const requestId = randomUUID();
    const all = await Promise.all(Array.from({ length: 5 }, () => upload(server, token, threadId, "same", { requestId })));
    assert.equal(new Set(all.map(({ body }) => body._id)).size, 1);
    assert.equal((await upload(server, token, threadId, "other", { requestId })).body.code, "already_exists");
    const mine = (await http(server, token).query("uploads:list", { threadId })).map(({ _id }) => _id);
    assert.deepEqual(mine, [all[0].body._id]);
  });

  test("the model is shown images and text, and told of the rest", async (t) => {
    const { token, threadId, client } = await threadOf(t);
    const put = async (body, name, type) => (await upload(server, token, threadId, body, { name, type })).body._id;
    const files = [await put(PNG, "dot.png", "image/png"), await put("a,b\n1,2", "t.csv", "text/csv"), await put("PK", "z.zip", "application/zip")];
    fake.script("what is this", ["seen"]);
    const { messageId, userMessageId } = await client.mutation("turns:send", { threadId, text: "what is this", files });
    await settled(client, messageId);
    const [request] = fake.of("what is this");
    assert.deepEqual(request.body.messages.at(-1).content, [
      { type: "image_url", image_url: { url: `data:image/png;base64,${PNG.toString("base64")}` } },
      { type: "text", text: "[Attached file: t.csv (text/csv)]\na,b\n1,2\n[End of the file t.csv]\n\n[Attached file: z.zip (application/zip, 2 bytes); its content is not shown.]\n\nwhat is this" },
    ]);
    const { parts } = await client.query("messages:get", { messageId: userMessageId });
    assert.deepEqual(parts[0], { type: "file", uploadId: files[0], mediaType: "image/png", name: "dot.png", size: PNG.length });
    assert.deepEqual(parts.map(({ type }) => type), ["file", "file", "file", "text"]);

    const alone = await client.mutation("turns:send", { threadId, text: "", files: [files[1]] });
    await settled(client, alone.messageId);
    const { page: messages } = await client.query("messages:page", { threadId, ...page() });
    assert.deepEqual(messages.filter(({ _id }) => _id === alone.userMessageId)[0].parts.map(({ type }) => type), ["file"]);
  });

  test("a service uploads into any thread, as far as its scopes reach", async (t) => {
    const { token, threadId } = await threadOf(t);
    const key = await serviceKey(server);
    const { body: file, status } = await upload(server, key, threadId, "made by a backend");
    assert.equal(status, 201);
    assert.equal(await (await read(server, token, file._id)).text(), "made by a backend");
    const narrow = await run(["key", "create", "--scope", "uploads:get", "--data", server.data]);
    const reader = narrow.stdout.trim();
    assert.equal((await upload(server, reader, threadId, "x")).body.code, "forbidden");
    assert.equal((await read(server, reader, file._id)).status, 200);
  });
});

describe("files and the end of things", { concurrency: true }, () => {
  test("TH-05: a removed thread takes its files along", async (t) => {
    const own = await Server.start(t);
    const { token, threadId, client } = await threadOf(t, own);
    const other = await client.mutation("threads:create", {});
    const gone = (await upload(own, token, threadId, "gone")).body._id;
    const kept = (await upload(own, token, other, "kept")).body._id;
    await client.mutation("threads:remove", { threadId });
    assert.equal((await read(own, token, gone)).status, 404);
    await until(async () => (await onDisk(own)).join() === kept, { what: "the bytes to go", timeout: 15_000 });
    await own.stop();
    const { code, stdout } = await run(["doctor", "--data", own.data]);
    assert.deepEqual([code, stdout], [0, "every invariant holds\n"]);
  });

  test("kill -9 between bytes and row: no row, and the next start sweeps the bytes", async (t) => {
    const own = await Server.start(t);
    const { token, threadId, http: rows } = await threadOf(t, own);
    const kept = (await upload(own, token, threadId, "kept")).body._id;
    // Half of a body: the file is there, its row is not.
    const half = http_.request(`${own.url}/api/uploads?threadId=${threadId}&name=half`, { method: "POST", headers: { ...bearer(token), "content-length": 1000 } });
    half.on("error", () => {});
    half.write("half");
    await until(async () => (await onDisk(own)).length === 2, { what: "the bytes of the upload" });
    // And all of one, whose row was never committed.
    await writeFile(path.join(own.data, "uploads", NOBODY), "whole");
    await own.restart();
    assert.deepEqual(await onDisk(own), [kept]);
    assert.deepEqual((await rows.query("uploads:list", { threadId })).map(({ _id }) => _id), [kept]);
    assert.equal(await (await read(own, token, kept)).text(), "kept");
  });

  test("kill -9 at any moment of many uploads: what was acknowledged is whole, and nothing else is there", async (t) => {
    const own = await Server.start(t);
    const { token, threadId, http: rows } = await threadOf(t, own);
    const acknowledged = new Map();
    for (let round = 0; round < 4; round += 1) {
      let over = false;
      const senders = Array.from({ length: 6 }, async () => {
        while (!over) {
          const body = randomUUID().repeat(2000);
          const sent = await upload(own, token, threadId, body).catch(() => null);
          if (sent?.status === 201) acknowledged.set(sent.body._id, body);
        }
      });
      await new Promise((resolve) => setTimeout(resolve, 60 + Math.random() * 200));
      await own.kill();
      over = true;
      await Promise.all(senders);
      await own.start();
      const stored = (await rows.query("uploads:list", { threadId })).map(({ _id }) => _id).sort();
      assert.deepEqual((await onDisk(own)).sort(), stored);
      for (const [id, body] of acknowledged) assert.equal(await (await read(own, token, id)).text(), body);
    }
    assert.ok(acknowledged.size > 0);
    const { code } = await run(["doctor", "--data", own.data]);
    assert.equal(code, 0);
  });

  test("an upload that its sender gives up leaves nothing", async (t) => {
    const own = await Server.start(t);
    const { token, threadId } = await threadOf(t, own);
    const half = http_.request(`${own.url}/api/uploads?threadId=${threadId}&name=half`, { method: "POST", headers: { ...bearer(token), "content-length": 1000 } });
    half.on("error", () => {});
    half.write("half");
    await until(async () => (await onDisk(own)).length === 1, { what: "the bytes of the upload" });
    half.destroy();
    await until(async () => (await onDisk(own)).length === 0, { what: "the bytes to go" });
  });

  test("the doctor finds bytes that are not what was uploaded", async (t) => {
    const own = await Server.start(t);
    const { token, threadId } = await threadOf(t, own);
    const file = (await upload(own, token, threadId, "right")).body._id;
    await writeFile(path.join(own.data, "uploads", file), "wrong");
    const { code, stdout } = await run(["doctor", "--data", own.data]);
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`${file}.*bytes`));
  });
});
