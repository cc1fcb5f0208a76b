// Roles through the front door: what the model is told follows from the server's own idea of the user.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { refusal, settled, user } from "./lib/clients.mjs";
import { Server } from "./lib/server.mjs";
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
