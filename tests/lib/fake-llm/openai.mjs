// OpenAI's chat completions: how its requests are read, what it refuses, and how it writes an answer.

export const NAME = "openai";
const NAMED = /^[\w-]{1,64}$/;

export const key = (headers) => headers.authorization?.replace(/^Bearer /, "");
export const tools = (body) => (body.tools ?? []).map(({ function: { name } }) => name);
export const system = (body) =>
  body.messages
    .filter(({ role }) => role === "system")
    .map(({ content }) => textOf(content))
    .join("\n\n");

export function messages(body) {
  const heard = body.messages.filter(({ role }) => role !== "system");
  return heard.map(({ role, content, tool_calls = [], tool_call_id }) => {
    const text = textOf(content);
    if (role === "tool") return { role, text: "", calls: [], results: [{ id: tool_call_id, text }] };
    const calls = tool_calls.map(({ id, function: { name, arguments: json } }) => ({ id, tool: name, input: JSON.parse(json) }));
    return { role, text, calls, results: [] };
  });
}

/** What the real one would refuse the request for. */
export function fault(body) {
  if (!Array.isArray(body.messages) || body.messages.length === 0) return "messages: must not be empty";
  if (body.tools !== undefined && body.tools.length === 0) return "tools: must not be empty";
  if (body.tool_choice !== undefined && body.tools === undefined) return "tool_choice: only with tools";
  for (const { function: tool } of body.tools ?? []) {
    if (!NAMED.test(tool.name)) return `tools: the name ${JSON.stringify(tool.name)} is not allowed`;
    if (tool.parameters?.type !== "object" || tool.parameters.properties === undefined) return `tools.${tool.name}: parameters must be an object schema with properties`;
  }
  let open = [];
  for (const { role, content, tool_calls, tool_call_id } of body.messages) {
    if (role === "tool") {
      if (!open.includes(tool_call_id)) return `messages with role 'tool' must be a response to a preceding message with 'tool_calls' (${tool_call_id})`;
      open = open.filter((id) => id !== tool_call_id);
      continue;
    }
    if (open.length > 0) return `An assistant message with 'tool_calls' must be followed by tool messages: ${open}`;
    if (content === null && tool_calls === undefined) return "messages: content must not be null";
    if (tool_calls?.length === 0) return "messages: tool_calls must not be empty";
    open = (tool_calls ?? []).map(({ id }) => id);
    for (const { function: { name } } of tool_calls ?? []) if (!NAMED.test(name)) return `messages: the name ${JSON.stringify(name)} is not allowed`;
  }
  return open.length > 0 ? `An assistant message with 'tool_calls' must be followed by tool messages: ${open}` : undefined;
}

export class Answer {
  constructor(write, { usage, prefix }) {
    Object.assign(this, { usage, prefix, called: 0 });
    this.say = (value) => write(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
  }

  chunk(delta, finish_reason = null) {
    const choices = [{ index: 0, delta, finish_reason }];
    return { id: "chatcmpl-fake", object: "chat.completion.chunk", created: 1, model: "fake-model", choices };
  }

  text(content) {
    this.say(this.chunk({ content }));
  }

  reasoning(reasoning_content) {
    this.say(this.chunk({ reasoning_content }));
  }

  async calls(calls, between) {
    const first = this.called;
    this.called += calls.length;
    const piece = (n, rest) => this.say(this.chunk({ tool_calls: [{ index: first + n, ...rest }] }));
    calls.forEach(({ tool, id }, n) => piece(n, { id: id ?? `${this.prefix}_${first + n}`, type: "function", function: { name: tool, arguments: "" } }));
    for (let at = 0; calls.some(({ deltas }) => at < deltas.length); at += 1) {
      for (const [n, call] of calls.entries()) {
        if (at >= call.deltas.length) continue;
        await between(call, at);
        piece(n, { function: { arguments: call.deltas[at] } });
      }
    }
  }

  serverCall() {
    throw new Error("chat completions have no calls that the provider runs");
  }

  error(message, type = "server_error") {
    this.say({ error: { message, type } });
  }

  finish(reason = this.called > 0 ? "tool_calls" : "stop") {
    const { input, output, cached, reasoning } = this.usage;
    this.say(this.chunk({}, reason));
    const usage = { prompt_tokens: input, completion_tokens: output, total_tokens: input + output };
    if (cached !== undefined) usage.prompt_tokens_details = { cached_tokens: cached };
    if (reasoning !== undefined) usage.completion_tokens_details = { reasoning_tokens: reasoning };
    this.say({ ...this.chunk({}), choices: [], usage });
    this.say("[DONE]");
  }
}

function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? "").join("");
}
