// Anthropic's messages: how its requests are read, what it refuses, and how it writes an answer.

export const NAME = "anthropic";
const NAMED = /^[\w-]{1,128}$/;
const REASONS = { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use", content_filter: "refusal" };

export const key = (headers) => headers["x-api-key"];
export const tools = (body) => (body.tools ?? []).map(({ name }) => name);
export const system = (body) => body.system ?? "";

const blocks = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content);

export function messages(body) {
  return body.messages.map(({ role, content }) => {
    const all = blocks(content);
    const of = (type) => all.filter((block) => block.type === type);
    return {
      role,
      text: of("text").map(({ text }) => text).join(""),
      calls: of("tool_use").map(({ id, name, input }) => ({ id, tool: name, input })),
      results: of("tool_result").map(({ tool_use_id, content = "", is_error = false }) => ({ id: tool_use_id, text: content, failed: is_error })),
    };
  });
}

/** What the real one would refuse the request for. */
export function fault(body) {
  if (!Number.isInteger(body.max_tokens)) return "max_tokens: field required";
  if (!Array.isArray(body.messages) || body.messages.length === 0) return "messages: at least one message is required";
  if (body.messages[0].role !== "user") return "messages: first message must use the \"user\" role";
  for (const { name, input_schema } of body.tools ?? []) {
    if (!NAMED.test(name)) return `tools: the name ${JSON.stringify(name)} is not allowed`;
    if (input_schema?.type !== "object") return `tools.${name}: input_schema.type must be object`;
  }
  if (body.tool_choice !== undefined && (body.tools ?? []).length === 0) return "tool_choice may only be specified while providing tools";
  const seen = new Set();
  let open = [];
  for (const [n, { role, content }] of body.messages.entries()) {
    if (role !== "user" && role !== "assistant") return `messages.${n}.role: must be user or assistant`;
    const all = blocks(content);
    if (all.length === 0) return `messages.${n}: content must not be empty`;
    if (all.some(({ type, text }) => type === "text" && text.trim() === "")) return `messages.${n}: text content blocks must be non-empty`;
    const answered = all.filter(({ type }) => type === "tool_result").map(({ tool_use_id }) => tool_use_id);
    const missing = open.filter((id) => !answered.includes(id));
    if (missing.length > 0) return `messages.${n}: tool_use ids were found without tool_result blocks immediately after: ${missing}`;
    if (answered.some((id) => !open.includes(id))) return `messages.${n}: unexpected tool_use_id in tool_result blocks`;
    if (answered.length > 0 && all.slice(0, answered.length).some(({ type }) => type !== "tool_result")) return `messages.${n}: tool_result blocks must come first`;
    open = [];
    for (const { type, id, name, input } of all.filter(({ type }) => type === "tool_use")) {
      if (role !== "assistant") return `messages.${n}: ${type} only in messages of the assistant`;
      if (!/^[\w-]+$/.test(id) || seen.has(id)) return `messages.${n}: the id ${JSON.stringify(id)} is not allowed or not unique`;
      if (!NAMED.test(name)) return `messages.${n}: the name ${JSON.stringify(name)} is not allowed`;
      if (typeof input !== "object" || input === null || Array.isArray(input)) return `messages.${n}: input should be a valid dictionary`;
      seen.add(id);
      open.push(id);
    }
  }
  if (seen.size > 0 && (body.tools ?? []).length === 0) return "Requests which include `tool_use` or `tool_result` blocks must define tools";
  return open.length > 0 ? `tool_use ids were found without tool_result blocks: ${open}` : undefined;
}

export class Answer {
  constructor(write, { usage, prefix }) {
    Object.assign(this, { usage, prefix, called: 0, index: -1, kind: null });
    this.say = (value) => write(`event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`);
    const { input, cached } = usage;
    const counted = { input_tokens: input - (cached ?? 0), output_tokens: 1, ...(cached !== undefined && { cache_read_input_tokens: cached }) };
    const message = { id: "msg_fake", type: "message", role: "assistant", model: "fake-model", content: [], stop_reason: null, usage: counted };
    this.say({ type: "message_start", message });
    this.say({ type: "ping" });
  }

  start(kind, content_block) {
    this.stop();
    this.kind = kind;
    this.index += 1;
    this.say({ type: "content_block_start", index: this.index, content_block });
  }

  stop() {
    if (this.kind !== null) this.say({ type: "content_block_stop", index: this.index });
    this.kind = null;
  }

  delta(delta, index = this.index) {
    this.say({ type: "content_block_delta", index, delta });
  }

  text(text) {
    if (this.kind !== "text") this.start("text", { type: "text", text: "" });
    this.delta({ type: "text_delta", text });
  }

  reasoning(thinking) {
    if (this.kind !== "thinking") this.start("thinking", { type: "thinking", thinking: "", signature: "" });
    this.delta({ type: "thinking_delta", thinking });
  }

  /** The real one finishes a block before the next; the pieces of each call come at once. */
  async calls(calls, between) {
    for (const call of calls) {
      const { tool, id, deltas } = call;
      this.start("tool_use", { type: "tool_use", id: id ?? `${this.prefix}_${this.called}`, name: tool, input: {} });
      this.called += 1;
      this.delta({ type: "input_json_delta", partial_json: "" });
      for (const [at, partial_json] of deltas.entries()) {
        await between(call, at);
        this.delta({ type: "input_json_delta", partial_json });
      }
      this.stop();
    }
  }

  serverCall({ tool, input, output, id = `srv_${this.index + 1}` }) {
    this.start("server_tool_use", { type: "server_tool_use", id, name: tool, input: {} });
    this.delta({ type: "input_json_delta", partial_json: JSON.stringify(input) });
    this.start("result", { type: `${tool}_tool_result`, tool_use_id: id, content: output });
    this.stop();
  }

  error(message, type = "overloaded_error") {
    this.say({ type: "error", error: { type, message } });
  }

  finish(reason = this.called > 0 ? "tool_calls" : "stop") {
    this.stop();
    this.say({ type: "message_delta", delta: { stop_reason: REASONS[reason] ?? reason, stop_sequence: null }, usage: { output_tokens: this.usage.output } });
    this.say({ type: "message_stop" });
  }
}
