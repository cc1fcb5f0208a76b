// Readers that stop reading while an answer of 10 MB is being written, on every wire: the writer does not notice,
// the server holds little for each, and each goes on where it was.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { send, settled, user } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { drain, stalled } from "./lib/slow.mjs";
import { SseParser } from "./lib/sse.mjs";
import { until, within } from "./lib/wait.mjs";

/** For what one test opens and another one uses. */
const file = { after };
const fake = await FakeLlm.start(file);
// Memory that is free goes back at once: what is resident is what is held.
const server = await Server.start(file, { env: { ...fake.env, MIMALLOC_PURGE_DELAY: "0" } });

/** So many that what an answer leaves in the caches of the database is little beside them. */
const READERS = 80;
const CAUGHT_UP = 3;
const STALL_MS = 60_000;
const MIB = 2 ** 20;
/** 10 MB in a few seconds, as a very fast model writes them: a writer that has to wait for anybody takes longer. */
const PIECES = Array.from({ length: 625 }, (_, n) => `${n} ${"0123456789abcdé ".repeat(941)}`);
fake.script("ten megabytes", [{ wait: 1_000 }, { slow: 4 }, ...PIECES]);

const digest = (text) => createHash("sha256").update(text).digest("hex");
const events = (text) => new SseParser().push(Buffer.from(text));

/** What is its own: the pages of the database that it maps come and go with the answers. */
async function residentBytes() {
  return Number(/RssAnon:\s+(\d+)/.exec(await readFile(`/proc/${server.pid}/status`, "utf8"))[1]) * 1024;
}

/** Memory once it has not grown for a second. */
async function settledBytes() {
  let last = await residentBytes();
  await until(async () => {
    await sleep(1_000);
    const now = await residentBytes();
    const still = Math.abs(now - last) < MIB / 2;
    last = now;
    return still;
  }, { timeout: 30_000, what: "the memory to stay as it is" });
  return last;
}

/** What the kernel holds of the server's connections, each: bytes that it took and that have not arrived. */
async function unsent() {
  const rows = (await readFile("/proc/net/tcp", "utf8")).trim().split("\n").slice(1).map((row) => row.trim().split(/\s+/));
  const port = server.port.toString(16).toUpperCase().padStart(4, "0");
  return rows.filter(([, local, , state]) => local.endsWith(`:${port}`) && state === "01").map((row) => Number.parseInt(row[4].split(":")[0], 16));
}

/** One answer, and how long it took. `join` gets it before its first token. */
async function answered(person, join = async () => {}) {
  const turn = await send(person.client, "ten megabytes");
  const readers = await join(turn);
  const begun = Date.now();
  const message = await settled(person.client, turn.messageId, 60_000);
  assert.equal(message.status, "complete");
  return { ...turn, readers, text: message.text, took: Date.now() - begun };
}

/** How a wire is asked for an answer from an offset, and what was said on it: the text, and where to go on. */
const STREAMS = {
  "an event stream": {
    at: ({ generationId }, offset) => `/api/stream/${generationId}?offset=${offset}`,
    said: (body, offset) => {
      const all = events(body);
      const text = all.filter(({ event }) => event === "text").map(({ data }) => JSON.parse(data).text).join("");
      return { text, next: Number(all.findLast(({ id }) => id !== "")?.id ?? offset) };
    },
  },
  "an AI SDK stream": {
    at: ({ threadId, generationId }, offset) => `/api/chat/${threadId}/stream?activeStreamId=${generationId}&offset=${offset}`,
    said: (body, offset) => {
      const all = events(body).filter(({ data }) => data !== "[DONE]");
      const text = all.map(({ data }) => JSON.parse(data).delta ?? "").join("");
      return { text, next: Number(all.findLast(({ id }) => id !== "")?.id ?? offset) };
    },
  },
  "a Durable Streams connection": {
    at: ({ generationId }, offset) => `/v1/stream/generations/${generationId}?offset=${offset === 0 ? "-1" : String(offset).padStart(16, "0")}&live=sse`,
    said: (body, offset) => {
      // What no control event follows is read again.
      const all = events(body);
      const last = all.findLastIndex(({ event }) => event === "control");
      const text = all.slice(0, Math.max(last, 0)).filter(({ event }) => event === "data").flatMap(({ data }) => JSON.parse(data)).map(({ text = "" }) => text).join("");
      return { text, next: last < 0 ? offset : Number(JSON.parse(all[last].data).streamNextOffset) };
    },
  },
};

/** All that a reader gets who stopped, and comes back until nothing is missing. */
async function caughtUp(t, { at, said }, answer, token, socket) {
  let { text, next } = said((await drain(socket)).text, 0);
  const before = text.length;
  while (text.length < answer.text.length) {
    const more = said((await drain(stalled(t, server, at(answer, next), token))).text, next);
    assert.ok(more.next > next, `nothing more at ${next}`);
    text += more.text;
    next = more.next;
  }
  return { text, before };
}

/** A sync socket that wants the deltas of an answer, and takes none of them. */
async function session(t, token, { generationId }) {
  const socket = await RawSession.open(t, server);
  socket.authenticate(token);
  socket.modify([["generations:deltas", { generationId, cursor: 0 }]]);
  await socket.settled();
  socket.socket.pause();
  return socket;
}

describe("ST-18: readers that stall for a minute in an answer of 10 MB", { timeout: 170_000 }, () => {
  let person;
  let alone;
  const stalls = [];
  before(async () => {
    person = await user(file, server);
    // What answers cost by themselves is paid before anything is measured.
    await answered(person);
    alone = (await answered(person)).took;
  });

  /** The answer with `READERS` of one kind, and what each of them costs meanwhile. */
  async function measured(t, name, join) {
    const rss = await settledBytes();
    const answer = await answered(person, join);
    const user = ((await settledBytes()) - rss) / READERS;
    const kernel = Math.max(...(await unsent()));
    t.diagnostic(`${name}: ${Math.round(user / 1024)} KiB, ${Math.round(kernel / 1024)} KiB at most in the kernel; the answer took ${answer.took} ms, ${alone} ms without readers`);
    assert.ok(user + kernel <= MIB, `${name}: ${Math.round((user + kernel) / 1024)} KiB`);
    // The numbers above say more, on a machine that has nothing else to do.
    assert.ok(answer.took < STALL_MS, `${name}: the answer waited for its readers, ${answer.took} ms`);
    return answer;
  }

  for (const [name, wire] of Object.entries(STREAMS)) {
    test(`on ${name}, each holds less than 1 MiB, and the writer does not notice`, async (t) => {
      const join = async (turn) => {
        const sockets = Array.from({ length: READERS }, () => stalled(file, server, wire.at(turn, 0), person.token));
        await until(() => sockets.every((socket) => socket.bytesWritten > 0 && !socket.connecting));
        return sockets;
      };
      const since = Date.now();
      const answer = await measured(t, name, join);
      stalls.push({ name, since, catchUp: async (t) => {
        for (const socket of answer.readers.slice(0, CAUGHT_UP)) {
          const { text, before } = await caughtUp(t, wire, answer, person.token, socket);
          assert.ok(before < answer.text.length, `${name}: it had not read it all`);
          assert.equal(digest(text), digest(answer.text), name);
        }
      } });
    });
  }

  test("on a sync socket, too", async (t) => {
    const since = Date.now();
    const answer = await measured(t, "a sync socket", (turn) => Promise.all(Array.from({ length: READERS }, () => session(file, person.token, turn))));
    stalls.push({ name: "a sync socket", since, catchUp: async () => {
      for (const { socket, closed } of answer.readers.slice(0, CAUGHT_UP)) {
        socket.resume();
        await within(closed, "the socket that took nothing to be closed", 30_000);
      }
      let [text, cursor] = ["", 0];
      while (text.length < answer.text.length) {
        const page = await person.http.query("generations:deltas", { generationId: answer.generationId, cursor });
        assert.ok(page.cursor > cursor);
        text += page.events.map(({ text = "" }) => text).join("");
        cursor = page.cursor;
      }
      assert.equal(digest(text), digest(answer.text));
    } });
  });

  test("after a minute each reads on, and has every byte once", async (t) => {
    assert.equal(stalls.length, 4);
    for (const { since, catchUp } of stalls) {
      await sleep(Math.max(0, since + STALL_MS - Date.now()));
      await catchUp(t);
    }
  });
});
