// An MCP server from npm in a turn: listed, offered by role and pattern, called, asked about where it may write, and
// visible when it dies.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { page, send, settled, user } from "./lib/clients.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { freePort, Server } from "./lib/server.mjs";
import { spawn } from "node:child_process";
import { onEnd } from "./lib/cleanup.mjs";
import { until } from "./lib/wait.mjs";

const everything = fileURLToPath(new URL("node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url));
const suite = { after };
const fake = await FakeLlm.start(suite);
const port = await freePort();
const remote = spawn("node", [everything, "streamableHttp"], { env: { PATH: process.env.PATH, PORT: String(port) }, stdio: "ignore" });
onEnd(suite, () => remote.kill("SIGKILL"));
await until(async () => (await fetch(`http://127.0.0.1:${port}/mcp`).catch(() => null)) !== null, { timeout: 30_000, what: "the MCP server over HTTP" });

const server = await Server.start(suite, {
  env: fake.env,
  config: `
[tools.mcp.near]
command = "node"
args = [${JSON.stringify(everything)}, "stdio"]
[tools.mcp.near.tools.echo]
writes = false
[tools.mcp.near.tools.get-sum]
writes = true
[tools.mcp.far]
url = "http://127.0.0.1:${port}/mcp"
allow_private = true
[tools.mcp.far.tools.echo]
writes = false
[agents.assistant]
tools = ["near_*", "far_echo"]
tool_timeout_seconds = 20
`,
});

const calls = async ({ client }, threadId) => (await client.query("toolCalls:listByThread", { threadId, ...page() })).page.reverse();

describe("an MCP server from npm", { concurrency: true }, () => {
  for (const where of ["near", "far"]) {
    test(`TC-10: its tools are listed and called over ${where === "near" ? "stdio" : "streamable HTTP"}`, async (t) => {
      const me = await user(t, server);
      const tool = `${where}_echo`;
      fake.script(`echo ${where}`, rounds([{ call: { tool, input: { message: `hello ${where}` } } }], ["Heard."]));
      const sent = await send(me.client, `echo ${where}`);
      const message = await settled(me.client, sent.messageId, 60_000);
      assert.equal(message.text, "Heard.", JSON.stringify(message.error));
      const [row] = await calls(me, sent.threadId);
      assert.deepEqual([row.tool, row.state], [tool, "completed"], row.error);
      assert.match(fake.of(`echo ${where}`)[1].results[0].text, new RegExp(`hello ${where}`));
      const offered = fake.of(`echo ${where}`)[0].tools;
      assert.ok(offered.includes("near_echo") && offered.includes("far_echo") && offered.length > 3, offered.join(" "));
      assert.deepEqual(offered.filter((name) => name.startsWith("far_")), ["far_echo"]);
    });
  }

  test("TC-05 TC-08: its schema is held to, and a tool of it that may write waits for a person", async (t) => {
    const me = await user(t, server);
    fake.script("sum up", rounds([{ call: { tool: "near_get-sum", input: { a: "one", b: 2 } } }], [{ call: { tool: "near_get-sum", input: { a: 1, b: 2 } } }], ["Three."]));
    const sent = await send(me.client, "sum up");
    const asked = await until(async () => (await me.client.query("approvals:listByThread", { threadId: sent.threadId, ...page() })).page[0], { timeout: 30_000 });
    await me.client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", edited: { a: 20, b: 22 } });
    assert.equal((await settled(me.client, sent.messageId, 60_000)).text, "Three.");
    const rows = await calls(me, sent.threadId);
    assert.deepEqual(rows.map(({ state }) => state), ["error", "completed"]);
    assert.match(JSON.stringify(rows[1].output), /42/);
  });
});
