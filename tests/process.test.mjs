// The process as its operator sees it: what keeps it from serving is named, and ends it with a code; what
// it keeps is there after any end.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import WebSocket from "ws";
import { guest, http, live, page, send, settled } from "./lib/clients.mjs";
import { onEnd } from "./lib/cleanup.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { freePort, run, Server, temporary } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

/** `spool serve` must refuse: non-zero, soon, with a message that has every one of `words`. */
async function refused(args, env, ...words) {
  const { code, stderr, stdout } = await run(["serve", ...args], { env, timeout: 8_000 });
  const said = stdout + stderr;
  assert.ok(code !== null && code !== 0, `exit code ${code}: ${said}`);
  for (const word of words) assert.ok(said.includes(word), `"${word}" is not in: ${said}`);
  assert.ok(!/panicked at|RUST_BACKTRACE/.test(said), said);
}

/** Waits until the log of an answer begins with `text`. */
const shows = (client, { generationId }, text) =>
  until(async () => (await client.query("generations:deltas", { generationId, cursor: 0 })).events.map((event) => event.text).join("").startsWith(text));

const at = async (data) => ["--listen", `127.0.0.1:${await freePort()}`, "--data", data];

describe("what keeps the server from serving", { concurrency: true }, () => {
  test("a port in use", async (t) => {
    const holder = net.createServer();
    await new Promise((resolve) => holder.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => holder.close());
    const address = `127.0.0.1:${holder.address().port}`;
    await refused(["--listen", address, "--data", await temporary(t)], {}, address);
  });

  test("a data directory in use", async (t) => {
    const server = await Server.start(t);
    await refused(await at(server.data), {}, server.data, "in use");
    const { token } = await guest(server);
    assert.deepEqual((await http(server, token).query("threads:page", page())).page, [], "the first goes on");
  });

  test("a data directory that is a file, or below one, or not to be read", async (t) => {
    const dir = await temporary(t);
    const file = path.join(dir, "a-file");
    await writeFile(file, "not a directory");
    await refused(await at(file), {}, file);
    await refused(await at(path.join(file, "below")), {}, file);
    if (process.getuid() !== 0) {
      const closed = path.join(dir, "closed");
      await mkdir(closed, { mode: 0o000 });
      await refused(await at(closed), {}, closed);
    }
  });

  test("a database that is none", async (t) => {
    const data = await temporary(t);
    await writeFile(path.join(data, "spool.db"), "this is not a database, and long enough to be looked at ".repeat(50));
    await refused(await at(data), {}, "spool.db");
    assert.match(await readFile(path.join(data, "spool.db"), "utf8"), /^this is not a database/, "left as it was");
  });

  test("a signing key that is none", async (t) => {
    const data = await temporary(t);
    await writeFile(path.join(data, "signing-key.pk8"), "garbage");
    await refused(await at(data), {}, "signing key");
  });

  const configs = {
    "a typo in a key": ['lissten = "127.0.0.1:1"', "lissten"],
    "a typo in a section": ["[turn]\nlease_seconds = 5", "turn"],
    "a wrong type": ['[turns]\nlease_seconds = "soon"', "lease_seconds"],
    "a value out of range": ["[turns]\nlease_seconds = 100000", "turns.lease_seconds"],
    "an unknown choice": ['[guests]\npolicy = "everyone"', "everyone"],
    "no TOML": ["this is = = not toml", "spool.toml"],
    "a provider of an unknown kind": ['[providers.x]\nkind = "oracle"', "oracle"],
    "a model that no provider serves": ['model = "gpt-5"', "gpt-5"],
  };
  for (const [name, [text, ...words]] of Object.entries(configs)) {
    test(`config: ${name}`, async (t) => {
      const dir = await temporary(t, "config");
      const file = path.join(dir, "spool.toml");
      await writeFile(file, text);
      await refused([...(await at(path.join(dir, "data"))), "--config", file], {}, ...words);
    });
  }

  test("a config file that is not there", async (t) => {
    const dir = await temporary(t);
    await refused([...(await at(dir)), "--config", path.join(dir, "missing.toml")], {}, "missing.toml");
  });

  test("bad addresses, environment and options", async (t) => {
    const data = await temporary(t);
    await refused(["--listen", "nowhere", "--data", data], {}, "nowhere");
    await refused(["--data", data], { SPOOL_LISTEN: "127.0.0.1:99999" }, "127.0.0.1:99999");
    await refused([...(await at(data)), "--dta", "x"], {}, "--dta");
    await refused(await at(data), { OPENAI_BASE_URL: "not a url", OPENAI_API_KEY: "k" }, "URL");
  });
});

describe("a life of the server", { concurrency: true }, () => {
  test("environment alone is enough, and arguments win", async (t) => {
    const data = await temporary(t);
    const port = await freePort();
    const server = new Server({ data, port, env: { SPOOL_LISTEN: "127.0.0.1:1", SPOOL_DATA: "/nonexistent/spool" } });
    onEnd(t, () => server.stop());
    await server.start();
    assert.equal((await stat(path.join(data, "spool.db"))).isFile(), true);
  });

  test("SIGTERM ends it with code 0 while clients are connected, and nothing is lost", async (t) => {
    const server = await Server.start(t);
    const { token } = await guest(server);
    const threadId = await http(server, token).mutation("threads:create", { title: "kept" });
    const { generationId } = await http(server, token).mutation("turns:send", { threadId, text: "long" });
    const reader = fetch(`${server.url}/api/stream/${generationId}`, { headers: { authorization: `Bearer ${token}` } });
    const body = (await reader).text().catch(() => "cut");
    const { code, signal } = await server.stop();
    assert.deepEqual([code, signal], [0, null]);
    await within(body, "the stream to end with the server");
    await server.start();
    assert.equal((await http(server, token).query("threads:get", { threadId })).title, "kept");
  });

  test("the guest's token outlives restarts; private files are private", async (t) => {
    const server = await Server.start(t);
    const { token, userId } = await guest(server);
    await server.restart();
    assert.equal((await http(server, token).query("users:me", {}))._id, userId);
    for (const name of ["signing-key.pk8", "admin.json"]) {
      assert.equal((await stat(path.join(server.data, name))).mode & 0o077, 0, name);
    }
  });

  test("doctor is clean beside the running server and without it, and finds damage", async (t) => {
    const server = await Server.start(t);
    const { token } = await guest(server);
    const client = http(server, token);
    const threadId = await client.mutation("threads:create", {});
    await client.action("turns:sendAndWait", { threadId, text: `/script ${JSON.stringify({ deltas: ["x"] })}` });
    const doctor = () => run(["doctor", "--data", server.data]);
    const running = await doctor();
    assert.equal(running.code, 0, running.stdout + running.stderr);
    await server.stop();
    const stopped = await doctor();
    assert.equal(stopped.code, 0, stopped.stdout + stopped.stderr);
    const file = await open(path.join(server.data, "spool.db"), "r+");
    await file.write(Buffer.alloc(4096, 0xff), 0, 4096, 4096);
    await file.close();
    const damaged = await doctor();
    assert.notEqual(damaged.code, 0, damaged.stdout + damaged.stderr);
  });

  test("doctor of a directory without data says so", async (t) => {
    const empty = path.join(await temporary(t), "nothing-here");
    const { code, stdout, stderr } = await run(["doctor", "--data", empty]);
    assert.notEqual(code, 0, stdout + stderr);
    assert.ok((stdout + stderr).includes(empty), stdout + stderr);
    await assert.rejects(stat(empty), "and nothing is made there");
  });

  test("a shutdown in mid-turn leaves no orphan behind", async (t) => {
    const server = await Server.start(t, { config: "[turns]\nlease_seconds = 3\n" });
    const { token } = await guest(server);
    const client = http(server, token);
    const threadId = await client.mutation("threads:create", {});
    const { messageId } = await client.mutation("turns:send", { threadId, text: `/script ${JSON.stringify({ deltas: ["partial"], hangMs: 60_000 })}` });
    await until(async () => (await client.query("messages:get", { messageId })).status === "streaming", { what: "the turn to stream" });
    await server.stop();
    await server.start();
    const message = await until(async () => {
      const found = await client.query("messages:get", { messageId });
      return ["interrupted", "stopped", "error"].includes(found.status) && found;
    }, { what: "a final state within the lease" });
    assert.equal(message.text, "partial");
  });

  test("SIGTERM is prompt whatever runs: what is written is kept, what has not begun is asked again", async (t) => {
    const fake = await FakeLlm.start(t);
    fake.script("begun", ["kept ", "text", { hang: true }]);
    fake.script("silent", (n) => (n === 0 ? [{ hang: true }] : ["asked again"]));
    const server = await Server.start(t, { env: fake.env, config: "[turns]\nshutdown_ms = 300\n" });
    const { token } = await guest(server);
    const client = http(server, token);
    const begun = await send(client, "begun");
    const silent = await send(client, "silent");
    await shows(client, begun, "kept text");
    await until(() => fake.of("silent").length === 1);
    // A socket, an event stream, and a request whose body never comes.
    const socket = new WebSocket(`${server.wsUrl}/api/sync`);
    await new Promise((resolve) => socket.once("open", resolve));
    const farewell = new Promise((resolve) => socket.once("close", (code, reason) => resolve([code, String(reason)])));
    const reader = await fetch(`${server.url}/api/stream/${begun.generationId}`, { headers: { authorization: `Bearer ${token}` } });
    const events = reader.text();
    const begunAt = performance.now();
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    const took = performance.now() - begunAt;
    assert.ok(took < 2000, `the server took ${took} ms`);
    assert.deepEqual(await farewell, [1012, "ServerShutdown"]);
    assert.match(await events, /kept /, "the event stream ends like any other");
    await server.start();
    const kept = await client.query("messages:get", { messageId: begun.messageId });
    assert.deepEqual([kept.status, kept.text], ["interrupted", "kept text"]);
    const again = await settled(live(t, server, token), silent.messageId);
    assert.deepEqual([again.status, again.text], ["complete", "asked again"]);
  });

  test("a turn that ends within the configured grace is complete", async (t) => {
    const fake = await FakeLlm.start(t);
    fake.script("nearly", ["almost ", { wait: 700 }, "done"]);
    const server = await Server.start(t, { env: fake.env, config: "[turns]\nshutdown_ms = 10000\n" });
    const { token } = await guest(server);
    const client = http(server, token);
    const sent = await send(client, "nearly");
    await shows(client, sent, "almost ");
    assert.equal((await server.stop()).code, 0);
    await server.start();
    const message = await client.query("messages:get", { messageId: sent.messageId });
    assert.deepEqual([message.status, message.text], ["complete", "almost done"]);
  });

  test("a client that never ends its request does not keep the server", async (t) => {
    const server = await Server.start(t, { config: "[turns]\nshutdown_ms = 0\n" });
    const client = net.connect(server.port, "127.0.0.1");
    onEnd(t, () => client.destroy());
    client.on("error", () => {});
    client.write("POST /api/query HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    await until(async () => (await fetch(`${server.url}/readyz`)).ok);
    const begun = performance.now();
    assert.equal((await server.stop()).code, 0);
    assert.ok(performance.now() - begun < 5000);
  });
});

describe("a body above the limit is answered, not cut off", { concurrency: true }, () => {
  const SIZE = 40 << 20;

  test("by node's fetch, with and without a length", async (t) => {
    const server = await Server.start(t);
    const piece = new Uint8Array(1 << 20);
    for (let round = 0; round < 4; round += 1) {
      const body = round % 2 === 0 ? new Uint8Array(SIZE) : ReadableStream.from(Array.from({ length: SIZE / piece.length }, () => piece));
      const answer = await fetch(`${server.url}/api/mutation`, { method: "POST", body, duplex: "half" });
      assert.equal(answer.status, 413);
      assert.equal((await answer.json()).code, "too_large");
    }
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  });

  test("by curl, which asks first, or does not, or sends in chunks", async (t) => {
    const server = await Server.start(t);
    const file = path.join(await temporary(t, "body"), "body");
    await writeFile(file, new Uint8Array(SIZE));
    for (const headers of [[], ["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]]) {
      const args = ["-sS", "--max-time", "20", "-w", "\n%{http_code}", "-X", "POST", ...headers, "--data-binary", `@${file}`, `${server.url}/api/mutation`];
      const { stdout } = await promisify(execFile)("curl", args);
      assert.match(stdout, /"code":"too_large"[^]*\n413$/, headers.join(" "));
    }
  });
});
