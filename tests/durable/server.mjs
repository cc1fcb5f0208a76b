// The binary under test as a process of its own, for these tests. Ends only what it started, by its handle.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkLog, environmentOf, secret } from "../lib/secrets.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const SPOOL_BIN = path.resolve(here, process.env.SPOOL_BIN ?? "../../target/debug/spool");

const living = new Set();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

async function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Starts a server with an empty data directory. `env` is added to what the binary needs. */
export async function startServer(env = {}) {
  const server = new Server(await freePort(), await mkdtemp(path.join(tmpdir(), "spool-durable-")), env);
  await server.start();
  return server;
}

/** Starts a server that is expected to refuse; resolves with its exit code and what it said. */
export async function runToEnd(args, env = {}) {
  const data = await mkdtemp(path.join(tmpdir(), "spool-durable-"));
  const ended = await run([...args, "--data", data], env);
  await rm(data, { recursive: true, force: true });
  return ended;
}

/** Runs the binary to its end: `{code, stdout, stderr}`. */
async function run(args, env = {}) {
  const { PATH, HOME, TMPDIR } = process.env;
  const child = spawn(SPOOL_BIN, args, { env: { PATH, HOME, TMPDIR, ...env } });
  living.add(child);
  let [stdout, stderr] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
  const code = await new Promise((resolve) => child.once("close", resolve));
  clearTimeout(timer);
  living.delete(child);
  return { code, stdout, stderr };
}

class Server {
  constructor(port, data, env) {
    Object.assign(this, { port, data, env, url: `http://127.0.0.1:${port}`, stderr: "", log: [] });
    environmentOf(env);
  }

  async start() {
    const { PATH, HOME, TMPDIR, RUST_BACKTRACE } = process.env;
    const env = { PATH, HOME, TMPDIR, RUST_BACKTRACE, ...this.env };
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data];
    const child = spawn(SPOOL_BIN, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    living.add(child);
    child.stdout.setEncoding("utf8").on("data", (text) => this.log.push(text));
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.log.push(text);
      this.stderr = (this.stderr + text).slice(-100_000);
    });
    this.silent = new Promise((resolve) => child.once("close", resolve));
    this.exited = new Promise((resolve) => child.once("exit", (code) => resolve(code))).finally(() => living.delete(child));
    for (let attempt = 0; attempt < 600; attempt += 1) {
      if (child.exitCode !== null) throw new Error(`the server ended at its start: ${this.stderr}`);
      const ready = await fetch(`${this.url}/readyz`).then((answer) => answer.status === 200, () => false);
      if (ready) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`the server does not get ready: ${this.stderr}`);
  }

  /** `kill -9`, and a new process over the same data. */
  async crash() {
    this.child.kill("SIGKILL");
    await this.exited;
    await this.start();
  }

  async stop() {
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.silent;
    clearTimeout(timer);
    await rm(this.data, { recursive: true, force: true });
    checkLog(this.log.join(""), `the server of ${this.data}`);
  }

  /** A new service key with these scopes, as a caller: `{token}`. */
  async key(...scopes) {
    const args = scopes.flatMap((scope) => ["--scope", scope]);
    const { code, stdout, stderr } = await run(["key", "create", ...args, "--data", this.data]);
    if (code !== 0) throw new Error(`spool key create: ${stderr}`);
    return { token: secret(stdout.trim().split(/\s+/).at(-1), "a service key") };
  }

  /** `spool doctor` beside the running server; throws what it finds. */
  async healthy() {
    const { code, stdout, stderr } = await run(["doctor", "--data", this.data]);
    if (code !== 0) throw new Error(`spool doctor: ${stdout}${stderr}`);
  }

  /** A new user: `{token, userId}`. */
  async guest() {
    const answer = await fetch(`${this.url}/api/auth/guest`, { method: "POST" });
    return answer.json();
  }

  /** Calls a function over HTTP; throws what it refuses. */
  async call(kind, functionPath, args, token) {
    const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    const body = JSON.stringify({ path: functionPath, args, format: "json" });
    const answer = await (await fetch(`${this.url}/api/${kind}`, { method: "POST", headers, body })).json();
    if (answer.status !== "success") throw new Error(`${functionPath}: ${JSON.stringify(answer)}`);
    return answer.value;
  }
}
