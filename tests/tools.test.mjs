// Tools outside, as far as the process goes: servers that never get ready keep nobody waiting, what was started
// ends with the server, and what is configured is not said.

import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { guest, http, live, page, send, settled } from "./lib/clients.mjs";
import { secret } from "./lib/secrets.mjs";
import { freePort, run, Server, temporary } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const everything = fileURLToPath(new URL("node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url));

/** The processes that `parent` started and that still run, by what they are. */
async function children(parent) {
  const found = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    const [, command, state, ppid] = /^\d+ \((.*)\) (\S) (\d+)/.exec(stat) ?? [];
    if (Number(ppid) === parent && state !== "Z") found.push({ pid: Number(pid), command });
  }
  return found;
}

const gone = async (pid) => {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat === "" || stat.includes(") Z ");
};

const config = (planted) => `
[tools.mcp.npm]
command = "node"
args = [${JSON.stringify(everything)}, "stdio"]
env = { API_KEY = "\${PLANTED_KEY}" }
[tools.mcp.mute]
command = "sleep"
args = ["1000"]
[tools.mcp.exits]
command = "sh"
args = ["-c", "echo no licence for $API_KEY >&2; exit 3"]
env = { API_KEY = "\${PLANTED_KEY}" }
[tools.mcp.missing]
command = "/no/such/program"
[tools.mcp.away]
url = "http://127.0.0.1:9/mcp"
allow_private = true
headers = { Authorization = "Bearer ${planted}" }
[tools.http.search]
description = "Finds."
url = "http://127.0.0.1:9/search"
allow_private = true
headers = { Authorization = "Bearer ${planted}" }
input = { type = "object" }
`;

test("tc_10 MCP servers that never get ready keep nobody waiting, and all of them end with the server", async (t) => {
  const planted = secret("planted-header-of-a-tool-0123456789", "a header of a tool");
  const key = secret("planted-key-of-an-mcp-server-0123456789", "a variable of an MCP server");
  const env = { PLANTED_KEY: key, SPOOL_LOG: "debug" };
  const server = await Server.start(t, { config: config(planted), env });
  const { token } = await guest(server);
  assert.deepEqual((await http(server, token).query("threads:page", page())).page, []);
  await until(() => server.stderr.includes("an MCP server is there"), { what: "the server of npm" });
  await until(() => server.stderr.includes("no licence for …"), { what: "why a server is not ready, without its key" });
  const client = live(t, server, token);
  const sent = await send(client, "hello");
  assert.equal((await settled(client, sent.messageId)).status, "complete");
  const started = await children(server.pid);
  assert.ok(started.some(({ command }) => command === "node") && started.some(({ command }) => command === "sleep"), JSON.stringify(started));
  const began = Date.now();
  await server.stop();
  assert.ok(Date.now() - began < 9_000);
  for (const { pid, command } of started) await until(() => gone(pid), { what: `the end of ${command}` });
});

test("tc_10 an MCP server ends when Spool is killed", async (t) => {
  const server = await Server.start(t, { config: config("planted"), env: { PLANTED_KEY: "planted" } });
  await until(() => server.stderr.includes("an MCP server is there"), { what: "the server of npm" });
  const nodes = (await children(server.pid)).filter(({ command }) => command === "node");
  const others = (await children(server.pid)).filter(({ command }) => command === "sleep");
  await server.kill();
  for (const { pid } of nodes) await until(() => gone(pid), { what: "the end of the server of npm" });
  // Nobody told it, and it does not read.
  for (const { pid } of others) process.kill(pid, "SIGKILL");
});

test("op_09 mistakes of tools stop the start and are named by their keys, never by their values", async (t) => {
  const dir = await temporary(t, "config");
  for (const [text, words] of [
    ['[tools.http.search]\ndescription = "d"\nurl = "https://10.0.0.1/planted-url"\ninput = { type = "object" }', ["tools.http.search", "url", "allow_private"]],
    ['[tools.http.search]\ndescription = "d"\nurl = "https://x.example"\ninput = { type = "array" }', ["tools.http.search", "input"]],
    ['[tools.mcp.files]\ncommand = "npx"\nenv = { KEY = "${PLANTED_NOT_SET}" }', ["tools.mcp.files.env.KEY", "PLANTED_NOT_SET"]],
  ]) {
    const file = path.join(dir, "spool.toml");
    await writeFile(file, text);
    const args = ["serve", "--listen", `127.0.0.1:${await freePort()}`, "--data", await temporary(t), "--config", file];
    const { code, stdout, stderr } = await run(args, { timeout: 8_000 });
    const said = stdout + stderr;
    assert.ok(code !== null && code !== 0, said);
    for (const word of words) assert.ok(said.includes(word), `"${word}" is not in: ${said}`);
    assert.ok(!said.includes("planted-url"), said);
  }
});
