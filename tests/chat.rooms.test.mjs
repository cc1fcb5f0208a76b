// Readers of one answer share its chunks as they are committed. One that does not read, one that leaves and one
// of an older protocol change nothing for the others, and nothing in what they get themselves.

import assert from "node:assert/strict";
import net from "node:net";
import { after, test } from "node:test";
import { send, settled, user } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { followSse, SseParser } from "./lib/sse.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });

/** A reader over a plain socket, which reads when it is told to. */
class Raw {
  constructor(t, path, token, version) {
    const { hostname, port } = new URL(server.url);
    this.bytes = [];
    this.ended = gate();
    this.socket = net.connect(Number(port), hostname, () =>
      this.socket.write(`GET ${path} HTTP/${version}\r\nhost: ${hostname}\r\nauthorization: Bearer ${token}\r\n${version === "1.1" ? "connection: close\r\n" : ""}\r\n`),
    );
    this.socket.on("data", (bytes) => this.bytes.push(bytes)).on("close", this.ended.open).on("error", () => {});
    t.after(() => this.socket.destroy());
  }

  /** The head and the body, chunks joined. */
  async response() {
    await this.ended.opened;
    const all = Buffer.concat(this.bytes);
    const end = all.indexOf("\r\n\r\n") + 4;
    const [head, body] = [all.subarray(0, end).toString(), all.subarray(end)];
    if (!/transfer-encoding: chunked/i.test(head)) return { head, body: body.toString() };
    const chunks = [];
    for (let at = 0; ; ) {
      const line = body.indexOf("\r\n", at);
      const size = Number.parseInt(body.subarray(at, line).toString(), 16);
      assert.ok(size >= 0, `a chunk without a size at ${at}`);
      if (size === 0) break;
      chunks.push(body.subarray(line + 2, line + 2 + size));
      at = line + 2 + size;
      assert.equal(body.subarray(at, at + 2).toString(), "\r\n", `the end of the chunk at ${at}`);
      at += 2;
    }
    return { head, body: Buffer.concat(chunks).toString() };
  }
}

const textOf = (events) => events.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text).join("");

test("ST-18: readers that stop reading, leave or speak HTTP/1.0 beside those that keep up: each gets every byte once", async (t) => {
  const { client, token } = await user(t, server);
  const [start, half, rest] = [gate(), gate(), gate()];
  const piece = (n) => `${n}:${"é".repeat(9_000)};`;
  const pieces = Array.from({ length: 300 }, (_, n) => piece(n));
  // The first letters come one by one, so that everybody waits for them; then more than the kernel buffers.
  const letters = Array.from({ length: 100 }, (_, n) => [`${n} `, { wait: 2 }]).flat();
  fake.script("a room", [{ wait: start.opened }, ...letters, ...pieces, { wait: half.opened }, "the middle", { wait: rest.opened }, ...letters]);
  const { generationId, messageId } = await send(client, "a room");
  const path = `/api/stream/${generationId}`;
  const keeping = Array.from({ length: 8 }, () => followSse(server, token, generationId, {}));
  const stalled = Array.from({ length: 3 }, () => new Raw(t, path, token, "1.1"));
  const old = new Raw(t, path, token, "1.0");
  const leaving = new Raw(t, path, token, "1.1");
  await until(() => [...stalled, old, leaving].every(({ bytes }) => bytes.length > 0), { what: "all readers" });
  start.open();
  await until(() => leaving.bytes.length > 20, { what: "letters" });
  leaving.socket.destroy();
  for (const { socket } of stalled) socket.pause();
  half.open();
  await followSse(server, token, generationId, { stop: ({ text }) => text.endsWith("the middle") });
  for (const { socket } of stalled) socket.resume();
  // The model is silent now, and what was begun is written to its end all the same.
  await until(() => stalled.every(({ bytes }) => Buffer.concat(bytes.slice(-4)).includes("the middle")), { what: "the middle at readers that read again" });
  rest.open();
  const { text } = await settled(client, messageId, 60_000);
  assert.ok(text.length > 2_700_000);
  for (const { text: seen, final } of await Promise.all(keeping)) assert.ok(seen === text && final.event === "done");
  for (const reader of [...stalled, old]) {
    const { head, body } = await reader.response();
    assert.equal(/transfer-encoding/i.test(head), reader !== old, head);
    const events = new SseParser().push(Buffer.from(body));
    assert.ok(textOf(events) === text, "the same text");
    assert.equal(events.at(-1).event, "done");
  }
});
