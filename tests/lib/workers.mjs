// Workers as their owner makes them and as they call, for tests.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { http } from "./clients.mjs";
import { secret } from "./secrets.mjs";

/** A worker of `owner`, approved: `{machineId, workerId, token, client, epoch}`; `client` calls as the worker. */
export async function makeWorker(server, owner, { connect = true } = {}) {
  const machineId = await owner.http.mutation("machines:create", { name: "machine" });
  const { worker, token } = await owner.http.action("workers:create", { machineId, name: "worker" });
  secret(token, "a worker's token");
  secret(token.slice(token.lastIndexOf("secret_")), "a worker's secret");
  await owner.http.mutation("workers:approve", { workerId: worker._id });
  const client = http(server, token);
  const epoch = connect ? (await client.mutation("workers:connect", {})).epoch : undefined;
  return { machineId, workerId: worker._id, token, client, epoch };
}

/** A call of a function over plain HTTP: `{status, json}`. */
export async function call(server, kind, name, args, token) {
  const response = await fetch(`${server.url}/api/${kind}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ path: name, args, format: "json" }),
    signal: AbortSignal.timeout(15_000),
  });
  return { status: response.status, json: await response.json() };
}

/** The token with which the operator of a running server calls internal functions. */
export async function operatorToken(server) {
  return JSON.parse(await readFile(path.join(server.data, "admin.json"), "utf8")).token;
}
