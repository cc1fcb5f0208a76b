// Who is told that an approval waits: a browser by Web Push, which only its own keys open, and a webhook, signed.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import net from "node:net";
import { after, describe, test } from "node:test";
import { guest, http, page, user } from "./lib/clients.mjs";
import { browser, checkSender, PushService, signatureOf } from "./lib/push-service.mjs";
import { secret, words } from "./lib/secrets.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { never, until } from "./lib/wait.mjs";

const suite = { after };
const hooks = await PushService.start(suite);
const hookSecret = secret(randomBytes(24).toString("hex"), "the secret of a webhook");
const config = `
public_url = "http://localhost:3210"
[approvals]
allow_private = true
webhook_url = "${hooks.url}/hook"
webhook_secret = "\${HOOK_SECRET}"
push_contact = "mailto:ops@example.com"
`;
const server = await Server.start(suite, { config, env: { HOOK_SECRET: hookSecret } });
const key = await serviceKey(server);

/** A person with an answer that a backend makes, which asks. */
async function begin(t, at = server, secretKey = key) {
  const person = await user(t, at);
  const backend = http(at, secretKey);
  const threadId = await person.client.mutation("threads:create", {});
  const { generationId } = await backend.mutation("generations:open", { threadId, text: "pay" });
  const input = { planted: words(`argument-${randomBytes(12).toString("hex")}`, "an argument") };
  let calls = 0;
  const ask = (more = {}) => backend.mutation("approvals:request", { generationId, kind: "tool_call", toolCallId: `t${(calls += 1)}`, tool: "pay", input: {}, ...more });
  return { ...person, backend, threadId, ask, input };
}

describe("notices", { concurrency: true }, () => {
  test("AP-01: a browser is told by a message that only it can open", async (t) => {
    const service = await PushService.start(t);
    const { http: direct, threadId, ask } = await begin(t);
    const phone = browser(service);
    const { pushKey } = await direct.query("server:info", {});
    assert.equal(Buffer.from(pushKey, "base64url").length, 65);
    await direct.mutation("push:subscribe", phone.subscription);
    assert.deepEqual((await direct.query("push:list", {})).map(({ endpoint }) => endpoint), [phone.subscription.endpoint]);
    const asked = await ask({ input: { text: "never in a notice" } });
    await until(() => service.of(phone.name).length === 1);
    const [message] = service.of(phone.name);
    assert.deepEqual([message.method, message.headers["content-encoding"], message.headers.urgency], ["POST", "aes128gcm", "high"]);
    const ttl = Number(message.headers.ttl);
    assert.ok(ttl > 86_000 && ttl <= 86_400, `${ttl} s, as long as the approval waits`);
    checkSender(message, service, pushKey);
    const payload = phone.open(message.body);
    assert.deepEqual(payload, {
      title: "A tool waits for your approval",
      body: "pay",
      url: `http://localhost:3210/t/${threadId}?approval=${asked._id}`,
      approvalId: asked._id,
    });
    assert.throws(() => browser(service).open(message.body), "another browser cannot read it");
  });

  test("AP-04: a service that fails is asked again; one that says gone is forgotten", async (t) => {
    const service = await PushService.start(t);
    const { http: direct, client, ask } = await begin(t);
    const phone = browser(service);
    await direct.mutation("push:subscribe", phone.subscription);
    service.answers.push(503, 201);
    const asked = await ask();
    await until(() => service.of(phone.name).length === 2, { timeout: 30_000 });
    assert.deepEqual(service.of(phone.name).map(({ body }) => phone.open(body).approvalId), [asked._id, asked._id]);
    service.answers.push(410);
    await ask();
    await until(async () => (await client.query("push:list", {})).length === 0);
    assert.equal(service.messages.length, 3);
  });

  test("AP-04: what a dead server owed is sent by the next one", async (t) => {
    const service = await PushService.start(t);
    const own = await Server.start(t, { config: "[approvals]\nallow_private = true\n" });
    const { token, http: direct, ask } = await begin(t, own, await serviceKey(own));
    const phone = browser(service);
    await direct.mutation("push:subscribe", phone.subscription);
    // The first try fails, so the notice is owed when the server dies.
    service.answers.push(503);
    const asked = await ask();
    await until(() => service.messages.length === 1);
    await own.kill();
    await own.start();
    await until(() => service.messages.length > 1, { timeout: 75_000, every: 100 });
    assert.equal(phone.open(service.messages[1].body).approvalId, asked._id);
    assert.equal((await http(own, token).query("approvals:list", page())).pendingCount, 1);
  });

  test("AP-01: the webhook is told ids, kind, tool and time, signed, and never the arguments", async (t) => {
    const { threadId, userId, ask, input } = await begin(t);
    const asked = await ask({ input });
    const mine = () => hooks.messages.find(({ body }) => body.includes(asked._id));
    await until(() => mine() !== undefined);
    const message = mine();
    const told = JSON.parse(message.body);
    assert.deepEqual(
      [told.type, told.approvalId, told.threadId, told.userId, told.kind, told.tool, told.expiresAt, told.approversNeeded],
      ["approval.requested", asked._id, threadId, userId, "tool_call", "pay", asked.expiresAt, 1],
    );
    assert.ok(!message.body.includes(input.planted));
    assert.equal(message.headers["webhook-signature"], signatureOf(message, hookSecret));
    assert.ok(Math.abs(Number(message.headers["webhook-timestamp"]) - Date.now() / 1000) < 60);
    assert.equal(hooks.messages.filter(({ body }) => body.includes(asked._id)).length, 1);
  });

  test("AP-01: a browser that never answers keeps neither the webhook nor other people waiting", async (t) => {
    const tarpit = net.createServer((socket) => socket.on("error", () => {}).resume());
    await new Promise((resolve) => tarpit.listen(0, "127.0.0.1", resolve));
    const sockets = new Set();
    let open = 0;
    tarpit.on("connection", (socket) => {
      sockets.add(socket);
      open += 1;
      socket.on("close", () => (open -= 1));
    });
    t.after(() => {
      sockets.forEach((socket) => socket.destroy());
      return new Promise((resolve) => tarpit.close(resolve));
    });
    const slow = await begin(t);
    for (let n = 0; n < 20; n += 1) {
      const stuck = browser({ url: `http://127.0.0.1:${tarpit.address().port}` });
      await slow.http.mutation("push:subscribe", stuck.subscription);
    }
    const asked = [];
    for (let n = 0; n < 5; n += 1) asked.push(await slow.ask());
    await until(() => open > 0, { what: "the first browser to be called" });
    // Less than one of the hundred calls takes before it is given up.
    const service = await PushService.start(t);
    const other = await begin(t);
    const phone = browser(service);
    await other.http.mutation("push:subscribe", phone.subscription);
    const theirs = await other.ask();
    const told = (id) => hooks.messages.some(({ body }) => body.includes(id));
    await until(() => service.of(phone.name).length === 1 && told(theirs._id) && asked.every(({ _id }) => told(_id)), { timeout: 8_000, what: "everybody else to be told" });
    assert.equal(open, 1, "one at a time");
  });

  test("AP-01: an endpoint inside the network is never called, and what was decided is told to nobody", async (t) => {
    const service = await PushService.start(t);
    const own = await Server.start(t);
    const { http: direct, client, ask } = await begin(t, own, await serviceKey(own));
    await direct.mutation("push:subscribe", browser(service).subscription);
    await ask();
    await until(async () => (await client.query("push:list", {})).length === 0, { what: "the subscription to be dropped" });
    await never(() => service.messages.length > 0, 200, "a private address was called");
    assert.ok((await guest(own)).token !== undefined);
  });
});
