// A server of HTTP tools, as somebody outside would run one: it keeps what it was called with, has effects once for
// each idempotency key, and can be told to wait.

import http from "node:http";
import { onEnd } from "./cleanup.mjs";

export class ToolServer {
  /** Starts one that ends with the test (or suite) `t`. */
  static async start(t) {
    const tools = new ToolServer();
    await new Promise((resolve) => tools.http.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => {
      tools.http.closeAllConnections();
      return new Promise((resolve) => tools.http.close(resolve));
    });
    return tools;
  }

  constructor() {
    /** Every call so far: `{name, input, key, caller}`. */
    this.calls = [];
    /** What really happened, by key. */
    this.effects = new Map();
    this.answers = new Map();
    this.http = http.createServer((request, response) => this.serve(request, response).catch(() => response.destroy()));
  }

  /** How the tool of this name answers: a value, or a function of the call that returns one, or a promise of one. */
  on(name, answer) {
    this.answers.set(name, answer);
    return this;
  }

  of(name) {
    return this.calls.filter((call) => call.name === name);
  }

  async serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const call = {
      name: request.url.slice(1),
      input: JSON.parse(Buffer.concat(chunks).toString("utf8") || "{}"),
      key: request.headers["idempotency-key"],
      caller: request.headers["spool-caller"],
    };
    this.calls.push(call);
    const answer = this.answers.get(call.name) ?? { ok: true };
    const value = await (typeof answer === "function" ? answer(call, this) : answer);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(value));
  }

  /** A section of the configuration: the tool `name`, with these further lines. */
  config(name, lines = "", input = '{ type = "object", properties = { of = { type = "string" } }, additionalProperties = false }') {
    const { port } = this.http.address();
    return `\n[tools.http.${name}]\ndescription = "Does ${name}."\nurl = "http://127.0.0.1:${port}/${name}"\nallow_private = true\ninput = ${input}\n${lines}\n`;
  }
}
