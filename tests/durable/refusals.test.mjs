// Bad input, by table: every malformed header, parameter and body with the status that the protocol names;
// bytes that try to forge an event on each wire that writes event streams; names of others; hosts of others.

import { request as raw } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startServer } from "./server.mjs";

let server, ada, bob, worker;

beforeAll(async () => {
  server = await startServer({ SPOOL_STREAM_LONG_POLL_MS: "300" });
  [ada, bob, worker] = [await server.guest(), await server.guest(), await server.key("*")];
});
afterAll(() => server?.stop());

/** A request whose header lines are sent as they are: `{status, headers, body}` with the body as bytes. */
function send(target, { method = "GET", headers = {}, body, who = ada, at = server } = {}) {
  const [own, options] = [who && { authorization: `Bearer ${who.token}` }, { method, agent: false }];
  return new Promise((resolve, reject) => {
    const outgoing = raw(at.url + target, { ...options, headers: { ...own, ...headers } }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

const at = (path) => `/v1/stream/${path}`;
const TEXT = { "content-type": "text/plain" };
const JSON_TYPE = { "content-type": "application/json" };
let made = 0;

async function created(headers = TEXT, body) {
  const path = `refusals/${(made += 1)}`;
  expect((await send(at(path), { method: "PUT", headers, body })).status).toBe(201);
  return path;
}

describe("the protocol's statuses", () => {
  test("of creations", async () => {
    const source = await created(TEXT, "12345");
    const list = await created(JSON_TYPE, "[1,2]");
    const fork = (path, more = {}) => ({ "stream-forked-from": at(path), ...more });
    const cases = [
      [{ "content-type": "nonsense" }, 400], [{ "content-type": "/" }, 400], [{ "content-type": "a/b/c" }, 400], [{ "content-type": "te xt/plain" }, 400],
      [{ "content-type": ["text/plain", "text/html"] }, 400],
      ...["", "-1", "+1", "01", "1.0", "1e3", "0x10", "1 ", "a", "NaN", "99999999999999999999", ["5", "6"]].map((ttl) => [{ ...TEXT, "stream-ttl": ttl }, ttl === "1 " ? 201 : 400]),
      ...["", "tomorrow", "2099-01-01", "2099-13-01T00:00:00Z", "2099-01-01T00:00:00", "1700000000", "2099-02-30T00:00:00Z"].map((until) => [{ ...TEXT, "stream-expires-at": until }, 400]),
      [{ ...TEXT, "stream-ttl": "5", "stream-expires-at": "2099-01-01T00:00:00Z" }, 400],
      [{ "stream-fork-offset": "0" }, 400], [{ "stream-fork-sub-offset": "0" }, 400],
      [fork("refusals/none"), 404], [fork("__ds/x"), 404], [{ "stream-forked-from": "" }, 404], [{ "stream-forked-from": [at(source), at(list)] }, 400],
      ...["-1", "", "x", "1.5", "6", "now", "9999999999999999"].map((offset) => [fork(source, { "stream-fork-offset": offset }), 400]),
      ...["-1", "", "01", "6", "1.5"].map((past) => [fork(source, { "stream-fork-offset": "0", "stream-fork-sub-offset": past }), 400]),
      [fork(source, { "stream-fork-offset": "5", "stream-fork-sub-offset": "1" }), 400],
      [fork(source, JSON_TYPE), 409], [fork(list, TEXT), 409],
    ];
    for (const [headers, status] of cases) {
      const answer = await send(at(`refusals/put-${(made += 1)}`), { method: "PUT", headers });
      expect(answer.status, `${JSON.stringify(headers)} ${answer.body}`).toBe(status);
    }
    for (const body of ["{", "[1,", "1 2", "\ufeff1", Buffer.from([0x22, 0xff, 0x22])]) {
      expect((await send(at(`refusals/put-${(made += 1)}`), { method: "PUT", headers: JSON_TYPE, body })).status, String(body)).toBe(400);
    }
    // The name is taken: the same again is fine, anything else is not.
    for (const [headers, status] of [[TEXT, 200], [{ "content-type": "TEXT/PLAIN; a=b" }, 200], [JSON_TYPE, 409], [{ ...TEXT, "stream-closed": "true" }, 409], [{ ...TEXT, "stream-ttl": "9" }, 409], [{ ...TEXT, ...fork(list) }, 409]]) {
      expect((await send(at(source), { method: "PUT", headers })).status, JSON.stringify(headers)).toBe(status);
    }
    for (const [path, status] of [["", 404], ["__ds", 404], ["__ds/x", 404], ["%5F%5Fds/x", 404], ["a%00b", 400], ["a%0d%0ab", 400], ["%ff", 400], ["a".repeat(1025), 413], ["generations/x", 404]]) {
      expect((await send(at(path), { method: "PUT", headers: TEXT })).status, path).toBe(status);
    }
    // A fork with a body and without a type, before and after its source is only kept for its forks.
    const from = await created(JSON_TYPE, "[1]");
    const [forked, other] = [`refusals/fork-${(made += 1)}`, `refusals/fork-${(made += 1)}`];
    const put = (path) => send(at(path), { method: "PUT", headers: { ...fork(from), "stream-fork-offset": "0" }, body: "[2]" });
    expect((await put(forked)).status).toBe(201);
    expect((await send(at(forked))).body.toString()).toBe("[2]");
    await send(at(from), { method: "DELETE" });
    expect([(await put(forked)).status, (await put(other)).status]).toEqual([200, 409]);
    await send(at(forked), { method: "DELETE" });
    expect([(await put(forked)).status, (await put(other)).status]).toEqual([404, 404]);
    expect((await send(at(source), { method: "PATCH" })).status).toBe(405);
    expect((await send(at(source))).body.toString()).toBe("12345");
  });

  test("of appends", async () => {
    const path = await created(TEXT, "x");
    const list = await created(JSON_TYPE);
    const closed = await created({ ...TEXT, "stream-closed": "true" }, "end");
    const by = (id, epoch, seq) => ({ ...TEXT, "producer-id": id, "producer-epoch": epoch, "producer-seq": seq });
    const post = (where, headers, body = "y") => send(at(where), { method: "POST", headers, body });
    expect((await post(path, by("p", "1", "0"))).status).toBe(200);
    expect((await post(path, { ...TEXT, "stream-seq": "b" })).status).toBe(204);
    const before = (await send(at(path))).body.toString();
    const cases = [
      [path, {}, 400], [path, { "content-type": "nonsense" }, 400], [path, JSON_TYPE, 409], [path, { "content-type": "application/octet-stream" }, 409],
      [path, TEXT, 400, ""], [path, {}, 400, ""], [path, { ...TEXT, "stream-closed": "yes" }, 400, ""],
      ["refusals/none", {}, 404], [closed, {}, 409], [closed, { "content-type": "nonsense" }, 409], ["refusals/none", { "content-type": "nonsense" }, 404],
      ["refusals/none", TEXT, 404], ["refusals/none", { "stream-closed": "true" }, 404, ""], ["generations/x", TEXT, 404],
      [closed, TEXT, 409], [closed, JSON_TYPE, 409], [closed, { ...TEXT, "stream-seq": "a" }, 409], [closed, by("q", "0", "0"), 409], [closed, { "stream-closed": "true" }, 204, ""],
      [path, { ...TEXT, "stream-seq": "b" }, 409], [path, { ...TEXT, "stream-seq": "a" }, 409], [path, { ...TEXT, "stream-seq": "" }, 409], [path, { ...TEXT, "stream-seq": "B" }, 409],
      [path, { ...TEXT, "stream-seq": "c".repeat(300) }, 413], [path, { ...TEXT, "stream-seq": ["c", "d"] }, 400],
      [path, { ...TEXT, "producer-id": "p" }, 400], [path, { ...TEXT, "producer-epoch": "0" }, 400], [path, { ...TEXT, "producer-seq": "0" }, 400],
      [path, { ...TEXT, "producer-id": "p", "producer-seq": "0" }, 400], [path, { ...TEXT, "producer-id": "p", "producer-epoch": "0" }, 400], [path, { ...TEXT, "producer-epoch": "0", "producer-seq": "0" }, 400],
      [path, by("", "0", "0"), 400], [path, by("p".repeat(300), "0", "0"), 413], [path, by("p", ["1", "2"], "1"), 400], [path, by(["p", "q"], "1", "1"), 400],
      ...["-1", "+1", "1.0", "1e3", "0x1", "a", "", "9007199254740992", "99999999999999999999"].flatMap((bad) => [[path, by("p", bad, "0"), 400], [path, by("p", "1", bad), 400]]),
      [path, by("p", "0", "1"), 403], [path, by("p", "2", "1"), 400], [path, by("p", "1", "2"), 409], [path, by("new", "0", "1"), 409],
      [path, by("p", "1", "0"), 204],
      ...["{", "[1,]", "[]", " ", "1 2", "NaN", "'a'", "\ufeff1", "[1]]", Buffer.from([0xff])].map((body) => [list, JSON_TYPE, 400, body]),
      [list, JSON_TYPE, 413, JSON.stringify("x".repeat(5 << 20))],
    ];
    for (const [where, headers, status, body] of cases) {
      const answer = await post(where, headers, body);
      expect(answer.status, `${JSON.stringify(headers)} ${String(body).slice(0, 40)} ${answer.body}`).toBe(status);
      if (where === closed) expect([answer.headers["stream-closed"], Number(answer.headers["stream-next-offset"])]).toEqual(["true", 3]);
    }
    const stale = await post(path, by("p", "0", "1"));
    expect(stale.headers["producer-epoch"]).toBe("1");
    const gap = await post(path, by("p", "1", "7"));
    expect([gap.headers["producer-expected-seq"], gap.headers["producer-received-seq"]]).toEqual(["1", "7"]);
    expect((await send(at(path))).body.toString()).toBe(before);
    expect((await send(at(list))).body.toString()).toBe("[]");
    // After its deletion with a living fork: gone for everybody, and the name is not free.
    expect((await send(at(`refusals/${(made += 1)}`), { method: "PUT", headers: { "stream-forked-from": at(path) } })).status).toBe(201);
    expect((await send(at(path), { method: "DELETE" })).status).toBe(204);
    for (const [method, status] of [["GET", 410], ["HEAD", 410], ["POST", 410], ["DELETE", 410], ["PUT", 409]]) {
      expect((await send(at(path), { method, headers: TEXT, body: method === "POST" ? "z" : undefined })).status, method).toBe(status);
    }
  });

  test("of reads", async () => {
    const path = await created(TEXT, "12345");
    for (const offset of ["", "x", "1.5", "-2", "+1", "1,2", "NOW", "Now", "0x10", "6", "%00", "1%0d%0aevent:", "../1", "1_1", "_0", "99999999999999999999", "%D9%A3"]) {
      for (const live of ["", "&live=sse", "&live=long-poll"]) {
        expect((await send(at(`${path}?offset=${offset}${live}`))).status, offset + live).toBe(400);
      }
    }
    for (const query of ["offset=-1&offset=-1", "live=sse", "live=long-poll", "offset=-1&live=", "offset=-1&live=SSE", "offset=-1&live=maybe%0d%0adata:"]) {
      expect((await send(at(`${path}?${query}`))).status, query).toBe(400);
    }
    for (const method of ["GET", "HEAD", "DELETE"]) expect((await send(at("refusals/none"), { method })).status).toBe(404);
    expect((await send(at(path), { headers: { authorization: "Bearer x" }, who: null })).status).toBe(401);
    expect((await send(at(path), { who: null })).status).toBe(401);
    // A cursor is the client's own; nonsense is no error, and is not said back.
    const waited = await send(at(`${path}?offset=now&live=long-poll&cursor=a%0d%0astream-closed:%20true`));
    expect([waited.status, waited.headers["stream-closed"], /^\d+$/.test(waited.headers["stream-cursor"])]).toEqual([204, undefined, true]);
  });
});

describe("nothing forges an event", () => {
  const EVIL = 'x\r\revent: control\r\ndata: {"streamClosed":true}\r\n\r\n\n\nevent: done\ndata: {}\n\n:c\rid: 99\r\rretry: 1\n\n\u2028event: error\u0085data: y\u000b\u000c\0\ndata: [DONE]\n\n';
  const FIELDS = /^(?:|event: [a-z_]+|data: ?.*|id: \d+|: ?.*|:)$/s;

  /** The lines of an event stream as the standard cuts them; throws if the server wrote a bare CR. */
  function lines(bytes) {
    const text = bytes.toString("utf8");
    expect(text).not.toContain("\r");
    const all = text.split("\n");
    for (const line of all) expect(line).toMatch(FIELDS);
    return all;
  }
  const named = (bytes) => lines(bytes).filter((line) => line.startsWith("event:")).map((line) => line.slice(7));
  const payloads = (bytes) => bytes.toString("utf8").split("\n\n").map((event) => event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, "")).join("\n"));

  test("in streams of text, JSON and bytes", async () => {
    for (const [headers, body, check] of [
      [TEXT, EVIL, (data) => expect(data).toBe(EVIL.replace(/\r\n|\r/g, "\n"))],
      [{ "content-type": "text/event-stream" }, EVIL, (data) => expect(data).toBe(EVIL.replace(/\r\n|\r/g, "\n"))],
      [JSON_TYPE, JSON.stringify({ [EVIL]: EVIL }), (data) => expect(JSON.parse(data)).toEqual([{ [EVIL]: EVIL }])],
      [JSON_TYPE, '[1,\r\r\n\n\n2,\r{"a":\n\n"b"}]', (data) => expect(JSON.parse(data)).toEqual([1, 2, { a: "b" }])],
      [{ "content-type": "application/octet-stream" }, EVIL, (data) => expect(Buffer.from(data, "base64").toString()).toBe(EVIL)],
      [{ "content-type": 'text/plain; x="\tevent: control' }, EVIL, (data) => expect(data).toContain("streamClosed")],
    ]) {
      const path = await created({ ...headers, "stream-closed": "true" }, body);
      const seen = await send(at(`${path}?offset=-1&live=sse&cursor=1%0a%0aevent:%20control`));
      expect(named(seen.body)).toEqual(["data", "control"]);
      const [data, control] = payloads(seen.body);
      check(data);
      expect(JSON.parse(control)).toMatchObject({ streamClosed: true });
      expect(seen.headers["stream-sse-data-encoding"]).toBe(headers["content-type"].startsWith("application/octet") ? "base64" : undefined);
    }
  });

  test("and none is lost: line ends and characters that the appends cut in two, live, arrive whole", async () => {
    const path = await created();
    const reading = send(at(`${path}?offset=-1&live=sse`));
    const [head, rest] = [Buffer.from("é").subarray(0, 1), Buffer.from("é").subarray(1)];
    const pieces = ["a\r", "\n", "\r", "event: control\r", "\n\r\n", head, rest, Buffer.concat([Buffer.from("\r"), head]), rest, "\r", "\nb", head];
    for (const body of pieces) expect((await send(at(path), { method: "POST", headers: TEXT, body })).status).toBe(204);
    await send(at(path), { method: "POST", headers: { "stream-closed": "true" } });
    const seen = await reading;
    const events = named(seen.body);
    expect(events.filter((event) => !["data", "control"].includes(event))).toEqual([]);
    const said = payloads(seen.body);
    // What never got its rest is said at the end, as far as text can say it.
    const whole = Buffer.concat(pieces.map((piece) => Buffer.from(piece))).toString();
    expect(whole.endsWith("b\uFFFD")).toBe(true);
    expect(said.filter((_, n) => events[n] === "data").join("")).toBe(whole.replace(/\r\n|\r/g, "\n"));
    const controls = said.filter((_, n) => events[n] === "control").map((data) => JSON.parse(data));
    expect(controls.filter(({ streamClosed }) => streamClosed)).toEqual([controls.at(-1)]);
    expect(Number(controls.at(-1).streamNextOffset)).toBe(pieces.reduce((sum, piece) => sum + Buffer.from(piece).length, 0));
    // Each place can be resumed: none lies inside a character.
    for (const { streamNextOffset } of controls.slice(0, -1)) {
      expect((await send(at(`${path}?offset=${streamNextOffset}`))).body[0] & 0xc0).not.toBe(0x80);
    }
  });

  test("in answers, on all three wires", async () => {
    const chat = `evil-${Date.now()}`;
    const threadId = await server.call("mutation", "threads:create", { externalId: chat }, ada.token);
    const { generationId } = await server.call("mutation", "generations:open", { threadId, text: EVIL }, worker.token);
    const events = [
      { type: "text", text: EVIL }, { type: "reasoning", text: EVIL }, { type: "tool_start", toolCallId: "c\n\nevent: x", tool: "t\r\rdata: x", input: { [EVIL]: EVIL } },
      { type: "tool_end", toolCallId: "c\n\nevent: x", error: EVIL }, { type: "source", title: EVIL, url: "https://e.example/\n\nevent: x", snippet: EVIL }, { type: "activity", kind: EVIL, label: EVIL },
    ];
    const readers = [`/api/stream/${generationId}`, at(`generations/${generationId}?offset=-1&live=sse`), `/api/chat/${chat}/stream`].map((target) => send(target));
    let stored = 0;
    for (const event of events) {
      // What is refused is not stored; everything that is stored must be harmless.
      stored += await server.call("mutation", "generations:append", { generationId, events: [event] }, worker.token).then(() => 1, () => 0);
    }
    expect(stored).toBeGreaterThanOrEqual(4);
    const error = { code: "provider_error", message: EVIL, retryable: false };
    await server.call("mutation", "generations:finish", { generationId, status: "error", error }, worker.token);
    const [plain, durable, sdk] = await Promise.all(readers);
    expect([plain.status, durable.status, sdk.status]).toEqual([200, 200, 200]);
    expect(new Set(named(plain.body))).toEqual(new Set(["text", "reasoning", "tool_start", "tool_end", "source", "activity", "error"].filter((name) => named(plain.body).includes(name))));
    expect(named(plain.body).at(-1)).toBe("error");
    expect(named(plain.body).filter((name) => name === "error").length).toBe(1);
    for (const data of payloads(plain.body).filter(Boolean)) JSON.parse(data);
    expect(new Set(named(durable.body))).toEqual(new Set(["data", "control"]));
    const items = payloads(durable.body).filter(Boolean).flatMap((data) => JSON.parse(data)).filter(({ type }) => type === "text");
    expect(items.map(({ text }) => text).join("")).toBe(EVIL);
    expect(named(sdk.body)).toEqual([]);
    const chunks = payloads(sdk.body).filter(Boolean);
    expect(chunks.filter((data) => data === "[DONE]").length).toBe(1);
    const deltas = chunks.filter((data) => data !== "[DONE]").map((data) => JSON.parse(data)).filter(({ type }) => type === "text-delta");
    expect(deltas.map(({ delta }) => delta).join("")).toBe(EVIL);
  });
});

describe("names of others", () => {
  test("are answered like names of nothing: same status, headers and body", async () => {
    const path = await created(TEXT, "secret");
    const threadId = await server.call("mutation", "threads:create", { externalId: "hers" }, ada.token);
    const { generationId } = await server.call("mutation", "generations:open", { threadId, text: "go" }, worker.token);
    const none = generationId.slice(0, -1) + (generationId.endsWith("0") ? "1" : "0");
    const strip = ({ status, headers: { date: _, "x-request-id": __, ...headers }, body }, ...own) => ({ status, headers, body: own.reduce((text, one) => text.replaceAll(one, "?"), body.toString()) });
    const pairs = [[at(path), at(`${path}x`)], [at(`generations/${generationId}`), at(`generations/${none}`)], [`/api/stream/${generationId}`, `/api/stream/${none}`], ["/api/chat/hers/stream", "/api/chat/nobodys/stream"]];
    for (const [hers, nobodys] of pairs) {
      const wire = hers.startsWith("/v1");
      const queries = wire ? ["", "?offset=-1", "?offset=now", "?offset=999999", "?offset=-1&live=sse", "?offset=now&live=long-poll"] : ["", "?offset=5", "?offset=999999"];
      const inits = [...queries.map((query) => ({ query })), ...(wire ? [{ method: "HEAD" }, { method: "DELETE" }, { method: "POST", headers: JSON_TYPE, body: "[1]" }, { method: "POST", headers: { "stream-closed": "true" } }] : [])];
      for (const { query = "", ...init } of inits) {
        const [one, other] = await Promise.all([hers, nobodys].map((target) => send(target + query, { ...init, who: bob })));
        expect(strip(one, generationId, "hers"), `${hers}${query} ${JSON.stringify(init)}`).toEqual(strip(other, none, "nobodys"));
        expect([204, 403, 404]).toContain(one.status);
      }
    }
    // As a fork's source, a subscription, and in a signed URL that is forged.
    for (const source of [path, `${path}x`]) {
      expect((await send(at("forked"), { method: "PUT", headers: { "stream-forked-from": at(source) }, who: bob })).status).toBe(404);
      const forged = await send(at(`${source}?signature=${ada.userId}.${"0".repeat(64)}&expires=9999999999`), { who: null });
      expect(strip(forged).status).toBe(401);
    }
  });
});

describe("subscriptions", () => {
  const JOBS = "refused-jobs";
  const path = (id, more = "") => at(`__ds/subscriptions/${id}${more}`);
  const say = (target, body, { token, ...more } = {}) =>
    send(target, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers: { ...JSON_TYPE, ...(token && { authorization: `Bearer ${token}` }) }, ...more });
  const faultOf = ({ status, body }) => [status, JSON.parse(body).error?.code];

  test("bad creations and lists of streams: the protocol's status and code, and nothing is stored", async () => {
    const pull = { type: "pull-wake", pattern: `${JOBS}/*`, wake_stream: "wakes" };
    const hook = { type: "webhook", pattern: `${JOBS}/*`, webhook: { url: "https://example.com/hook" } };
    const cases = [
      ["", 400, "INVALID_REQUEST"], ["{", 400, "INVALID_REQUEST"], ["[]", 400, "INVALID_REQUEST"], ["null", 400, "INVALID_REQUEST"], ["\"x\"", 400, "INVALID_REQUEST"],
      [{ ...pull, type: undefined }, 400, "INVALID_REQUEST"], [{ ...pull, type: "push" }, 400, "INVALID_REQUEST"], [{ ...pull, type: 1 }, 400, "INVALID_REQUEST"],
      [{ ...pull, pattern: undefined }, 400, "INVALID_REQUEST"], [{ ...pull, pattern: "/" }, 400, "INVALID_REQUEST"], [{ ...pull, pattern: 7 }, 400, "INVALID_REQUEST"],
      [{ ...pull, pattern: undefined, streams: [] }, 400, "INVALID_REQUEST"], [{ ...pull, streams: "a" }, 400, "INVALID_REQUEST"], [{ ...pull, streams: [1] }, 400, "INVALID_REQUEST"],
      [{ ...pull, wake_stream: undefined }, 400, "INVALID_REQUEST"], [{ ...pull, wake_stream: "//" }, 400, "INVALID_REQUEST"], [{ ...pull, wake_stream: {} }, 400, "INVALID_REQUEST"],
      ...[0, 999, 600_001, -1, 1.5, "1000"].map((lease_ttl_ms) => [{ ...pull, lease_ttl_ms }, 400, "INVALID_REQUEST"]),
      [{ ...hook, webhook: undefined }, 400, "INVALID_REQUEST"], [{ ...hook, webhook: {} }, 400, "INVALID_REQUEST"], [{ ...hook, webhook: "https://example.com" }, 400, "INVALID_REQUEST"],
      [{ ...pull, wake_stream: "w".repeat(1025) }, 413, "TOO_LARGE"], [{ ...pull, pattern: "p".repeat(1025) }, 413, "TOO_LARGE"], [{ ...pull, description: "d".repeat(1001) }, 413, "TOO_LARGE"],
      [{ ...pull, streams: ["s".repeat(1025)] }, 413, "TOO_LARGE"], [{ ...pull, streams: Array.from({ length: 1001 }, (_, n) => `s/${n}`) }, 413, "TOO_LARGE"],
      [{ ...hook, webhook: { url: `https://example.com/${"x".repeat(2048)}` } }, 413, "TOO_LARGE"],
    ];
    for (const [body, status, code] of cases) {
      const refused = await say(path("bad"), body, { method: "PUT" });
      expect(faultOf(refused), `${JSON.stringify(body).slice(0, 200)} ${refused.body}`).toEqual([status, code]);
    }
    expect(faultOf(await say(path("n".repeat(300)), pull, { method: "PUT" }))).toEqual([413, "TOO_LARGE"]);
    expect(faultOf(await send(path("bad")))).toEqual([404, "SUBSCRIPTION_NOT_FOUND"]);
    // The name is taken: the same again is fine, anything else is not.
    expect((await say(path("good"), pull, { method: "PUT" })).status).toBe(201);
    expect((await say(path("good"), { ...pull, streams: [] }, { method: "PUT" })).status).toBe(200);
    for (const more of [{ pattern: "other/*" }, { wake_stream: "other" }, { lease_ttl_ms: 1000 }, { description: "x" }, { streams: ["a"] }, hook]) {
      expect(faultOf(await say(path("good"), { ...pull, ...more }, { method: "PUT" })), JSON.stringify(more)).toEqual([409, "SUBSCRIPTION_ALREADY_EXISTS"]);
    }
    for (const [body, status, code] of [["", 400, "INVALID_REQUEST"], [{}, 400, "INVALID_REQUEST"], [{ streams: [] }, 400, "INVALID_REQUEST"], [{ streams: [""] }, 400, "INVALID_REQUEST"], [{ streams: "a" }, 400, "INVALID_REQUEST"], [{ streams: ["s".repeat(1025)] }, 413, "TOO_LARGE"]]) {
      expect(faultOf(await say(path("good", "/streams"), body)), JSON.stringify(body)).toEqual([status, code]);
    }
    // Ids of others are like ids of nothing, with every verb.
    for (const id of ["none", "good"]) {
      for (const [method, more, body] of [["GET", ""], ["POST", "/streams", { streams: ["a"] }], ["DELETE", "/streams/a"], ["POST", "/claim", { worker: "w" }]]) {
        expect(faultOf(await send(path(id, more), { method, body: body && JSON.stringify(body), who: bob })), `${id} ${method} ${more}`).toEqual([404, "SUBSCRIPTION_NOT_FOUND"]);
      }
      expect((await send(path(id), { method: "DELETE", who: bob })).status).toBe(204);
    }
    expect((await send(path("good"))).status).toBe(200);
    expect((await send(path("good", "/other"), { method: "POST" })).status).toBe(404);
  });

  test("bad claims, acknowledgements, releases and callbacks: refused, and the wake is where it was", async () => {
    const create = (id, more = {}) => say(path(id), { type: "pull-wake", pattern: `${id}/*`, wake_stream: "wakes", ...more }, { method: "PUT" });
    for (const id of ["claimed", "neighbour"]) expect((await create(id)).status).toBe(201);
    expect(faultOf(await say(path("claimed", "/claim"), { worker: "w" }))).toEqual([409, "NO_PENDING_WORK"]);
    for (const id of ["claimed", "neighbour"]) expect((await send(at(`${id}/a`), { method: "PUT", headers: TEXT, body: "123" })).status).toBe(201);
    for (const body of ["", "{", {}, { worker: "" }, { worker: 1 }]) expect(faultOf(await say(path("claimed", "/claim"), body)), JSON.stringify(body)).toEqual([400, "INVALID_REQUEST"]);
    expect(faultOf(await say(path("claimed", "/claim"), { worker: "w".repeat(257) }))).toEqual([413, "TOO_LARGE"]);
    const claim = async (id) => JSON.parse((await say(path(id, "/claim"), { worker: "one" })).body);
    const [{ token, wake_id, generation }, neighbour] = [await claim("claimed"), await claim("neighbour")];
    const busy = await say(path("claimed", "/claim"), { worker: "two" });
    expect([...faultOf(busy), JSON.parse(busy.body).error.current_holder]).toEqual([409, "ALREADY_CLAIMED", "one"]);

    const said = { wake_id, generation };
    const tokens = ["", "x", `${token}x`, token.slice(1), token.replace(".", ""), `${token.split(".")[0]}.${neighbour.token.split(".")[1]}`, ada.token];
    for (const end of ["/ack", "/release", "/callback"]) {
      for (const bad of tokens) {
        expect(faultOf(await say(path("claimed", end), said, { token: bad || " " })), `${end} ${bad}`).toEqual([401, "TOKEN_INVALID"]);
      }
      expect(faultOf(await say(path("claimed", end), said, { who: null }))).toEqual([401, "TOKEN_INVALID"]);
      expect(faultOf(await say(path("claimed", end), said, { token, headers: { authorization: `Basic ${token}` } }))).toEqual([401, "TOKEN_INVALID"]);
      // A token of another subscription, and the right one under another name.
      expect(faultOf(await say(path("claimed", end), said, { token: neighbour.token }))).toEqual([404, "SUBSCRIPTION_NOT_FOUND"]);
      expect(faultOf(await say(path("none", end), said, { token }))).toEqual([404, "SUBSCRIPTION_NOT_FOUND"]);
    }
    expect(faultOf(await say(path("claimed", "/callback"), said, { token }))).toEqual([400, "INVALID_REQUEST"]);
    const ack = (offset, stream = "claimed/a") => ({ ...said, acks: [{ stream, offset }], done: true });
    const cases = [
      ["{", 400, "INVALID_REQUEST"], ["[]", 400, "INVALID_REQUEST"], [{ ...said, done: "yes" }, 400, "INVALID_REQUEST"], [{ ...said, acks: {} }, 400, "INVALID_REQUEST"],
      [{ ...said, acks: [{ stream: "claimed/a" }] }, 400, "INVALID_REQUEST"], [{ ...said, acks: [{ offset: "1" }] }, 400, "INVALID_REQUEST"], [{ ...said, generation: -1 }, 400, "INVALID_REQUEST"],
      [{}, 409, "FENCED"], [{ generation }, 409, "FENCED"], [{ wake_id }, 409, "FENCED"], [{ ...said, generation: generation + 1 }, 409, "FENCED"], [{ ...said, wake_id: neighbour.wake_id }, 409, "FENCED"],
      ...["", "-1", "now", "x", "1.5", "4", "99999999999999999"].map((offset) => [ack(offset), 409, "INVALID_OFFSET"]),
      [ack("1", "claimed/none"), 409, "INVALID_OFFSET"], [ack("1", "neighbour/a"), 409, "INVALID_OFFSET"],
      [{ ...said, acks: Array.from({ length: 1001 }, () => ({ stream: "claimed/a", offset: "1" })) }, 413, "TOO_LARGE"],
    ];
    for (const [body, status, code] of cases) {
      const refused = await say(path("claimed", "/ack"), body, { token });
      expect(faultOf(refused), `${JSON.stringify(body).slice(0, 200)} ${refused.body}`).toEqual([status, code]);
    }
    for (const [body, status, code] of cases.slice(7, 12)) expect(faultOf(await say(path("claimed", "/release"), body, { token }))).toEqual([status, code]);
    const shown = JSON.parse((await send(path("claimed"))).body).streams;
    expect(shown.map(({ acked_offset }) => acked_offset)).toEqual(["-1"]);
    // The holder goes on as if nothing had been said, once.
    expect(JSON.parse((await say(path("claimed", "/ack"), ack("3"), { token })).body)).toEqual({ ok: true, next_wake: false });
    for (const end of ["/ack", "/release"]) expect(faultOf(await say(path("claimed", end), said, { token }))).toEqual([409, "FENCED"]);
    // Of one that was removed nothing is left to speak to.
    await send(path("neighbour"), { method: "DELETE" });
    expect(faultOf(await say(path("neighbour", "/ack"), { wake_id: neighbour.wake_id, generation: neighbour.generation }, { token: neighbour.token }))).toEqual([404, "SUBSCRIPTION_NOT_FOUND"]);
  });

  test("are to streams: what names answers is refused, and nobody waits for a wake that never comes", async () => {
    const id = at("__ds/subscriptions/answers");
    const put = (more) => send(id, { method: "PUT", body: JSON.stringify({ type: "pull-wake", wake_stream: "wakes", ...more }) });
    const named = "generations/gen_00000000000000000000000000";
    for (const more of [{ streams: [named] }, { streams: ["a", `/${named}/`] }, { pattern: "generations/*" }, { pattern: "/generations/**" }, { pattern: "generations" }, { pattern: "a/*", wake_stream: named }]) {
      const refused = await put(more);
      expect([refused.status, JSON.parse(refused.body).error?.code], JSON.stringify(more)).toEqual([400, "INVALID_REQUEST"]);
    }
    expect((await send(id)).status).toBe(404);
    expect((await put({ streams: ["generationsx", "a/generations/b"], pattern: "*/generations" })).status).toBe(201);
    const link = await send(`${id}/streams`, { method: "POST", body: JSON.stringify({ streams: [named] }) });
    expect(link.status).toBe(400);
    expect(JSON.parse((await send(id)).body).streams.map(({ path }) => path)).toEqual(["a/generations/b", "generationsx"]);
  });
});

describe("browsers", () => {
  test("show a stream as data of no origin, and never run it", async () => {
    const path = await created({ "content-type": "text/javascript", "stream-closed": "true" }, "alert(1)");
    const { url } = await server.call("mutation", "streams:readUrl", { path, ttlSeconds: 60 }, ada.token);
    for (const target of [url, `${url}&offset=-1&live=sse`, at("refusals/none"), at("__ds/jwks.json")]) {
      const shown = await send(target, { who: null });
      expect(shown.headers["content-security-policy"], target).toBe("sandbox; default-src 'none'; frame-ancestors 'none'");
      expect(shown.headers["x-content-type-options"]).toBe("nosniff");
    }
    for (const wanted of ["script", "style", "worker", "sharedworker", "serviceworker", "audioworklet", "xslt", "manifest"]) {
      const refused = await send(url, { who: null, headers: { "sec-fetch-dest": wanted } });
      expect([refused.status, refused.body.includes("alert")], wanted).toEqual([403, false]);
      expect(refused.headers["cache-control"]).toBe("no-store");
    }
    for (const wanted of ["empty", "document", "image"]) expect((await send(url, { who: null, headers: { "sec-fetch-dest": wanted } })).status, wanted).toBe(200);
  });
});

describe("webhooks", () => {
  test("never lead into a network", async () => {
    const urls = [
      "127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192",
      "198.18.0.1", "224.0.0.1", "255.255.255.255", "3232235521", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[2001:0:1::]", "[ff02::1]",
      "localhost", "LOCALHOST", "localhost.", "a.localhost", "user:pw@example.com", "user@127.0.0.1", "①②⑦.0.0.1", "127。0。0。1",
    ].map((host) => `https://${host}/hook`);
    for (const hook of [...urls, "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/", "//example.com", "", "nonsense", "https://", "http://127.0.0.1:1/"]) {
      const body = JSON.stringify({ type: "webhook", pattern: "*", webhook: { url: hook } });
      const refused = await send(at("__ds/subscriptions/hook"), { method: "PUT", body });
      expect([refused.status, JSON.parse(refused.body).error?.code], `${hook} ${refused.body}`).toEqual([400, "WEBHOOK_URL_REJECTED"]);
    }
    expect((await send(at("__ds/subscriptions/hook"))).status).toBe(404);
  });
});

describe("the development switch", () => {
  test("is for names of this machine, so that no page can point its own name here", async () => {
    const open = await startServer({ SPOOL_DEV_OPEN_STREAMS: "1" });
    try {
      const { port } = new URL(open.url);
      const user = await open.guest();
      const put = (host, who = null) => send(at("dev"), { method: "PUT", headers: { ...TEXT, host }, who, at: open });
      for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`, "localhost"]) {
        expect([200, 201], host).toContain((await put(host)).status);
      }
      for (const host of ["evil.example", `evil.example:${port}`, `127.0.0.1.evil.example:${port}`, "localhost.evil.example", `0.0.0.0:${port}`, `10.0.0.1:${port}`, "localhost@evil.example", `localhost.:${port}`]) {
        for (const [method, target] of [["PUT", at("dev")], ["GET", at("dev?offset=-1&live=sse")], ["POST", at("dev")], ["DELETE", at("dev")], ["GET", at("__ds/subscriptions/s")]]) {
          const refused = await send(target, { method, headers: { ...TEXT, host }, body: method === "POST" ? "x" : undefined, who: null, at: open });
          expect([403, 400], `${host} ${method}`).toContain(refused.status);
        }
      }
      // A page of another site in a browser on this machine.
      const from = (origin, method = "GET") => send(at("dev"), { method, headers: { ...TEXT, origin }, who: null, at: open });
      for (const origin of ["http://localhost:5173", "http://127.0.0.1:8080", "https://[::1]"]) expect((await from(origin)).status, origin).toBe(200);
      for (const origin of ["https://evil.example", "http://localhost.evil.example", "null", "", "localhost", "http://localhost@evil.example"]) {
        for (const method of ["GET", "PUT", "DELETE"]) expect((await from(origin, method)).status, origin).toBe(403);
      }
      // A proxy on this machine that speaks for others.
      for (const forwarded of [{ "x-forwarded-for": "198.51.100.1" }, { "x-forwarded-for": "127.0.0.1" }, { forwarded: "for=198.51.100.1" }]) {
        for (const method of ["GET", "PUT", "DELETE"]) {
          expect((await send(at("dev"), { method, headers: { ...TEXT, ...forwarded }, who: null, at: open })).status, JSON.stringify(forwarded)).toBe(403);
        }
      }
      // Whoever has a token is known by it, under any name.
      expect((await put("evil.example", user)).status).toBe(201);
    } finally {
      await open.stop();
    }
  });
});
