// A scripted model provider over real HTTP. It speaks OpenAI's chat completions at `/v1/chat/completions` and
// Anthropic's messages at `/v1/messages`, from the same scripts, and refuses what the real ones refuse.
//
// A script is a list of steps, played in order:
//   "text" or {text}                  one delta of text
//   {reasoning}                       one delta of reasoning
//   {call: {tool, input, id?}}        a call. `pieces` (default 3) is how many deltas its arguments take,
//                                     `arguments` (text) replaces their JSON, `torn: true` leaves it unclosed,
//                                     `between` (ms, or n => ms | promise) is a pause before the n-th further piece
//   {calls: [call, …]}                parallel calls, their pieces interleaved
//   {serverCall: {tool, input, id?, output}}   a call that the provider runs itself (Anthropic only)
//   {usage: {input, output, cached?, reasoning?}}   what the answer is said to have cost
//   {finish: reason}                  the reason, in OpenAI's words; default `tool_calls` after a call, else `stop`
//   {wait: ms | promise}              a pause; {slow: ms} is one before each of the steps after it
//   {status, message?, type?, headers?}   an HTTP error instead of a stream; {wait} may stand before it
//   {error, type?}                    an error reported inside the stream
//   {cut} the connection breaks · {end} the stream ends without a reason · {hang} nothing more, until the client
//   leaves · {raw: Buffer} bytes as they are · {garbage: text} a frame that is no JSON
// After the last step the answer finishes properly.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { onEnd } from "./cleanup.mjs";
import * as anthropic from "./fake-llm/anthropic.mjs";
import * as openai from "./fake-llm/openai.mjs";
import { words } from "./secrets.mjs";
import { gate } from "./wait.mjs";

const APIS = { "/chat/completions": openai, "/messages": anthropic };

export class FakeLlm {
  /** Starts one that ends with the test (or suite) `t`. */
  static async start(t, options) {
    const fake = new FakeLlm(options);
    await new Promise((resolve) => fake.http.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => fake.close());
    return fake;
  }

  /** Options: key (what `env` and `config` say, and the only one that is accepted if `strict`), strict. */
  constructor({ key = "sk-fake-key-of-the-tests", strict = false } = {}) {
    Object.assign(this, { key, strict });
    /** Every request so far, in order of arrival; see `read`. */
    this.requests = [];
    this.scripts = [];
    this.otherwise = ["Hello", " from", " the", " fake", " model."];
    this.http = http.createServer((request, response) => {
      this.serve(request, response).catch((error) => {
        this.fault ??= error;
        response.destroy();
      });
    });
  }

  get url() {
    return `http://127.0.0.1:${this.http.address().port}`;
  }

  get env() {
    return { OPENAI_BASE_URL: `${this.url}/v1`, OPENAI_API_KEY: this.key, SPOOL_MODEL: "fake-model" };
  }

  /** A section of the configuration: this provider as `name`, which speaks `kind`. */
  config(name, kind, models = ["fake-model"]) {
    const base = kind === "openai" ? `${this.url}/v1` : this.url;
    return `\n[providers.${name}]\nkind = "${kind}"\nbase_url = "${base}"\napi_key = "${this.key}"\nmodels = ${JSON.stringify(models)}\n`;
  }

  /**
   * Answers the requests that `match` means with `steps`, or with what `steps(n, request)` returns for the n-th
   * of them. `match` is a text that the last user message contains, a predicate over the request, or an object
   * of `{asked, system, last, model, api, nth, round}`: texts that are contained (model and api: equal), numbers
   * that are equal. The latest script that means a request answers it.
   */
  script(match, steps) {
    this.scripts.unshift({ means: matcher(match), steps, used: 0 });
    return this;
  }

  /** The requests whose last user message contains `key`. */
  of(key) {
    return this.requests.filter((request) => request.asked.includes(key));
  }

  close() {
    this.http.closeAllConnections();
    return new Promise((resolve, reject) =>
      // A script that could not be played is a mistake of its test, and must not look like a cut stream.
      this.http.close(() => (this.fault === undefined ? resolve() : reject(this.fault))),
    );
  }

  async serve(request, response) {
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // The client died while it asked.
    }
    const api = APIS[Object.keys(APIS).find((path) => request.url.endsWith(path))];
    const refuse = (status, message, type = "invalid_request_error", headers = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(api === anthropic ? { type: "error", error: { type, message } } : { error: { message, type } }));
    };
    if (request.method !== "POST" || api === undefined) return refuse(404, "no such route");
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const record = this.read(api, body, request.headers);
    this.requests.push(record);
    words(record.asked);
    const closed = gate();
    record.closed = closed.opened;
    response.once("close", () => {
      record.closedByClient = !record.done;
      record.closedAt = Date.now();
      closed.open(record.closedByClient);
    });
    const end = (...args) => {
      record.done = true;
      refuse(...args);
    };
    if (this.strict && record.key !== this.key) return end(401, "wrong API key", "authentication_error");
    const fault = api.fault(body);
    if (fault !== undefined) {
      record.refused = fault;
      return end(400, fault);
    }
    const entry = this.scripts.find(({ means }) => means(record));
    const steps = entry === undefined ? this.otherwise : typeof entry.steps === "function" ? entry.steps(entry.used++, record) : entry.steps;
    await play(steps, { response, record, api, refuse: end });
  }

  /**
   * A request as tests want to read it, whatever it was spoken in: api, key, model, system, tools (names), messages
   * (`{role, text, calls: [{id, tool, input}], results: [{id, text, failed}]}`), asked (the last words of the user),
   * last (the text of the last message, results included), results (those after `asked`), round (how many answers
   * with calls there are after `asked`), nth (among all requests).
   */
  read(api, body, headers) {
    const messages = api.messages(body);
    const at = messages.findLastIndex(({ role, text, results }) => role === "user" && (text !== "" || results.length === 0));
    const after = messages.slice(at + 1);
    const results = messages.slice(Math.max(at, 0)).flatMap((message) => message.results);
    return {
      ...{ body, headers, messages, results, api: api.NAME, key: api.key(headers), model: body.model },
      system: api.system(body),
      tools: api.tools(body),
      asked: messages[at]?.text ?? "",
      last: [messages.at(-1)?.text, ...(messages.at(-1)?.results ?? []).map(({ text }) => text)].filter(Boolean).join("\n"),
      round: after.filter(({ calls }) => calls.length > 0).length,
      nth: this.requests.length,
      ...{ at: Date.now(), closedByClient: false, sent: "", sentAt: [], done: false },
    };
  }
}

function matcher(match) {
  if (typeof match === "string") return ({ asked }) => asked.includes(match);
  if (typeof match === "function") return match;
  const exact = new Set(["model", "api", "nth", "round"]);
  const wanted = Object.entries(match);
  for (const [name] of wanted) if (!exact.has(name) && !["asked", "system", "last"].includes(name)) throw new Error(`no such match: ${name}`);
  return (record) => wanted.every(([name, value]) => (exact.has(name) ? record[name] === value : (record[name] ?? "").includes(value)));
}

/** Steps for each round of a turn with tools: the first for the question, the next for its results, and so on. */
export const rounds = (...each) => (_, { round }) => each[Math.min(round, each.length - 1)];

async function play(steps, { response, record, api, refuse }) {
  // Nobody waits for an answer that nobody reads.
  const pause = (wait) => Promise.race([typeof wait === "number" ? sleep(wait, undefined, { ref: false }) : wait, record.closed]);
  const at = steps.findIndex((step) => step.status !== undefined);
  if (at >= 0) {
    for (const { wait } of steps.slice(0, at)) await pause(wait);
    const { status, message = "scripted failure", type = "server_error", headers } = steps[at];
    return refuse(status, message, type, headers);
  }
  const leave = (how) => {
    record.done = true;
    response[how]();
  };
  response.socket.setNoDelay(true);
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.flushHeaders();
  const spoken = steps.filter((step) => typeof step === "string" || step.text !== undefined).length;
  const usage = { input: 7, output: spoken, ...steps.find((step) => step.usage !== undefined)?.usage };
  const answer = new api.Answer((text) => response.destroyed || response.write(text), { usage, prefix: `call_${record.nth}` });
  const between = ({ between }, at) => (between === undefined || at === 0 ? undefined : pause(typeof between === "function" ? between(at) : between));
  let slow = 0;
  let finish;
  for (const step of steps) {
    if (response.destroyed) return;
    if (slow > 0) await pause(slow);
    if (typeof step === "string" || step.text !== undefined) {
      const text = typeof step === "string" ? step : step.text;
      answer.text(text);
      record.sent += words(text);
      record.sentAt.push(Date.now());
    } else if (step.reasoning !== undefined) answer.reasoning(step.reasoning);
    else if (step.call !== undefined) await answer.calls([written(step.call)], between);
    else if (step.calls !== undefined) await answer.calls(step.calls.map(written), between);
    else if (step.serverCall !== undefined) answer.serverCall(step.serverCall);
    else if (step.usage !== undefined) continue;
    else if (step.finish !== undefined) finish = step.finish;
    else if (step.slow !== undefined) slow = step.slow;
    else if (step.wait !== undefined) await pause(step.wait);
    else if (step.raw !== undefined) response.write(step.raw);
    else if (step.garbage !== undefined) response.write(`data: ${step.garbage}\n\n`);
    else if (step.error !== undefined) {
      answer.error(step.error, step.type);
      return leave("end");
    } else if (step.cut) {
      record.done = true;
      // What was written before the break arrives; the end of the body does not.
      return void response.socket.destroySoon();
    } else if (step.end) return leave("end");
    else if (step.hang) return void (await record.closed);
    else throw new Error(`no such step: ${JSON.stringify(step)}`);
  }
  if (response.destroyed) return;
  answer.finish(finish);
  leave("end");
}

/** A call with its arguments as the pieces that are sent. */
function written({ tool, input = {}, id, pieces = 3, arguments: json = JSON.stringify(input), torn = false, between }) {
  const text = torn ? json.slice(0, -1) : json;
  const size = Math.max(1, Math.ceil(text.length / pieces));
  const deltas = [];
  for (let at = 0; at < text.length; at += size) deltas.push(text.slice(at, at + size));
  return { tool, id, deltas, between };
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
