// Roles through the front door: what the model is told follows from the server's own idea of the user.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { refusal, settled, user } from "./lib/clients.mjs";
import { run, Server } from "./lib/server.mjs";
import { call, operatorToken } from "./lib/workers.mjs";

const config = `
instructions = "Be brief."

[roles]
default = "investor"

[roles.known.investor]
name = "Investor"
instructions = "You speak with an investor."

[roles.known.broker]
name = "Broker"
instructions = "You speak with a broker."

[roles.known.admin]
name = "Administrator"
instructions = "You speak with an administrator, and tell everything."
`;
const suite = { after };
const llm = await FakeLlm.start(suite);
const server = await Server.start(suite, { config, env: llm.env });

let asked = 0;

/** What a turn with this hint is answered as: `{role, lastRole, system}`. */
async function answered(client, role) {
  const text = `question ${(asked += 1)} of roles`;
  const threadId = await client.mutation("threads:create", {});
  const sent = await client.mutation("turns:send", { threadId, text, ...(role !== undefined && { role }) });
  await settled(client, sent.messageId);
  const { effectiveRole } = await client.query("generations:get", { generationId: sent.generationId });
  const { lastRole } = await client.query("threads:get", { threadId });
  const system = llm.of(text)[0].body.messages.find((message) => message.role === "system")?.content;
  return { role: effectiveRole, lastRole, system };
}

test("IA-07: a hint selects only a role that the user has, for the prompt and for every row", async (t) => {
  const { client, userId } = await user(t, server);
  const investor = { role: "investor", lastRole: "investor", system: "Be brief.\n\nYou speak with an investor." };
  const broker = { role: "broker", lastRole: "broker", system: "Be brief.\n\nYou speak with a broker." };
  assert.deepEqual((await client.query("server:info", {})).roles.map(({ id }) => id), ["admin", "broker", "investor"]);
  assert.equal((await client.query("users:me", {})).effectiveRole, "investor");
  assert.deepEqual(await answered(client), investor);
  assert.deepEqual(await answered(client, "admin"), investor);
  assert.equal((await refusal(client.mutation("users:setRoles", { userId, roles: ["admin"] }))).code, "forbidden");
  assert.equal((await refusal(client.mutation("users:viewAs", { role: "admin" }))).code, "forbidden");

  const given = await call(server, "mutation", "users:setRoles", { userId, roles: ["investor", "broker"] }, await operatorToken(server));
  assert.equal(given.json.status, "success", JSON.stringify(given.json));
  assert.deepEqual(await answered(client), investor);
  assert.deepEqual(await answered(client, "broker"), broker);
  assert.deepEqual(await answered(client, "admin"), investor);
  await client.mutation("users:viewAs", { role: "broker" });
  assert.deepEqual(await answered(client), broker);
  assert.deepEqual(await answered(client, "investor"), broker);
  await client.mutation("users:viewAs", { role: null });
  assert.deepEqual(await answered(client), investor);
});

test("IA-07: the operator gives roles on the command line, beside the server and without it", async (t) => {
  const own = await Server.start(t, { config });
  const { http: client, userId } = await user(t, own);
  const spool = (...args) => run(["admin", ...args, "--data", own.data, ...own.args]);
  const give = (...args) => spool("roles", ...args);
  const roles = async () => (await client.query("users:me", {})).roles ?? [];

  const given = await give("--user", userId, "--roles", "broker, investor");
  assert.deepEqual([given.code, given.stdout], [0, `${userId} is answered as broker\n`], given.stderr);
  assert.deepEqual(await roles(), ["broker", "investor"]);
  const unknown = await give("--user", userId, "--roles", "broker,emperor");
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /roles\[1\].*admin, broker, investor/);
  assert.deepEqual(await roles(), ["broker", "investor"], "nothing was changed");
  const nobody = await give("--email", "nobody@example.com", "--roles", "broker");
  assert.match(nobody.stderr, /no account has the address nobody@example.com/);

  assert.equal((await spool("invite", "--email", "ada@example.com")).code, 0);
  const ada = await give("--email", "Ada@example.com", "--roles", "broker");
  assert.match(ada.stdout, /^usr_\w+ is answered as broker\n$/, ada.stderr);

  await own.stop();
  const alone = await give("--user", userId, "--roles", "");
  assert.deepEqual([alone.code, alone.stdout], [0, `${userId} is answered as investor\n`], alone.stderr);
  await own.start();
  assert.deepEqual(await roles(), []);
});
