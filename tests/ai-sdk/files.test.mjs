// Files with the AI SDK as it is: sent in a message, shown by an answer, there again after a reload.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { FakeLlm } from "../lib/fake-llm.mjs";
import { Server, serviceKey } from "../lib/server.mjs";
import { gate, until } from "../lib/wait.mjs";
import { answerOf, chat, chunks, guestOf, refused, releases, request, text, textOf, written } from "./lib.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env, config: "[uploads]\nmax_bytes = 1000000\n" });
const key = await serviceKey(server);
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const dot = { type: "file", mediaType: "image/png", filename: "dot.png", url: `data:image/png;base64,${PNG}` };
const table = { type: "file", mediaType: "text/csv", filename: "../t.csv", url: `data:text/csv;base64,${Buffer.from("a,b").toString("base64")}` };

const page = { numItems: 50, cursor: null };
async function messagesOf(rows, id) {
  const thread = await rows.query("threads:find", { externalId: id });
  return (await rows.query("messages:page", { threadId: thread._id, paginationOpts: page })).page;
}

async function filesOf(rows, id) {
  const thread = await rows.query("threads:find", { externalId: id });
  return rows.query("uploads:list", { threadId: thread._id });
}

async function bytesAt(url) {
  const response = await fetch(url);
  assert.equal(response.status, 200, url);
  return Buffer.from(await response.arrayBuffer()).toString("base64");
}

async function upload(token, threadId, body, name, type) {
  const query = new URLSearchParams({ threadId, name });
  const response = await fetch(`${server.url}/api/uploads?${query}`, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": type }, body });
  assert.equal(response.status, 201);
  return response.json();
}

for (const release of releases) {
  describe(`files with ai ${release.version}`, { concurrency: true }, () => {
    test("a message with files is stored with them and shown to the model", async (t) => {
      const { token, rows } = await guestOf(server);
      const id = `files-${randomUUID()}`;
      const asked = `look ${release.version}`;
      fake.script(asked, ["a dot"]);
      const talk = chat(t, release, server, token, { id });
      await talk.sendMessage({ text: asked, files: [dot, table] });
      assert.deepEqual([talk.status, talk.faults, textOf(answerOf(talk))], ["ready", [], "a dot"]);
      const [question] = await messagesOf(rows, id);
      const files = await filesOf(rows, id);
      assert.deepEqual(question.parts.map(({ type, name, mediaType }) => [type, name, mediaType]), [["file", "dot.png", "image/png"], ["file", "t.csv", "text/csv"], ["text", undefined, undefined]]);
      assert.deepEqual(question.parts.slice(0, 2).map(({ uploadId }) => uploadId).sort(), files.map(({ _id }) => _id).sort());
      const [image, rest] = fake.of(asked)[0].body.messages.at(-1).content;
      assert.equal(image.image_url.url, dot.url);
      assert.match(rest.text, /t\.csv \(text\/csv\)\]\na,b\n/);
    });

    test("files may come without a word", async (t) => {
      const { token, rows } = await guestOf(server);
      const id = `files-${randomUUID()}`;
      const talk = chat(t, release, server, token, { id });
      await talk.sendMessage({ files: [dot] });
      assert.deepEqual([talk.status, talk.faults], ["ready", []]);
      const [question] = await messagesOf(rows, id);
      assert.deepEqual(question.parts.map(({ type }) => type), ["file"]);
    });

    test("a file of an answer is a part whose address a browser can open", async (t) => {
      const { token, id, threadId, append, finish } = await written(server, key);
      const file = await upload(key, threadId, Buffer.from(PNG, "base64"), "chart.png", "image/png");
      await append(text("see "), { type: "file", uploadId: file._id }, text("there"));
      const talk = chat(t, release, server, token, { id });
      const following = talk.resumeStream();
      // Once the answer is over there is nothing to resume.
      await until(() => answerOf(talk)?.parts.length >= 3);
      await finish();
      await following;
      assert.deepEqual([talk.status, talk.faults], ["ready", []]);
      const parts = answerOf(talk).parts;
      assert.deepEqual(parts.map(({ type }) => type), ["step-start", "text", "file", "text"]);
      assert.equal(parts[2].mediaType, "image/png");
      assert.ok(parts[2].url.startsWith(`${server.url}/api/uploads/${file._id}?`), parts[2].url);
      assert.equal(await bytesAt(parts[2].url), PNG, "without any header");
    });

    test("after a reload the files are in the history, and the chat goes on with them", async (t) => {
      const { token, rows } = await guestOf(server);
      const id = `files-${randomUUID()}`;
      const first = chat(t, release, server, token, { id });
      await first.sendMessage({ text: "first", files: [dot] });
      // A page that is opened again makes its messages of the stored ones.
      const messages = await Promise.all(
        (await messagesOf(rows, id)).map(async ({ _id, role, parts }) => ({
          id: _id,
          role,
          parts: await Promise.all(
            parts.map(async (part) => {
              if (part.type !== "file") return part;
              const { url } = await rows.mutation("uploads:readUrl", { uploadId: part.uploadId, ttlSeconds: 3600 });
              return { type: "file", mediaType: part.mediaType, filename: part.name, url: server.url + url };
            }),
          ),
        })),
      );
      assert.equal(await bytesAt(messages[0].parts[0].url), PNG);
      const again = chat(t, release, server, token, { id, messages });
      const asked = `again ${release.version}`;
      fake.script(asked, ["still there"]);
      // The same file once more, by its address here: nothing is sent or stored twice.
      await again.sendMessage({ text: asked, files: [messages[0].parts[0]] });
      assert.deepEqual([again.status, again.faults, textOf(answerOf(again))], ["ready", [], "still there"]);
      assert.equal((await filesOf(rows, id)).length, 1);
      const sent = fake.of(asked)[0].body.messages.filter(({ role }) => role === "user");
      assert.deepEqual(sent.map(({ content }) => content[0].image_url.url), [dot.url, dot.url]);
    });
  });
}

describe("files on the wire", { concurrency: true }, () => {
  const message = (id, ...parts) => ({ id, role: "user", parts });

  test("posted again, a message stores nothing again; changed, it is refused", async () => {
    const { post, rows, id } = await guestOf(server);
    const question = message("m1", dot, text("hi"));
    await chunks(await post({ messages: [question] }));
    await chunks(await post({ messages: [question] }));
    assert.equal((await filesOf(rows, id)).length, 1);
    assert.equal((await messagesOf(rows, id)).length, 2);
    for (const changed of [message("m1", table, text("hi")), message("m1", text("hi")), message("m1", dot, dot, text("hi"))]) {
      const { status, code } = await refused(await post({ messages: [changed] }));
      assert.deepEqual([status, code], [409, "already_exists"]);
    }
  });

  test("no address is fetched, no file of another is taken, and limits hold", async () => {
    const { post, rows, id } = await guestOf(server);
    const stranger = await guestOf(server);
    const theirs = await stranger.rows.mutation("threads:create", {});
    const foreign = await upload(stranger.token, theirs, "x", "x.txt", "text/plain");
    const mine = await rows.mutation("threads:create", {});
    const elsewhere = await upload(key, mine, "x", "x.txt", "text/plain");
    const big = `data:text/plain;base64,${Buffer.alloc(1_000_001).toString("base64")}`;
    for (const [url, status, code] of [
      ["https://example.com/x.png", 400, "bad_request"],
      ["http://127.0.0.1:1/x.png", 400, "bad_request"],
      ["blob:http://localhost/1", 400, "bad_request"],
      ["data:text/plain,not%20base64", 400, "bad_request"],
      [`/api/uploads/${foreign._id}`, 404, "not_found"],
      [`${server.url}/api/uploads/${elsewhere._id}`, 404, "not_found"],
      [big, 413, "too_large"],
    ]) {
      const answer = await refused(await post({ messages: [message(randomUUID(), { ...dot, url }, text("hi"))] }));
      assert.deepEqual([answer.status, answer.code], [status, code], `${url.slice(0, 60)}: ${answer.message}`);
    }
    assert.equal((await messagesOf(rows, id).catch(() => [])).length, 0);
    const huge = await refused(await request(server, stranger.token, "", { body: `{"id":"c","x":"${"x".repeat(20_000_000)}"}` }));
    assert.deepEqual([huge.status, huge.code], [413, "too_large"]);
  });

  test("a message that comes while another is answered stores no file; the running one may come again with its own", async () => {
    const { post, rows, id } = await guestOf(server);
    const hold = gate();
    fake.script("running", [{ wait: hold.opened }, "a"]);
    const of = (messageId, words, file) => post({ messages: [message(messageId, file, text(words))] });
    const first = await of("one", "running", dot);
    const busy = await refused(await of("two", "too early", table));
    assert.deepEqual([busy.status, busy.code, busy.generationId], [409, "thread_busy", first.headers.get("x-spool-generation-id")]);
    assert.deepEqual((await filesOf(rows, id)).map(({ mediaType }) => mediaType), ["image/png"]);
    const again = await of("one", "running", dot);
    assert.equal(again.headers.get("x-spool-generation-id"), busy.generationId);
    hold.open();
    await Promise.all([first.text(), again.text()]);
    assert.equal((await filesOf(rows, id)).length, 1);
  });

  test("the log says which file, and each wire in its own words", async () => {
    const { threadId, generationId, append, finish, stream, token, rows } = await written(server, key);
    const file = await upload(key, threadId, "a,b", "t.csv", "text/csv");
    await append(text("é"), { type: "file", uploadId: file._id });
    await finish();
    const events = await (await fetch(`${server.url}/api/stream/${generationId}`, { headers: { authorization: `Bearer ${token}` } })).text();
    assert.match(events, /event: file\n/);
    const { events: log, cursor } = await rows.query("generations:deltas", { generationId, cursor: 2 });
    assert.deepEqual(log[0], { type: "file", uploadId: file._id, mediaType: "text/csv", name: "t.csv", size: 3 });
    assert.equal(cursor, 4);
    const seen = await chunks(await stream(`?activeStreamId=${generationId}`));
    const at = seen.find(({ chunk }) => chunk.type === "file");
    assert.deepEqual([Object.keys(at.chunk), at.id], [["type", "url", "mediaType"], 3]);
    assert.equal(await (await fetch(at.chunk.url)).text(), "a,b");
  });
});
