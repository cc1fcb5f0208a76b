// The stage of the authorization matrix: a server, an owner with a row of every kind, everybody who is not the
// owner, and the cases, which are generated from the function table (`make generate`).
//
// A new kind of caller is one line in `callers`. A new kind of id is one line in `rowsOf`.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { person } from "../lib/account.mjs";
import { guest, http, page, send } from "../lib/clients.mjs";
import { FakeLlm, rounds } from "../lib/fake-llm.mjs";
import { Issuer, seconds } from "../lib/issuer.mjs";
import { run, Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { makeWorker } from "../lib/workers.mjs";

const table = JSON.parse(await readFile(new URL("cases.json", import.meta.url), "utf8"));

/** Every public function with its arguments, and every internal one. */
export const functions = table.filter(({ access }) => access !== "System");
export const internal = table.filter(({ access }) => access === "System");

/** What everything of the owner's has in it that can be seen. */
export const MARK = "seen-only-by-its-owner";

/** What a caller is told, by what the function's row says of access and by what the caller is. */
const ANSWERS = {
  Anyone: { anonymous: "as its own", user: "as its own", key: "as its own", worker: "as its own" },
  User: { anonymous: "unauthenticated", user: "as its own", key: "forbidden", worker: "forbidden" },
  Service: { anonymous: "unauthenticated", user: "forbidden", key: "forbidden", worker: "forbidden" },
  Worker: { anonymous: "unauthenticated", user: "forbidden", key: "forbidden", worker: "as its own" },
  Reader: { anonymous: "unauthenticated", user: "as its own", key: "forbidden", worker: "as its own" },
  Runner: { anonymous: "unauthenticated", user: "forbidden", key: "forbidden", worker: "as its own" },
};
/** What a caller does to itself: the answer is not of the matrix. */
const OF_ITSELF = new Set(["account:deleteMyAccount", "workers:heartbeat", "workers:assigned"]);

export function expected({ path, access, takesIds }, caller) {
  if (caller.is === "refused") return "invalid_token";
  if (access === "System") return "function_not_found";
  const answer = ANSWERS[access]?.[caller.is];
  if (answer === undefined) throw new Error(`${path} is for ${access}: say in tests/matrix/world.mjs what ${caller.is} is told`);
  if (answer !== "as its own") return answer;
  if (OF_ITSELF.has(path)) return "its own business";
  return takesIds ? "nothing there" : "answered";
}

/** Everybody who is not the owner. `may` is what this one has a right to, and is not asked for; `args` go with a runner's calls. */
async function callers(server, issuer) {
  const token = issuer.token({ sub: "other" });
  const worker = await makeWorker(server, { http: http(server, token) });
  const administrator = await person(server, "operator@example.com", "a password of the operator", { by: "create" });
  return [
    { name: "nobody", is: "anonymous", token: null },
    { name: "a guest", is: "user", token: (await guest(server)).token },
    { name: "another user", is: "user", token },
    { name: "another user who claims a role", is: "user", token: issuer.token({ sub: "climber", role: "admin", roles: ["admin"], scope: "*" }) },
    { name: "an administrator", is: "user", token: administrator.token, may: ["users:setRoles"] },
    { name: "a worker of somebody else", is: "worker", token: worker.token, may: ["workers:connect"], args: { epoch: worker.epoch } },
    { name: "a key for something else", is: "key", token: await serviceKey(server, ["nothing:*"]) },
    { name: "a key that was never made", is: "refused", token: `spk_${randomUUID()}${randomUUID()}` },
    { name: "a token that is over", is: "refused", token: issuer.token({ sub: "owner", exp: seconds(-60) }) },
    { name: "a token that was changed", is: "refused", token: token.replace(/\.[^.]+\./, `.${issuer.token({ sub: "owner" }).split(".")[1]}.`) },
  ];
}

/** A row of every kind that has an id, and more around them. The names are those of the placeholders in the cases. */
async function rowsOf(token, server, fake, viewer) {
  fake.script(`${MARK} fails`, rounds([MARK, { call: { tool: MARK } }], [{ error: "scripted" }]));
  // It goes on for ten minutes: a model that is silent for two is given up.
  const thinks = Array.from({ length: 10 }, () => [{ wait: 60_000 }, { raw: Buffer.from(": thinking\n\n") }]).flat();
  fake.script(`${MARK} goes on`, [MARK, ...thinks, { hang: true }]);
  const [owner, backend] = [http(server, token), http(server, await serviceKey(server))];
  const thread = await owner.mutation("threads:create", { title: MARK, externalId: "theirs" });
  const failed = await send(owner, `${MARK} fails`, thread);
  const status = async (messageId) => (await owner.query("messages:get", { messageId })).status;
  await until(async () => (await status(failed.messageId)) === "error", { what: "an answer that failed" });
  const { page: [{ _id: toolCall }] } = await owner.query("toolCalls:listByThread", { threadId: thread, ...page() });
  const { artifactId } = await owner.mutation("artifacts:create", { threadId: thread, kind: "plan", title: MARK, content: MARK, key: "k" });
  await backend.mutation("sessions:open", { threadId: thread, runtime: "theirs" });
  const { generationId } = await backend.mutation("generations:open", { threadId: thread });
  const asked = await backend.mutation("approvals:request", { generationId, kind: "plan", artifactId });
  await backend.mutation("generations:finish", { generationId, status: "complete", text: MARK });
  const going = await owner.mutation("turns:send", { threadId: thread, text: `${MARK} goes on`, requestId: "r1" });
  const progress = () => owner.query("generations:get", { generationId: going.generationId });
  await until(async () => (await progress()).cursor >= MARK.length, { what: "an answer that is being made" });
  const upload = await uploaded(server, token, thread);
  const { _id: userId } = await http(server, viewer).query("users:me", {});
  const share = await owner.mutation("shares:grant", { threadId: thread, userId });
  // The owner comes from an issuer and has no session here; that of a third person is as foreign.
  const { sessionId: session } = await person(server, "third@example.com", "a password of the third");
  const machine = await owner.mutation("machines:create", { name: MARK });
  const { worker } = await owner.action("workers:create", { machineId: machine, name: MARK });
  const { _id: user } = await owner.query("users:me", {});
  const { _id: rule } = await owner.mutation("rules:create", { tool: MARK, effect: "allow" });
  const { args: browser } = functions.find(({ path }) => path === "push:subscribe");
  const push = await owner.mutation("push:subscribe", { ...browser, endpoint: `https://push.invalid/${MARK}` });
  const answers = { message: failed.messageId, generation: going.generationId };
  return { thread, ...answers, artifact: artifactId, approval: asked._id, toolCall, upload, session, share, machine, worker: worker._id, user, rule, push };
}

async function uploaded(server, token, thread) {
  const url = `${server.url}/api/uploads?threadId=${thread}&name=${MARK}.txt`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "text/plain" };
  const response = await fetch(url, { method: "POST", headers, body: MARK });
  return (await response.json())._id;
}

/** A well formed id of nothing, for each id. */
const nowhere = (ids) => Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, `${id.slice(0, id.indexOf("_"))}_${"0".repeat(26)}`]));

/** `value` with the ids in place of their names. */
export function filled(value, ids) {
  if (Array.isArray(value)) return value.map((item) => filled(item, ids));
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, ids)]));
  if (typeof value !== "string") return value;
  return value.replace(/\$(\w+)/g, (_, name) => {
    if (ids[name] === undefined) throw new Error(`the cases name $${name}: make one in rowsOf of tests/matrix/world.mjs`);
    return ids[name];
  });
}

/** `{server, issuer, owner, ids, none, callers}`; it ends with `t`. */
export async function world(t) {
  const [issuer, fake] = [await Issuer.start(t), await FakeLlm.start(t)];
  const server = await Server.start(t, { env: fake.env, config: issuer.config() });
  const token = issuer.token({ sub: "owner", name: MARK });
  const viewer = issuer.token({ sub: "viewer" });
  await http(server, viewer).query("users:me", {});
  const ids = await rowsOf(token, server, fake, viewer);
  const { _id: userId } = await http(server, token).query("users:me", {});
  return { server, issuer, token, viewer, userId, ids, none: nowhere(ids), callers: await callers(server, issuer) };
}

/** All that the owner can see, by every query of the table. Also proves that the cases are good ones. */
export async function sight({ server, token, viewer, ids }) {
  const owner = http(server, token);
  const sharedWith = http(server, viewer);
  const seen = {};
  for (const { path, kind, access, args, takesIds } of functions) {
    // What the owner has used changes with what the owner does.
    if (kind !== "query" || ["Service", "Worker", "Runner"].includes(access) || path === "usage:me") continue;
    // What is shared is read by whom it is shared with.
    const reader = access === "Anyone" && takesIds ? sharedWith : owner;
    seen[path] = await reader.query(path, filled(args, ids));
    if (takesIds && seen[path] === null) throw new Error(`${path}: the case shows its owner nothing`);
  }
  seen.threads = await owner.query("threads:page", page());
  seen.bytes = await (await fetch(`${server.url}/api/uploads/${ids.upload}`, { headers: { authorization: `Bearer ${token}` } })).text();
  return seen;
}

/** Every invariant of the stored rows holds. */
export async function healthy(server) {
  const { code, stdout } = await run(["doctor", "--data", server.data]);
  if (code !== 0) throw new Error(`the doctor found: ${stdout}`);
}

/** Fails if `text` holds anything of the owner's. */
export function checkSecret({ ids, userId }, text, where) {
  for (const own of [MARK, userId, ...Object.values(ids)]) {
    if (text.includes(own)) throw new Error(`${where} shows ${own}: ${text.slice(0, 500)}`);
  }
}

/** Without what differs between two answers to the same question: the request's id and its time. */
export const scrubbed = (text) => text.replace(/(request_?id\W{2,5})[0-9a-f]{16}/gi, "$1<request>").replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>");
