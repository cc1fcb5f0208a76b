// What becomes of the log of an answer that is over: after its time the server removes it, and every wire tells
// the answer again from the message, to whoever comes and to whoever was still reading.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { codeOf, guest, http, page } from "./lib/clients.mjs";
import { run, Server, serviceKey } from "./lib/server.mjs";
import { drain, stalled } from "./lib/slow.mjs";
import { followSse, SseParser } from "./lib/sse.mjs";
import { until } from "./lib/wait.mjs";

const text = (said) => ({ type: "text", text: said });
const activity = (label) => ({ type: "activity", kind: "k", label });

/** Rows in which the store has something of a log. */
async function rowsOf(server, generationId) {
  const tables = ["_log_journal", "_log_chunks", "_logs_sealed"];
  const sql = tables.map((table) => `SELECT 1 FROM ${table} WHERE log = '${generationId}'`).join(" UNION ALL ");
  const { stdout } = await promisify(execFile)("sqlite3", ["-readonly", path.join(server.data, "spool.db"), `SELECT count(*) FROM (${sql})`]);
  return Number(stdout);
}

/** An answer that a backend makes of these events, and ends if it `ends`. */
async function answer(service, threadId, events, { ends = true } = {}) {
  const opened = await service.mutation("generations:open", { threadId, text: "go" });
  const { generationId } = opened;
  for (const each of events) await service.mutation("generations:append", { generationId, events: [each] });
  const end = ends ? await service.mutation("generations:finish", { generationId, status: "complete" }) : {};
  return { ...opened, threadId, end: end.cursor };
}

describe("logs that are over", { concurrency: true }, () => {
  test("ST-13: the server removes logs after their time, and every wire tells the answer again", async (t) => {
    const server = await Server.start(t, { config: "[turns]\nkeep_logs_hours = 0.0003\n" });
    const { token } = await guest(server);
    const [rows, service] = [http(server, token), http(server, await serviceKey(server))];
    const thread = () => rows.mutation("threads:create", {});
    const whole = await answer(service, await thread(), [{ type: "reasoning", text: "hm" }, text("ans"), text("wér")]);
    // The message does not keep activities, so its text does not tell where in the log it stood.
    const partial = await answer(service, await thread(), [activity("reading"), text("answer"), activity("writing")]);
    const running = await answer(service, await thread(), [text("still here")], { ends: false });
    for (const { generationId } of [whole, partial]) {
      await until(async () => (await rowsOf(server, generationId)) === 0, { what: "the log to be removed" });
    }
    assert.ok((await rowsOf(server, running.generationId)) > 0);
    const said = async ({ messageId }) => (await rows.query("messages:get", { messageId })).text;
    assert.deepEqual([await said(whole), await said(partial)], ["answér", "answer"]);

    const get = async (target, headers = {}) => {
      const response = await fetch(server.url + target, { headers: { authorization: `Bearer ${token}`, ...headers } });
      const body = await response.text();
      return { status: response.status, headers: response.headers, body, ids: body.split("\n").filter((line) => line.startsWith("id: ")) };
    };
    const deltas = ({ generationId }, cursor) => rows.query("generations:deltas", { generationId, cursor });
    const textOf = ({ events }) => events.filter(({ type }) => type === "text").map((event) => event.text).join("");

    // generations:deltas
    assert.deepEqual([await deltas(whole, 0), await deltas(whole, 4)].map(textOf), ["answér", "swér"]);
    assert.equal(textOf(await deltas(partial, 0)), "answer");
    assert.equal(await codeOf(deltas(partial, 3)), "gone");
    assert.equal(textOf(await deltas(running, 0)), "still here");

    // /api/stream: of what the message does not have whole, the end is the one place to resume.
    const seen = await followSse(server, token, whole.generationId, { offset: 4 });
    assert.deepEqual([seen.text, seen.final.event, seen.offset], ["swér", "done", String(whole.end)]);
    const other = await followSse(server, token, partial.generationId);
    assert.deepEqual([other.text, other.final.event, other.offset], ["answer", "done", String(partial.end)]);
    const stream = `/api/stream/${partial.generationId}`;
    assert.deepEqual((await get(stream)).ids, [`id: ${partial.end}`]);
    assert.deepEqual([(await get(`${stream}?offset=3`)).status, (await get(`${stream}?offset=${partial.end}`)).status], [410, 204]);

    // The AI SDK's stream.
    const sdk = ({ threadId, generationId }) => `/api/chat/${threadId}/stream?activeStreamId=${generationId}`;
    const again = await get(sdk(partial));
    assert.deepEqual([again.status, again.ids], [200, ["id: 0", `id: ${partial.end}`]]);
    assert.match(again.body, /"delta":"answer"[^]*\[DONE\]/);
    assert.match((await get(`${sdk(whole)}&offset=4`)).body, /"delta":"swér"[^]*\[DONE\]/);
    assert.deepEqual([(await get(`${sdk(partial)}&offset=3`)).status, (await get(`${sdk(partial)}&offset=${partial.end}`)).ids], [410, []]);

    // Durable Streams.
    const durable = ({ generationId }, query) => get(`/v1/stream/generations/${generationId}?${query}`);
    const all = await durable(whole, "offset=-1");
    assert.deepEqual(JSON.parse(all.body).map(({ type, text }) => text ?? type), ["hm", "answér", "status"]);
    assert.equal(all.headers.get("stream-closed"), "true");
    const end = all.headers.get("stream-next-offset");
    assert.equal((await durable(whole, `offset=${end}`)).body, "[]");
    const live = new SseParser().push(Buffer.from((await durable(partial, "offset=-1&live=sse")).body));
    assert.deepEqual(live.map(({ event }) => event), ["data", "control"]);
    assert.equal(JSON.parse(live[1].data).streamClosed, true);

    // The hooks of @convex-dev/agent.
    const listed = async (answer, cursor) => {
      const streamArgs = { kind: "deltas", cursors: [{ streamId: answer.generationId, cursor }] };
      return (await rows.query("messages:listMessages", { threadId: answer.threadId, ...page(), streamArgs })).streams.deltas;
    };
    const [{ start, end: to, parts }] = await listed(whole, 4);
    assert.deepEqual([start, to, parts.map(({ delta }) => delta).join("")], [4, whole.end, "swér"]);
    assert.deepEqual(await listed(whole, whole.end), []);

    const doctor = await run(["doctor", "--data", server.data]);
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  });

  test("ST-13: a reader that is at it when the log goes gets the rest; whoever removes it gets the count", { timeout: 120_000 }, async (t) => {
    const server = await Server.start(t);
    const { token } = await guest(server);
    const service = http(server, await serviceKey(server));
    const threadId = await http(server, token).mutation("threads:create", {});
    const piece = (n) => `${n}:`.padEnd(1 << 20, "é");
    const events = Array.from({ length: 8 }, (_, n) => text(piece(n)));
    const { generationId } = await answer(service, threadId, events);
    const said = events.map((event) => event.text).join("");
    const targets = {
      plain: `/api/stream/${generationId}`,
      sdk: `/api/chat/${threadId}/stream?activeStreamId=${generationId}`,
      durable: `/v1/stream/generations/${generationId}?offset=-1&live=sse`,
    };
    const readers = Object.entries(targets).map(([wire, target]) => [wire, stalled(t, server, target, token)]);
    await until(async () => /stream_followers 3$/m.test(await (await fetch(`${server.url}/metrics`)).text()), { what: "the readers to follow" });

    const clean = (olderThanHours) => service.mutation("logs:cleanUp", { olderThanHours });
    assert.deepEqual(await clean(24), { deleted: 0, hasMore: false });
    assert.deepEqual([await clean(0), await clean(0)], [{ deleted: 1, hasMore: false }, { deleted: 0, hasMore: false }]);
    await until(async () => (await rowsOf(server, generationId)) === 0, { what: "the log to be swept" });

    const found = {
      plain: ({ event, data }) => (event === "text" ? JSON.parse(data).text : ""),
      sdk: ({ data }) => (data.startsWith("{") ? (JSON.parse(data).delta ?? "") : ""),
      durable: ({ event, data }) => (event === "data" ? JSON.parse(data).map((each) => each.text ?? "").join("") : ""),
    };
    for (const [wire, reader] of readers) {
      const { status, text: body, whole } = await drain(reader);
      const read = new SseParser().push(Buffer.from(body)).map(found[wire]).join("");
      assert.deepEqual([wire, status, whole, read.length, read === said], [wire, 200, true, said.length, true]);
    }
  });
});
