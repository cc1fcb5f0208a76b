// A scripted model provider that speaks OpenAI's streaming chat completions.
//
// A script is a list of steps: a string (one delta), {text}, {reasoning}, {wait: ms | promise}, {status,
// message} (an HTTP error instead of a stream), {error} (reported inside the stream), {cut} (the
// connection breaks), {end} (the stream ends without a reason), {hang} (nothing more, until the client
// leaves), {raw: Buffer} (bytes as they are). After the last step the answer finishes properly. The script
// of a request is the first whose key is contained in its last user message.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { onEnd } from "./cleanup.mjs";
import { words } from "./secrets.mjs";
import { gate } from "./wait.mjs";

export class FakeLlm {
  /** Starts one that ends with the test (or suite) `t`. */
  static async start(t) {
    const fake = new FakeLlm();
    await new Promise((resolve) => fake.http.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => fake.close());
    return fake;
  }

  constructor() {
    /** Every request so far, in order of arrival. */
    this.requests = [];
    this.scripts = [];
    this.otherwise = ["Hello", " from", " the", " fake", " model."];
    this.http = http.createServer((request, response) => {
      this.serve(request, response).catch(() => response.destroy());
    });
  }

  get env() {
    const { port } = this.http.address();
    return { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: "sk-fake-key-of-the-tests", SPOOL_MODEL: "fake-model" };
  }

  /** Answers requests whose last user message contains `key` with `steps` (or with what `steps(n)` returns for the n-th). */
  script(key, steps) {
    this.scripts.unshift({ key, steps, used: 0 });
    return this;
  }

  /** The requests whose last user message contains `key`. */
  of(key) {
    return this.requests.filter((request) => request.asked.includes(key));
  }

  close() {
    this.http.closeAllConnections();
    return new Promise((resolve) => this.http.close(resolve));
  }

  async serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    if (request.method !== "POST" || !request.url.endsWith("/chat/completions")) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":{"message":"no such route"}}');
      return;
    }
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const asked = textOf(body.messages.findLast((message) => message.role === "user")?.content);
    const closed = gate();
    const record = { body, asked, headers: request.headers, at: Date.now(), closedByClient: false, closed: closed.opened, sent: "", sentAt: [], done: false };
    this.requests.push(record);
    words(asked);
    response.once("close", () => {
      record.closedByClient = !record.done;
      record.closedAt = Date.now();
      closed.open(record.closedByClient);
    });
    const entry = this.scripts.find(({ key }) => asked.includes(key));
    const steps = entry === undefined ? this.otherwise : typeof entry.steps === "function" ? entry.steps(entry.used++) : entry.steps;
    await play(steps, response, record);
  }
}

async function play(steps, response, record) {
  const say = (value) => response.write(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
  const chunk = (delta, finish_reason = null) => ({
    id: "chatcmpl-fake",
    object: "chat.completion.chunk",
    created: 1,
    model: "fake-model",
    choices: [{ index: 0, delta, finish_reason }],
  });
  const first = steps[0];
  if (first?.status !== undefined) {
    record.done = true;
    const error = { message: first.message ?? "scripted failure", type: first.type ?? "server_error" };
    response.writeHead(first.status, { "content-type": "application/json" }).end(JSON.stringify({ error }));
    return;
  }
  response.socket.setNoDelay(true);
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.flushHeaders();
  let tokens = 0;
  for (const step of steps) {
    if (response.destroyed) return;
    if (typeof step === "string" || step.text !== undefined) {
      const text = typeof step === "string" ? step : step.text;
      tokens += 1;
      say(chunk({ content: text }));
      record.sent += words(text);
      record.sentAt.push(Date.now());
    } else if (step.reasoning !== undefined) {
      say(chunk({ reasoning_content: step.reasoning }));
    } else if (step.raw !== undefined) {
      response.write(step.raw);
    } else if (step.wait !== undefined) {
      await (typeof step.wait === "number" ? sleep(step.wait) : Promise.race([step.wait, record.closed]));
    } else if (step.error !== undefined) {
      say({ error: { message: step.error, type: "server_error" } });
      record.done = true;
      response.end();
      return;
    } else if (step.cut) {
      record.done = true;
      response.destroy();
      return;
    } else if (step.end) {
      record.done = true;
      response.end();
      return;
    } else if (step.hang) {
      await record.closed;
      return;
    } else {
      throw new Error(`no such step: ${JSON.stringify(step)}`);
    }
  }
  if (response.destroyed) return;
  say(chunk({}, "stop"));
  const usage = { prompt_tokens: 7, completion_tokens: tokens, total_tokens: 7 + tokens };
  say({ ...chunk({}), choices: [], usage });
  say("[DONE]");
  record.done = true;
  response.end();
}

function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? "").join("");
}

/** `count` deltas with a pause before each. */
export function paced(count, ms, word = (n) => `w${n} `) {
  return Array.from({ length: count }, (_, n) => [{ wait: ms }, word(n)]).flat();
}

/** `text` as one content chunk whose JSON is cut into `pieces` of raw bytes: characters break in the middle. */
export function bytewise(text, size) {
  const frame = Buffer.from(
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`,
  );
  const steps = [];
  for (let at = 0; at < frame.length; at += size) steps.push({ raw: frame.subarray(at, at + size) }, { wait: 1 });
  return steps;
}
