// A server-sent events reader after the WHATWG text: UTF-8 with BOM, CR, LF and CRLF, comments, several
// data lines, ids that persist and are ignored with a NUL. Owns parsing only; reconnecting is the test's.

/** Cuts a stream of byte chunks into events `{event, data, id}`; `id` is the last event id in force. */
export class SseParser {
  constructor(lastEventId = "") {
    this.decoder = new TextDecoder("utf-8"); // drops a leading BOM, as the text demands
    this.buffer = "";
    this.afterCr = false;
    this.id = lastEventId;
    this.reset();
  }

  reset() {
    this.data = [];
    this.event = "";
  }

  push(bytes) {
    this.buffer += this.decoder.decode(bytes, { stream: true });
    const events = [];
    for (;;) {
      if (this.afterCr && this.buffer.length > 0) {
        if (this.buffer[0] === "\n") this.buffer = this.buffer.slice(1);
        this.afterCr = false;
      }
      const end = this.buffer.search(/[\r\n]/);
      if (end < 0) return events;
      const line = this.buffer.slice(0, end);
      this.afterCr = this.buffer[end] === "\r";
      this.buffer = this.buffer.slice(end + 1);
      const event = this.line(line);
      if (event !== null) events.push(event);
    }
  }

  line(line) {
    if (line === "") {
      const { data, event } = this;
      this.reset();
      return data.length === 0 ? null : { event: event || "message", data: data.join("\n"), id: this.id };
    }
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
    return null;
  }
}

/** Events of `url` until the server ends the response or `signal` fires. Throws on any status but 200. */
export async function* sse(url, { headers = {}, signal } = {}) {
  const response = await fetch(url, { headers: { accept: "text/event-stream", ...headers }, signal });
  if (response.status !== 200) {
    throw Object.assign(new Error(`HTTP ${response.status} from ${url}`), { status: response.status, body: await response.text() });
  }
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("text/event-stream")) throw new Error(`not an event stream but ${type}`);
  const parser = new SseParser(headers["last-event-id"] ?? "");
  for await (const bytes of response.body) yield* parser.push(bytes);
}

export const FINAL_EVENTS = new Set(["done", "stopped", "error"]);

/**
 * Follows a generation over SSE from `offset` (as Last-Event-ID, or as `?offset=` with `query`) to its final
 * event, or until `stop({text, reasoning, events})` says so; then the connection is cut by this side.
 */
export async function followSse(server, token, generationId, { offset, query = false, stop, timeout = 30_000 } = {}) {
  const headers = { authorization: `Bearer ${token}` };
  const url = new URL(`${server.url}/api/stream/${generationId}`);
  if (offset !== undefined && query) url.searchParams.set("offset", offset);
  else if (offset !== undefined) headers["last-event-id"] = String(offset);
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(new Error(`SSE took longer than ${timeout} ms`)), timeout);
  const seen = { text: "", reasoning: "", events: [], offset: offset === undefined ? undefined : String(offset), final: null };
  try {
    for await (const event of sse(url, { headers, signal: cut.signal })) {
      const data = JSON.parse(event.data);
      seen.events.push({ ...event, data });
      if (event.id !== "") seen.offset = event.id;
      if (event.event === "text") seen.text += data.text;
      if (event.event === "reasoning") seen.reasoning += data.text;
      if (FINAL_EVENTS.has(event.event)) {
        seen.final = { event: event.event, ...data };
        break;
      }
      if (stop?.(seen)) break;
    }
    return seen;
  } finally {
    clearTimeout(timer);
    cut.abort();
  }
}
