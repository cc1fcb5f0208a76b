// How much one caller may ask for, and one user may have, over every wire. Loopback is exempt by default, so
// these servers are told that it is not.

import assert from "node:assert/strict";
import net from "node:net";
import { after, describe, test } from "node:test";
import { codeOf, guest, http, live, refusal, settled } from "./lib/clients.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { until, within } from "./lib/wait.mjs";

const limited = (lines, more = "") => ({ config: `[limits]\nexempt_loopback = false\n${lines}\n${more}` });
const RARE = "per_second = 0.01";

const post = (server, path, body, headers = {}) =>
  fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
const bearer = (token) => ({ authorization: `Bearer ${token}` });

describe("OP-11: rate limits", { concurrency: true }, () => {
  test("over HTTP: 429 with Retry-After and a code, for the user who asks too much and nobody else", async () => {
    const server = await Server.start({ after }, limited(`writes = { ${RARE}, burst = 3 }\nreads = { ${RARE}, burst = 2 }`));
    const [one, two] = [await guest(server), await guest(server)];
    const create = (token) => post(server, "/api/mutation", { path: "threads:create", args: {} }, bearer(token));
    for (let n = 0; n < 3; n += 1) assert.equal((await create(one.token)).status, 200);
    const refused = await create(one.token);
    assert.equal(refused.status, 429);
    const body = await refused.json();
    assert.equal(body.code, "rate_limited");
    assert.ok(body.retryAfterMs > 50_000 && body.retryAfterMs <= 100_000, JSON.stringify(body));
    assert.equal(Number(refused.headers.get("retry-after")), Math.ceil(body.retryAfterMs / 1000));
    assert.equal((await create(two.token)).status, 200);
    const read = () => post(server, "/api/query", { path: "users:me", args: {} }, bearer(one.token));
    assert.deepEqual([(await read()).status, (await read()).status, (await read()).status], [200, 200, 429]);
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  });

  test("it comes back by itself", async () => {
    const server = await Server.start({ after }, limited("writes = { per_second = 20, burst = 1 }"));
    const client = http(server, (await guest(server)).token);
    const tries = [];
    for (let n = 0; n < 20; n += 1) tries.push(client.mutation("threads:create", {}).then(() => "made", (error) => JSON.parse(error.message).code));
    assert.ok((await Promise.all(tries)).includes("rate_limited"));
    await until(() => client.mutation("threads:create", {}).catch(() => false), { what: "a mutation to be taken again" });
  });

  test("over the sync socket mutations count with those over HTTP, and are refused one by one", async (t) => {
    const server = await Server.start({ after }, limited(`writes = { ${RARE}, burst = 4 }`));
    const { token } = await guest(server);
    const client = live(t, server, token);
    await http(server, token).mutation("threads:create", {});
    for (let n = 0; n < 3; n += 1) await client.mutation("threads:create", {});
    const data = await refusal(client.mutation("threads:create", {}));
    assert.equal(data.code, "rate_limited");
    assert.ok(data.retryAfterMs > 0);
    assert.equal(await codeOf(client.action("turns:sendAndWait", { threadId: "thr_00000000000000000000000000", text: "x" })), "rate_limited");
    assert.equal(await codeOf(http(server, token).mutation("threads:create", {})), "rate_limited");
    // The socket is the same one, and reads go on.
    assert.equal((await client.query("threads:page", { paginationOpts: { numItems: 10, cursor: null } })).page.length, 4);
    assert.equal(client.connectionState().connectionCount, 1);
    assert.deepEqual(client.faults, []);
  });

  test("a client that goes on without a pause is sent away with a reason", async (t) => {
    const server = await Server.start({ after }, limited(`writes = { ${RARE}, burst = 1 }\nreads = { ${RARE}, burst = 50 }`));
    const flood = await RawSession.open(t, server);
    flood.modify([["server:info", {}]]);
    flood.authenticate((await guest(server)).token);
    await flood.settled();
    for (let n = 0; n < 150; n += 1) flood.request("Mutation", "threads:create", {});
    const close = await within(flood.closed, "the flood to be cut");
    assert.deepEqual([close.code, close.reason], [1013, "TooManyConcurrentRequests: rate_limited"]);
    const refusals = flood.messages.filter((message) => message.errorData?.code === "rate_limited");
    assert.ok(refusals.length > 50, `${refusals.length} answers before it`);

    const churn = await RawSession.open(t, server);
    for (let n = 0; n < 100 && churn.close_ === undefined; n += 1) churn.modify([["server:info", {}]]);
    assert.equal((await within(churn.closed, "the churn to be cut")).reason, "TooManyConcurrentRequests: rate_limited");
  });

  test("refused credentials and guests count for the address, and proxies speak for others only if trusted", async () => {
    const lines = `sign_in = { ${RARE}, burst = 3 }\ntrusted_proxies = ["127.0.0.1"]`;
    const server = await Server.start({ after }, { config: `[limits]\n${lines}\n` });
    const wrong = (from) => post(server, "/api/query", { path: "users:me", args: {} }, { ...bearer("bad"), "x-forwarded-for": from });
    for (let n = 0; n < 3; n += 1) assert.equal((await wrong("198.51.100.1")).status, 401);
    assert.equal((await wrong("198.51.100.1")).status, 429);
    assert.equal((await wrong("6.6.6.6, 198.51.100.1")).status, 429, "what the client wrote itself does not count");
    assert.equal((await wrong("198.51.100.2")).status, 401);
    const signIn = (from) => post(server, "/api/auth/guest", {}, { "x-forwarded-for": from });
    assert.equal((await signIn("198.51.100.1")).status, 429);
    assert.equal((await signIn("198.51.100.3")).status, 200);
    assert.equal((await post(server, "/api/auth/guest", {})).status, 200, "this machine itself is exempt");

    const strange = await Server.start({ after }, { config: `[limits]\nsign_in = { ${RARE}, burst = 2 }\n` });
    const through = () => post(strange, "/api/auth/guest", {}, { "x-forwarded-for": "198.51.100.1" });
    assert.deepEqual([(await through()).status, (await through()).status, (await through()).status], [200, 200, 429]);
  });

  test("an event stream of a durable stream is one that is opened; a signed URL counts for the address, a forged one like a wrong token", async () => {
    const server = await Server.start({ after }, limited(`streams = { ${RARE}, burst = 2 }\nreads = { ${RARE}, burst = 3 }\nsign_in = { ${RARE}, burst = 4 }`));
    const { token } = await guest(server);
    const at = `${server.url}/v1/stream/counted`;
    const open = async (url, headers = {}, init = {}) => {
      const answer = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(15_000) });
      await answer.body?.cancel();
      return answer.status;
    };
    const times = async (count, ask) => {
      const statuses = [];
      for (let n = 0; n < count; n += 1) statuses.push(await ask());
      return statuses;
    };
    assert.equal(await open(at, { ...bearer(token), "content-type": "text/plain" }, { method: "PUT" }), 201);
    assert.deepEqual(await times(3, () => open(`${at}?offset=-1&live=sse`, bearer(token))), [200, 200, 429]);
    const { url } = await http(server, token).mutation("streams:readUrl", { path: "counted", ttlSeconds: 60 });
    assert.deepEqual(await times(4, () => open(server.url + url)), [200, 200, 200, 429]);
    assert.equal(await open(at, bearer(token)), 200, "its owner has reads of her own");
    // The guest has taken the first.
    const forged = server.url + url.replace(/(signature=[^.]+)\.[0-9a-f]+/, `$1.${"0".repeat(64)}`);
    assert.deepEqual(await times(4, () => open(forged)), [401, 401, 401, 429]);
  });

  test("connections of one address are bounded, a closed one makes room, a socket keeps its place", async (t) => {
    const server = await Server.start({ after }, limited("connections_per_address = 3"));
    const open = () =>
      new Promise((resolve, reject) => {
        const socket = net.connect(server.port, "127.0.0.1");
        let text = "";
        socket.on("data", (data) => (text += data));
        socket.on("error", reject);
        socket.on("close", () => resolve({ socket, text }));
        socket.on("connect", () => socket.write("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"));
        // One that is served stays open.
        until(() => text.includes("HTTP/1.1 200"), { timeout: 3000 }).then(() => resolve({ socket, text }), () => {});
      });
    // The connection of the start's readiness probe may still be open: fetch keeps it.
    const sync = await RawSession.open(t, server);
    const held = [];
    let refused;
    for (let n = 0; n < 4 && refused === undefined; n += 1) {
      const one = await open();
      if (one.text.startsWith("HTTP/1.1 429")) refused = one;
      else held.push(one.socket);
    }
    assert.match(refused?.text ?? "no connection was refused", /retry-after: 1[^]*"rate_limited"/i);
    assert.ok(held.length <= 2, "the sync socket has a place, too");
    for (const socket of held) socket.destroy();
    await until(async () => {
      const { socket, text } = await open();
      socket.destroy();
      return text.startsWith("HTTP/1.1 200");
    }, { what: "room for another connection" });
    assert.equal(sync.close_, undefined);
  });

  test("nobody on this machine is limited unless the configuration says so", async () => {
    const server = await Server.start({ after }, { config: `[limits]\nwrites = { ${RARE}, burst = 1 }\nconnections_per_address = 1\n` });
    const client = http(server, (await guest(server)).token);
    for (let n = 0; n < 5; n += 1) await client.mutation("threads:create", {});
  });
});

describe("OP-11: quotas", { concurrency: true }, () => {
  test("tokens of a month: counted by the end of answers, refused with the time of their return, on every wire", async (t) => {
    const server = await Server.start({ after }, { config: "[quotas]\ntokens_per_month = 20\n" });
    const { token } = await guest(server);
    const client = live(t, server, token);
    const threadId = await client.mutation("threads:create", {});
    const usage = { inputTokens: 15, outputTokens: 6 };
    const backend = http(server, await serviceKey(server));
    const { generationId, messageId } = await backend.mutation("generations:open", { threadId, text: "hello" });
    await backend.mutation("generations:finish", { generationId, status: "complete", text: "hi", usage });
    await settled(client, messageId);
    const seen = await client.query("usage:me", {});
    assert.deepEqual(seen.tokens, { used: 21, limit: 20 });
    assert.equal(seen.month, new Date().toISOString().slice(0, 7));
    const data = await refusal(client.mutation("turns:send", { threadId, text: "more" }));
    assert.deepEqual([data.code, data.quota, data.limit, data.used, data.resetsAt], ["quota_exceeded", "tokens", 20, 21, seen.resetsAt]);
    assert.equal(new Date(data.resetsAt).getUTCDate(), 1);
    assert.equal(await codeOf(http(server, token).mutation("turns:send", { threadId, text: "more" })), "quota_exceeded");
    const chat = await post(server, "/api/chat", { id: "my-chat", messages: [{ id: "m", role: "user", parts: [{ type: "text", text: "hi" }] }] }, bearer(token));
    assert.equal(chat.status, 429);
    assert.ok(Number(chat.headers.get("retry-after")) > 0);
    assert.equal((await chat.json()).code, "quota_exceeded");
  });

  test("threads and storage", async () => {
    const server = await Server.start({ after }, { config: "[quotas]\nthreads = 1\nstorage_bytes = 10\n" });
    const { token } = await guest(server);
    const client = http(server, token);
    const threadId = await client.mutation("threads:create", {});
    assert.deepEqual((({ code, limit, used }) => [code, limit, used])(await refusal(client.mutation("threads:create", {}))), ["quota_exceeded", 1, 1]);
    const upload = (bytes) =>
      fetch(`${server.url}/api/uploads?threadId=${threadId}&name=a.txt`, { method: "POST", headers: { ...bearer(token), "content-type": "text/plain" }, body: "x".repeat(bytes) });
    const first = await upload(8);
    assert.equal(first.status, 201);
    const refused = await upload(3);
    assert.equal(refused.status, 429);
    const body = await refused.json();
    assert.deepEqual([body.code, body.quota, body.limit, body.used, body.wanted], ["quota_exceeded", "storage", 10, 8, 3]);
    assert.deepEqual((await client.query("usage:me", {})).storageBytes, { used: 8, limit: 10 });
    await client.mutation("uploads:remove", { uploadId: (await first.json())._id });
    assert.equal((await upload(10)).status, 201);
  });
});
