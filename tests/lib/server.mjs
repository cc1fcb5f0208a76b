// The binary under test as a process: start, stop, kill, restart over the same data and port. Ends only
// processes that it started itself, by pid.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { onEnd } from "./cleanup.mjs";
import { checkFiles, checkLog, environmentOf, secret } from "./secrets.mjs";
import { until, within } from "./wait.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const SPOOL_BIN = path.resolve(root, process.env.SPOOL_BIN ?? "target/debug/spool");

const living = new Set();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});
// A runner that loses patience ends this process by signal; what it started ends with it.
for (const [signal, number] of [["SIGTERM", 15], ["SIGINT", 2]]) process.once(signal, () => process.exit(128 + number));

/** An empty directory that is removed when the test (or suite) `t` ends. */
export async function temporary(t, name = "data") {
  const dir = await mkdtemp(path.join(tmpdir(), `spool-test-${name}-`));
  onEnd(t, () => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}

/** A port that nobody listens on, below the range from which outgoing connections take theirs. */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 18_000 + Math.floor(Math.random() * 12_000);
    const free = await new Promise((resolve) => {
      const probe = net.createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error("no free port found");
}

/** Only what the binary needs: no provider key of the machine may leak into a test. */
function environment(env) {
  const { PATH, HOME, TMPDIR, RUST_BACKTRACE, LLVM_PROFILE_FILE } = process.env;
  const base = { PATH, HOME, TMPDIR, RUST_BACKTRACE, LLVM_PROFILE_FILE, ...env };
  return Object.fromEntries(Object.entries(base).filter(([, value]) => value !== undefined));
}

export class Server {
  /**
   * Starts a server that ends with the test (or suite) `t`. Options: data, port, env, args, config (TOML),
   * within (a command that ends by executing its further arguments).
   */
  static async start(t, options = {}) {
    const data = options.data ?? (await temporary(t));
    const server = new Server({ port: await freePort(), ...options, data });
    if (options.config !== undefined) {
      const file = path.join(await temporary(t, "config"), "spool.toml");
      await writeFile(file, options.config);
      server.args = [...server.args, "--config", file];
    }
    onEnd(t, async () => {
      await server.stop();
      await checkFiles(data);
    });
    await server.start();
    return server;
  }

  constructor({ data, port, env = {}, args = [], within: command = [] }) {
    Object.assign(this, { data, port, env, args, command });
    this.stderr = "";
    /** All that its processes ever said. */
    this.log = [];
    this.child = null;
    environmentOf(env);
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get wsUrl() {
    return `ws://127.0.0.1:${this.port}`;
  }

  get pid() {
    return this.child?.pid;
  }

  async start({ timeout = 30_000 } = {}) {
    const serve = [SPOOL_BIN, "serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data, ...this.args];
    const [program, ...argv] = [...this.command, ...serve];
    const child = spawn(program, argv, { env: environment(this.env), stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    living.add(child);
    child.stdout.setEncoding("utf8").on("data", (text) => this.log.push(text));
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.log.push(text);
      this.stderr = (this.stderr + text).slice(-200_000);
    });
    this.silent = new Promise((resolve) => child.once("close", resolve));
    this.exited = new Promise((resolve) => {
      child.once("error", (error) => resolve({ code: null, error }));
      child.once("exit", (code, signal) => resolve({ code, signal }));
    }).then((exit) => {
      living.delete(child);
      if (this.child === child) this.child = null;
      return exit;
    });
    let exit;
    this.exited.then((value) => (exit = value));
    await until(
      async () => {
        if (exit !== undefined) return true;
        return (await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2000) })).status === 200;
      },
      { timeout, every: 10, what: `${this.url}/readyz` },
    );
    if (exit !== undefined) {
      throw new Error(`the server ended at its start: ${JSON.stringify(exit)}\n${this.stderr}`, { cause: exit.error });
    }
    return this;
  }

  /** The orderly way out: SIGTERM; what does not go then is killed, and that is an error. */
  async stop({ timeout = 10_000 } = {}) {
    const { child, exited } = this;
    if (child === null) return this.checkLog();
    child.kill("SIGTERM");
    try {
      const exit = await within(exited, "the server to end after SIGTERM", timeout);
      await this.checkLog();
      return exit;
    } catch (error) {
      child.kill("SIGKILL");
      await exited;
      throw error;
    }
  }

  /** Throws if what it said has a secret in it, or what somebody wrote to somebody. */
  async checkLog() {
    await within(this.silent, "the server's last words").catch(() => {});
    checkLog(this.log.join(""), `the server of ${this.data}`);
  }

  /** `kill -9`. */
  async kill() {
    const { child, exited } = this;
    if (child === null) return;
    child.kill("SIGKILL");
    await exited;
  }

  async restart(options) {
    await this.kill();
    return this.start(options);
  }
}

/** Runs the binary to its end: `{code, signal, stdout, stderr}`. */
export async function run(args, { env = {}, timeout = 20_000, cwd } = {}) {
  const child = spawn(SPOOL_BIN, args, { env: environment(env), cwd, stdio: ["ignore", "pipe", "pipe"] });
  living.add(child);
  const out = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => (out.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (out.stderr += text));
  const closed = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, ...out }));
  }).finally(() => living.delete(child));
  try {
    return await within(closed, `spool ${args.join(" ")} to end`, timeout);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/** A service key that may call everything (or what `scopes` say), made beside the running server. */
export async function serviceKey(server, scopes = ["*"]) {
  const { code, stdout, stderr } = await run(["key", "create", ...scopes.flatMap((scope) => ["--scope", scope]), "--data", server.data]);
  if (code !== 0) throw new Error(`spool key create failed (${code}): ${stderr}`);
  const key = stdout.split(/\s+/).filter((word) => word.length >= 20).at(-1);
  if (key === undefined) throw new Error(`spool key create printed no key: ${stdout}`);
  return secret(key, "a service key");
}
