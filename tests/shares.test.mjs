// Sharing with the official client against the real binary: live views end with their share, show exactly
// the allow-list, and the secret of a link is nowhere at rest.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { after, describe, test } from "node:test";
import { codeOf, http, live, page, refusal, refusalOf, send, settled, user, watch } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { secret } from "./lib/secrets.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

/** A link of the thread: `{shareId, token, path}`. */
async function link(owner, threadId, more = {}) {
  const shareId = await owner.client.mutation("shares:create", { threadId, mode: "live", ...more });
  const { path } = await owner.client.query("shares:get", { shareId });
  return { shareId, path, token: secret(path.slice("/s/".length), "the token of a share") };
}

/** A user with a thread of one turn that is over. */
async function told(t, text = "what is escrow?") {
  const owner = await user(t, server);
  const sent = await send(owner.client, text);
  await settled(owner.client, sent.messageId);
  return { owner, ...sent };
}

/** Everything that a viewer subscribes to. */
const opened = (viewer, ticket) => ({
  head: watch(viewer, "shares:view", ticket),
  rows: watch(viewer, "shares:messages", { ...ticket, ...page() }),
});

const all = async ({ head, rows }, condition) => until(() => [head, rows].every(condition));
const shown = (view) => all(view, (one) => one.current !== undefined);
const codes = (view) => [view.head, view.rows].map((one) => refusalOf(one.errors.at(-1))?.code);

describe("shares", { concurrency: 2 }, () => {
  test("SH-01: a link opens without credentials; revoked, an open view ends at once and new ones are as unknown", async (t) => {
    const { owner, threadId } = await told(t);
    const { shareId, token } = await link(owner, threadId);
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    const viewer = live(t, server, null);
    const view = opened(viewer, { token });
    await shown(view);
    assert.equal(view.rows.current.page.length, 2);
    const begun = Date.now();
    await owner.client.mutation("shares:revoke", { shareId });
    await all(view, (one) => one.errors.length > 0);
    assert.ok(Date.now() - begun < 1000, `${Date.now() - begun} ms`);
    assert.deepEqual(codes(view), ["not_found", "not_found"]);
    const anonymous = http(server);
    const revoked = await refusal(anonymous.query("shares:view", { token }));
    const unknown = await refusal(anonymous.query("shares:view", { token: "x".repeat(43) }));
    const senseless = await refusal(anonymous.query("shares:view", { token: "" }));
    for (const one of [revoked, unknown, senseless]) delete one.requestId;
    assert.deepEqual(revoked, unknown);
    assert.deepEqual(revoked, senseless);
  });

  test("SH-01: a share that expires ends the views that are open", async (t) => {
    const { owner, threadId } = await told(t);
    const expiresAt = Date.now() + 1500;
    const { token } = await link(owner, threadId, { expiresAt });
    const view = opened(live(t, server, null), { token });
    await shown(view);
    await all(view, (one) => one.errors.length > 0);
    const late = Date.now() - expiresAt;
    assert.ok(late >= 0 && late < 4000, `${late} ms after its time`);
    assert.deepEqual(codes(view), ["not_found", "not_found"]);
  });

  test("SH-01: a live view follows the running answer; a removed thread ends it", async (t) => {
    const end = gate();
    fake.script("slowly please", [{ reasoning: "hidden thought" }, "first ", { wait: end.opened }, "second"]);
    const owner = await user(t, server);
    const sent = await send(owner.client, "slowly please");
    const { token } = await link(owner, sent.threadId);
    const viewer = live(t, server, null);
    const view = opened(viewer, { token });
    await shown(view);
    const deltas = watch(viewer, "shares:deltas", { token, generationId: sent.generationId, cursor: 0 });
    await until(() => deltas.current?.events.some((event) => event.text?.includes("first")));
    assert.equal(JSON.stringify(deltas.current).includes("hidden thought"), false);
    const rest = watch(viewer, "shares:deltas", { token, generationId: sent.generationId, cursor: deltas.current.cursor });
    end.open();
    await until(() => rest.current?.events.at(-1)?.type === "status");
    assert.deepEqual(rest.current.events, [{ type: "text", text: "second" }, { type: "status", status: "complete" }]);
    await until(() => view.rows.current.page[1].text === "first second");
    await owner.client.mutation("threads:remove", { threadId: sent.threadId });
    await all(view, (one) => one.errors.length > 0);
    assert.deepEqual(codes(view), ["not_found", "not_found"]);
  });

  test("SH-02: responses hold exactly the allow-list", async (t) => {
    const { owner, threadId } = await told(t);
    const backend = http(server, await serviceKey(server));
    await backend.mutation("messages:append", { threadId, role: "system", text: "secret instructions" });
    await backend.mutation("messages:append", {
      threadId, role: "assistant", text: "Found it.", reasoningText: "secret thought", model: "secret-model",
      tools: [{ name: "secret-tool", args: { q: "secret input" }, result: "secret output" }],
      citations: [{ title: "A source", url: "https://example.com/a", snippet: "words" }],
    });
    const { shareId, token } = await link(owner, threadId);
    const anonymous = http(server);
    const created = await owner.client.query("shares:get", { shareId });
    assert.deepEqual(await anonymous.query("shares:view", { token }), {
      title: "What is escrow", mode: "live", includes: { reasoning: false, tools: false, files: false }, sharedAt: created.createdAt,
    });
    const mine = (await owner.client.query("messages:page", { threadId, ...page() })).page;
    const { page: rows, ...rest } = await anonymous.query("shares:messages", { token, ...page() });
    const message = (at, role, parts, text) => ({ seq: at, role, status: "complete", parts, text, createdAt: mine[at].createdAt });
    const text = (words) => ({ type: "text", text: words });
    const source = { type: "source", title: "A source", url: "https://example.com/a", snippet: "words" };
    const hello = "Hello from the fake model.";
    assert.deepEqual(rows, [
      message(0, "user", [text("what is escrow?")], "what is escrow?"),
      message(1, "assistant", [text(hello)], hello),
      message(3, "assistant", [text("Found it."), source], "Found it."),
    ]);
    assert.deepEqual(Object.keys(rest).sort(), ["continueCursor", "isDone", "pageStatus", "splitCursor"]);
    assert.equal(Buffer.from(rest.continueCursor, "base64url").includes(threadId), false);
  });

  test("SH-02: a file is a name, or is read through a URL that ends with the share", async (t) => {
    const { owner, threadId } = await told(t);
    const upload = await fetch(`${server.url}/api/uploads?threadId=${threadId}&name=notes.txt`, {
      method: "POST", headers: { authorization: `Bearer ${owner.token}`, "content-type": "text/plain" }, body: "the notes",
    });
    const { _id: uploadId } = await upload.json();
    await owner.client.mutation("messages:append", { threadId, role: "user", parts: [{ type: "file", uploadId }] });
    const names = await link(owner, threadId);
    const files = await link(owner, threadId, { includes: { files: true } });
    const anonymous = http(server);
    const partOf = async ({ token }) => (await anonymous.query("shares:messages", { token, ...page() })).page[2].parts[0];
    const known = { type: "file", mediaType: "text/plain", name: "notes.txt", size: 9 };
    assert.deepEqual(await partOf(names), known);
    assert.deepEqual(await partOf(files), { ...known, uploadId });
    assert.equal(await codeOf(anonymous.mutation("shares:fileUrl", { token: names.token, seq: 2, uploadId })), "not_found");
    assert.equal((await fetch(`${server.url}/api/uploads/${uploadId}`)).status, 401);
    const { url } = await anonymous.mutation("shares:fileUrl", { token: files.token, seq: 2, uploadId });
    assert.equal(url.includes(files.token), false);
    assert.equal(await (await fetch(server.url + url)).text(), "the notes");
    assert.equal((await fetch(server.url + url.replace("signature=shr_", "signature=usr_"))).status, 401);
    await owner.client.mutation("shares:revoke", { shareId: files.shareId });
    assert.equal((await fetch(server.url + url)).status, 404);
  });

  test("SH-03: U2 reads and cannot write, and a copy is U2's own", async (t) => {
    const { owner, threadId, messageId } = await told(t);
    const reader = await user(t, server);
    const shareId = await owner.client.mutation("shares:grant", { threadId, userId: reader.userId });
    const view = opened(reader.client, { shareId });
    await shown(view);
    assert.equal(view.rows.current.page[1].text, "Hello from the fake model.");
    assert.deepEqual((await reader.http.query("shares:withMe", {})).map((one) => one.shareId), [shareId]);
    for (const [path, args] of [
      ["turns:send", { threadId, text: "mine" }],
      ["messages:append", { threadId, role: "user", text: "mine" }],
      ["turns:regenerate", { messageId }],
      ["threads:update", { threadId, title: "mine" }],
      ["threads:remove", { threadId }],
      ["shares:revoke", { shareId }],
    ]) {
      assert.equal(await codeOf(reader.http.mutation(path, args)), "not_found", path);
    }
    const { threadId: copy, messages, complete } = await reader.http.mutation("shares:copy", { shareId });
    assert.deepEqual([messages, complete], [2, true]);
    assert.equal(await codeOf(owner.http.query("messages:page", { threadId: copy, ...page() })), "not_found");
    const goesOn = await send(reader.client, "and then?", copy);
    assert.equal((await settled(reader.client, goesOn.messageId)).status, "complete");
    assert.equal((await owner.http.query("messages:page", { threadId, ...page() })).page.length, 2, "untouched");
    const stranger = await user(t, server);
    assert.equal(await codeOf(stranger.http.query("shares:view", { shareId })), "not_found");
    await owner.client.mutation("shares:revoke", { shareId });
    await all(view, (one) => one.errors.length > 0);
    assert.deepEqual(codes(view), ["not_found", "not_found"]);
  });

  test("SH-01: the page of a link is not for search engines, nor its address for other sites", async () => {
    const { headers, status } = await fetch(`${server.url}/s/${"x".repeat(43)}`);
    assert.equal(status, 200);
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.match(headers.get("x-robots-tag"), /noindex/);
    assert.equal((await fetch(`${server.url}/`)).headers.get("x-robots-tag"), null);
  });
});

test("SH-01: no token is at rest or in the log; the owner is shown it again after a restart", async (t) => {
  const own = await Server.start(t, { env: { ...fake.env, SPOOL_LOG: "debug" } });
  const owner = await user(t, own);
  const { threadId } = await send(owner.client, "hello");
  const { shareId, path: link, token } = await (async () => {
    const shareId = await owner.client.mutation("shares:create", { threadId, mode: "live" });
    const { path } = await owner.client.query("shares:get", { shareId });
    return { shareId, path, token: path.slice("/s/".length) };
  })();
  // Every way in which a token comes to the server.
  await http(own).query("shares:view", { token });
  await shown(opened(live(t, own, null), { token }));
  await (await fetch(own.url + link)).text();
  const reader = await user(t, own);
  await reader.client.mutation("shares:copy", { token });
  await codeOf(reader.client.mutation("shares:copy", { token, shareId }));
  for (const file of await readdir(own.data, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const bytes = await readFile(path.join(file.parentPath ?? file.path, file.name));
    assert.equal(bytes.includes(token), false, file.name);
  }
  assert.equal(own.stderr.includes(token), false, "the log");
  await own.restart();
  assert.equal((await http(own, owner.token).query("shares:get", { shareId })).path, link);
  await http(own).query("shares:view", { token });
});

test("SH-01: with links off none is made, and those that were open nothing", async (t) => {
  const own = await Server.start(t, { env: fake.env });
  const owner = await user(t, own);
  const { threadId } = await send(owner.client, "hello");
  const shareId = await owner.client.mutation("shares:create", { threadId, mode: "live" });
  const { path: link } = await owner.client.query("shares:get", { shareId });
  await own.stop();
  const off = await Server.start(t, { env: fake.env, data: own.data, config: '[sharing]\nlinks = "off"\n' });
  const again = http(off, owner.token);
  assert.equal((await again.query("server:info", {})).shareLinks, false);
  assert.equal(await codeOf(again.mutation("shares:create", { threadId, mode: "live" })), "forbidden");
  assert.equal(await codeOf(http(off).query("shares:view", { token: link.slice(3) })), "not_found");
  assert.equal((await again.query("shares:get", { shareId })).path, undefined);
});
