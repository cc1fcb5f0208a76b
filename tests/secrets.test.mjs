// OP-06: a whole life of a server with planted secrets, over every wire and through its failures. Afterwards no
// secret is in the data directory, and neither secrets nor what people and models said are in any output.
//
// A new kind of secret gets a line in `planted` and its place in the life below.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { admin, person, tokenOf, Visitor } from "./lib/account.mjs";
import { guest, http, live, page, refusal, send, settled } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Issuer, jwt, seconds } from "./lib/issuer.mjs";
import { browser } from "./lib/push-service.mjs";
import { RawSession } from "./lib/raw.mjs";
import { checkFiles, checkLog, secret, words } from "./lib/secrets.mjs";
import { freePort, run, Server, serviceKey, temporary } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";
import { makeWorker } from "./lib/workers.mjs";

const hidden = (what) => secret(`${what.replace(/\W/g, "-")}-${randomBytes(24).toString("hex")}`, what);
const planted = {
  openai: hidden("provider key of the environment"),
  anthropic: hidden("provider key of the file"),
  shared: hidden("secret of an issuer"),
  client: hidden("secret of a client of a provider"),
  password: hidden("password"),
  hook: hidden("secret of a webhook"),
};
/** What is said, by whom or where. */
const say = (where) => words(`said-${where}-${randomUUID()}`, `what was said in ${where}`);
const text = Object.fromEntries(
  ["title", "instructions", "question", "answer", "reasoning", "retry", "chat", "file", "file name", "artifact", "tool", "approval", "stream", "query", "path", "name", "webhook"].map((where) => [where.replace(" ", ""), say(where.replace(" ", "-"))]),
);

const config = (issuer, fake) => `
instructions = "${text.instructions}"
[providers.file]
kind = "anthropic"
base_url = "${fake.env.OPENAI_BASE_URL}"
api_key = "${planted.anthropic}"
models = ["claude"]
${issuer.config()}
[[auth.issuers]]
issuer = "shared"
audience = "spool"
secret = "\${SHARED_SECRET}"
[[auth.providers]]
id = "unreachable"
name = "Unreachable"
issuer = "http://127.0.0.1:9"
client_id = "spool"
client_secret = "${planted.client}"
[approvals]
webhook_url = "http://127.0.0.1:9/${text.webhook}"
webhook_secret = "${planted.hook}"
allow_private = true
`;

/** Sends what it is given as it is; the answer only must be one. */
async function raw(server, method, target, token, body, headers = {}) {
  const response = await fetch(server.url + target, {
    method,
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }), ...headers },
    body,
    signal: AbortSignal.timeout(15_000),
  });
  const answer = await response.text();
  assert.ok(response.status < 500 || response.status === 503, `${method} ${target}: ${response.status} ${answer}`);
  return { status: response.status, answer };
}

/** Conversations, files, approvals and streams, in order. Answers with what is still going on. */
async function goodLife(t, server, fake, token, key) {
  const client = live(t, server, token);
  fake.script(text.question, [{ reasoning: text.reasoning }, text.answer]);
  fake.script(text.chat, [text.answer]);
  const threadId = await client.mutation("threads:create", { title: text.title });
  const sent = await send(client, text.question, threadId);
  assert.equal((await settled(client, sent.messageId)).text, text.answer);
  const upload = await raw(server, "POST", `/api/uploads?threadId=${threadId}&name=${text.filename}`, token, text.file, { "content-type": "text/plain" });
  const { _id: uploadId } = JSON.parse(upload.answer);
  const { url } = await client.mutation("uploads:readUrl", { uploadId, ttlSeconds: 60 });
  secret(new URL(url, server.url).searchParams.get("signature"), "the signature of a URL");
  assert.equal((await raw(server, "GET", new URL(url, server.url).pathname + new URL(url, server.url).search)).answer, text.file);
  const { artifactId } = await client.mutation("artifacts:create", { threadId, kind: "plan", title: "plan", content: text.artifact });
  const backend = http(server, key);
  const { generationId } = await backend.mutation("generations:open", { threadId });
  await backend.mutation("generations:append", { generationId, events: [{ type: "tool_start", toolCallId: "t", tool: "shell", input: { command: text.tool } }] });
  const asked = await backend.mutation("approvals:request", { generationId, kind: "question", question: text.approval });
  // Nobody listens there: the notice fails, and says nothing of where it goes or what was asked.
  const { subscription } = browser({ url: "http://127.0.0.1:9" });
  await client.mutation("push:subscribe", subscription);
  const told = await backend.mutation("approvals:request", { generationId, kind: "question", question: `${text.approval}, again` });
  await until(() => server.stderr.includes("a notice was not delivered"), { what: "a notice that fails" });
  await client.mutation("approvals:decide", { approvalId: told._id, decision: "approve", edited: text.approval });
  await client.mutation("approvals:decide", { approvalId: asked._id, decision: "approve", reason: text.approval });
  await backend.mutation("generations:finish", { generationId, status: "complete" });
  await client.query("artifacts:get", { artifactId });
  await raw(server, "GET", `/api/stream/${sent.generationId}`, token);
  const chat = JSON.stringify({ id: `chat-${randomUUID()}`, messages: [{ id: "m", role: "user", parts: [{ type: "text", text: text.chat }] }] });
  assert.ok((await raw(server, "POST", "/api/chat", token, chat)).answer.includes(text.answer));
  const plain = { "content-type": "text/plain" };
  assert.equal((await raw(server, "PUT", `/v1/stream/${text.path}`, token, text.stream, plain)).status, 201);
  assert.ok((await raw(server, "GET", `/v1/stream/${text.path}?offset=-1`, token)).answer.includes(text.stream));
  const session = await RawSession.open(t, server);
  session.authenticate(token);
  session.modify([["messages:page", { threadId, ...page() }]]);
  await session.settled();
  await session.mutation("threads:update", { threadId, title: text.title });
  await session.close();
  return { client, threadId };
}

/** Credentials of every kind that the server gives or takes, used rightly and wrongly. */
async function identities(t, server, client, threadId) {
  const { visitor, token } = await person(server, "ada@example.com", planted.password);
  await visitor.ok("token");
  for (const wrong of [hidden("wrong password"), hidden("another wrong password")]) await visitor.post("sign-in", { email: "ada@example.com", password: wrong });
  await visitor.post("password", { old: planted.password, new: hidden("next password") });
  await visitor.post("reset", { token: hidden("made up link"), password: hidden("password of nobody") });
  secret(tokenOf(await admin(server, "reset", "--email", "ada@example.com")), "the token of a link");
  await new Visitor(server).post("sign-up", { email: "eve@example.com", password: hidden("password of a sign-up") });
  await raw(server, "GET", "/api/auth/oidc/unreachable/callback?code=x&state=y");
  const worker = await makeWorker(server, { http: http(server, token) });
  const rotated = await http(server, token).action("workers:rotate", { workerId: worker.workerId });
  secret(rotated.token, "a worker's next token");
  for (const old of [worker.token, `${rotated.token.slice(0, -4)}AAAA`]) await raw(server, "GET", "/api/query?path=users:me", old);
  const shareId = await client.mutation("shares:create", { threadId, mode: "live" });
  const { path: link } = await client.query("shares:get", { shareId });
  const share = secret(link.slice("/s/".length), "the token of a share");
  await raw(server, "GET", link);
  await http(server).query("shares:view", { token: share });
  await client.mutation("shares:revoke", { shareId });
  await refusal(http(server).query("shares:view", { token: share }));
}

/** Everything that goes wrong in ways that could make somebody print what he has in hand. */
async function badLife(t, server, fake, token, key, tokens) {
  const client = live(t, server, token);
  for (const [name, steps] of Object.entries({
    refused: [{ status: 401, message: `Incorrect API key provided: ${planted.openai}. You said: ${text.question}` }],
    broken: [{ status: 500, message: `${planted.openai} ${text.question}` }],
    reported: [text.answer, { error: `key ${planted.openai}` }],
    cut: [text.answer, { cut: true }],
    raw: [{ raw: Buffer.from(`data: {"choices":[{"delta":{"content":"${text.answer}"\n\n`) }, { end: true }],
  })) {
    const question = words(`${text.retry} ${name}`);
    fake.script(question, steps);
    const { messageId } = await send(client, question);
    assert.equal((await settled(client, messageId)).status, "error", name);
  }
  fake.script({ model: "claude" }, [{ status: 404, message: `no such model for ${planted.anthropic}`, type: "not_found_error" }]);
  const threadId = await client.mutation("threads:create", { model: "file/claude" });
  assert.equal((await settled(client, (await send(client, text.question, threadId)).messageId)).status, "error");

  for (const bad of tokens) {
    for (const scheme of ["Bearer", "Convex", "Basic", "bearer x"]) await raw(server, "GET", "/api/query?path=users:me", undefined, undefined, { authorization: `${scheme} ${bad}` });
    await raw(server, "GET", `/v1/stream/x?offset=-1&token=${bad}&signature=${bad}&expires=1`);
    await raw(server, "GET", `/api/uploads/x?signature=${bad}&expires=9`);
    await raw(server, "GET", `/${bad}/x.js`);
    const session = await RawSession.open(t, server);
    session.authenticate(bad);
    session.modify([["users:me", {}]]);
    await within(session.closed, "the socket to be closed");
  }
  for (const [method, target, body, headers] of [
    ["POST", "/api/mutation", `{"path":"turns:send","args":{"text":"${text.question}"`],
    ["POST", "/api/mutation", JSON.stringify({ path: "turns:send", args: { threadId: text.question, text: text.question, [text.name]: 1 } })],
    ["POST", "/api/mutation", JSON.stringify({ path: text.name, args: { text: text.question } })],
    ["POST", `/api/run/${text.path}/${text.name}`, JSON.stringify({ args: { text: text.question } })],
    ["GET", `/api/query?path=threads:find&args=${encodeURIComponent(JSON.stringify({ externalId: text.query }))}`],
    ["GET", `/api/query?path=threads:find&args=${text.query}`],
    ["POST", "/api/chat", `{"id":"x","messages":[{"role":"user","parts":[{"type":"text","text":"${text.chat}"}]}`],
    ["POST", "/api/chat", JSON.stringify({ id: text.name, messages: [{ role: "user", parts: [{ type: "file", url: `data:${text.file}` }] }] })],
    ["POST", `/v1/stream/${text.path}`, `{"${text.stream}`, { "content-type": "application/json" }],
    ["PUT", `/v1/stream/${text.path}`, text.stream, { "content-type": text.stream, "stream-ttl": text.stream }],
    ["GET", `/api/stream/${text.path}?offset=${text.query}`],
    ["POST", "/api/uploads?threadId=x&name=y", text.file, { "content-type": "text/plain" }],
  ]) {
    await raw(server, method, target, token, body, headers);
    await raw(server, method, target, undefined, body, headers);
  }
  const session = await RawSession.open(t, server);
  session.authenticate(token);
  session.modify([["users:me", {}]]);
  await session.settled();
  session.send(`{"type":"Mutation","requestId":1,"udfPath":"${text.name}","args":[{"text":"${text.question}"}]}`);
  session.send(`{"type":"${text.name}","value":"${token}"`);
  session.send(`{"type":"Authenticate","baseVersion":"${token}"}`);
  await within(session.closed, "the socket to be closed");
  // A webhook that cannot be delivered; its address is its owner's secret.
  const hook = { type: "webhook", webhook: { url: `http://127.0.0.1:${await freePort()}/${text.webhook}` }, streams: ["hooked"] };
  await raw(server, "PUT", "/v1/stream/hooked", token, "", { "content-type": "text/plain" });
  assert.equal((await raw(server, "PUT", "/v1/stream/__ds/subscriptions/hook", token, JSON.stringify(hook))).status, 201);
  await raw(server, "POST", "/v1/stream/hooked", token, text.stream, { "content-type": "text/plain" });
  await until(() => server.stderr.includes("webhook was not delivered"), { what: "a webhook that fails" });
  assert.equal((await refusal(http(server, key).mutation("generations:append", { generationId: text.name, events: [{ type: text.tool }] }))).code.length > 0, true);
}

/** Starts that fail, with secrets where the mistake is. */
async function falseStarts(t) {
  for (const wrong of [
    `[providers.x]\nkind = "openai"\napi_key = "${planted.openai}\n`,
    `[providers.x]\nkind = "openai"\napi_key = ["${planted.openai}"]\n`,
    `[providers.x]\nkind = "openai"\nkey = "${planted.openai}"\n`,
    `[[auth.issuers]]\nissuer = "x"\naudience = "y"\nsecret = "${planted.shared}"\nalgorithms = ["RS256"]\n`,
    `[[auth.issuers]]\nissuer = "x"\naudience = "y"\nkeys = ["${planted.shared}"]\n`,
    `[[auth.issuers]]\nissuer = "x"\naudience = "y"\njwks = "https://user:${planted.shared}@[::1/"\n`,
  ]) {
    const file = path.join(await temporary(t, "config"), "spool.toml");
    await writeFile(file, wrong);
    const { code, stdout, stderr } = await run(["serve", "--config", file, "--data", await temporary(t)]);
    assert.notEqual(code, 0, wrong);
    checkLog(stdout + stderr, `a start that fails with ${wrong.split("\n").at(-2)}`);
  }
}

const contents = async (dir) => (await Promise.all((await readdir(dir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => readFile(path.join(entry.parentPath ?? entry.path, entry.name), "latin1")))).join("\n");

test("OP-06: no secret is in the data directory, and no secret and no text in any log, whatever happens", { timeout: 180_000 }, async (t) => {
  const [issuer, fake] = [await Issuer.start(t), await FakeLlm.start(t)];
  const env = { ...fake.env, OPENAI_API_KEY: planted.openai, SHARED_SECRET: planted.shared, SPOOL_DEV_OPEN_STREAMS: "1" };
  const server = await Server.start(t, { env, config: config(issuer, fake) });
  const key = await serviceKey(server);
  const own = await guest(server);
  const foreign = issuer.token({ sub: "someone", name: text.name });
  const { client, threadId } = await goodLife(t, server, fake, own.token, key);
  await goodLife(t, server, fake, foreign, key);
  const tokens = [
    `${own.token.slice(0, -6)}AAAAAA`,
    issuer.token({ exp: seconds(-60) }),
    issuer.token({ iss: "https://elsewhere.example" }),
    jwt({ alg: "HS256" }, { iss: "shared", aud: "spool", sub: "x", exp: seconds(60) }, { secret: "another" }),
    planted.openai,
    secret(`spk_${randomBytes(32).toString("base64url")}`, "a key that was never made"),
    foreign.replaceAll(".", "-"),
  ];
  tokens.forEach((token) => secret(token, "a token that is refused"));
  await identities(t, server, client, threadId);
  await badLife(t, server, fake, own.token, key, tokens);
  await falseStarts(t);

  // Crashes while an answer is being made, and an orderly end.
  fake.script(text.question, [text.answer, { hang: true }]);
  const going = await send(client, text.question, threadId);
  await until(async () => (await client.query("generations:get", { generationId: going.generationId })).cursor > 0, { what: "an answer that is being made" });
  await server.restart();
  assert.equal((await settled(client, going.messageId)).status, "interrupted");
  const doctor = await run(["doctor", "--data", server.data]);
  checkLog(doctor.stdout + doctor.stderr, "spool doctor");
  const stored = await contents(server.data);
  await server.stop();

  const log = server.log.join("");
  assert.match(log, /ready/, "there is a log");
  assert.throws(() => checkLog(`x ${own.token} y`, "a log"), /a guest's token/);
  assert.throws(() => checkLog(`x ${text.answer} y`, "a log"), /answer/);
  assert.ok(stored.includes(text.answer) && stored.includes(text.file), "the directory that is searched is the one that is written");
  await checkFiles(server.data);
});
