// The process as its operator sees it: what keeps it from serving is named, and ends it with a code; what
// it keeps is there after any end.

import assert from "node:assert/strict";
import { mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { describe, test } from "node:test";
import { guest, http, page } from "./lib/clients.mjs";
import { onEnd } from "./lib/cleanup.mjs";
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
});
