// A raw sync session for protocol tests. While it lives it holds the server to the invariants that break
// real clients: version chaining, one result per Add, no query twice in a Transition, time stamps that
// never go back, responses before their Transition. A breach is in `breaches`, and `close()` throws it.

import { randomUUID } from "node:crypto";
import WebSocket from "ws";
import { onEnd } from "./cleanup.mjs";
import { gate, within } from "./wait.mjs";

/** A u64 as the wire has it, and back. */
export const encodeTs = (ts) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(ts));
  return bytes.toString("base64");
};
export const decodeTs = (text) => {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== 8 || bytes.toString("base64") !== text) throw new Error(`not a U64: ${text}`);
  return bytes.readBigUInt64LE();
};

export class RawSession {
  static async open(t, server, options = {}) {
    const session = new RawSession(server, options);
    onEnd(t, () => session.socket.terminate());
    await within(session.opened, "the socket to open");
    if (options.connect !== false) session.connect();
    return session;
  }

  constructor(server, { sessionId = randomUUID(), path = "/api/1.48.0/sync", headers = {}, connectionCount = 0, maxObservedTimestamp } = {}) {
    Object.assign(this, { sessionId, connectionCount, maxObservedTimestamp });
    this.messages = [];
    this.breaches = [];
    this.version = { querySet: 0, identity: 0, ts: 0n };
    this.sent = { querySet: 0, identity: 0 };
    this.adds = []; // {version, queryId}, unanswered
    this.results = new Map();
    /** Request ids whose first answer was given elsewhere: their time stamp may be old. */
    this.replays = new Set();
    this.readers = new Set();
    this.requestId = 0;
    this.queryId = 0;
    this.socket = new WebSocket(`${server.wsUrl}${path}`, { perMessageDeflate: false, headers });
    const opened = gate();
    this.opened = opened.opened;
    this.closed = new Promise((resolve) => {
      this.socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.socket.once("open", opened.open);
    this.socket.on("error", opened.fail);
    this.closed.then((close) => {
      this.close_ = close;
      for (const reader of this.readers) reader();
    });
    this.socket.on("message", (data, binary) => this.receive(data, binary));
  }

  send(message) {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  connect() {
    const { sessionId, connectionCount, maxObservedTimestamp } = this;
    const ts = maxObservedTimestamp === undefined ? {} : { maxObservedTimestamp };
    this.send({ type: "Connect", sessionId, connectionCount, lastCloseReason: "InitialConnect", clientTs: Date.now(), ...ts });
  }

  authenticate(token) {
    const body = token === null ? { tokenType: "None" } : { tokenType: "User", value: token };
    this.send({ type: "Authenticate", baseVersion: this.sent.identity, ...body });
    this.sent.identity += 1;
  }

  /** Sends one ModifyQuerySet; `adds` are `[path, args, extra?]`. Answers with the new query ids. */
  modify(adds = [], removes = []) {
    const baseVersion = this.sent.querySet;
    const newVersion = baseVersion + 1;
    const ids = adds.map(() => this.queryId++);
    const modifications = [
      ...adds.map(([udfPath, args, extra], n) => ({ type: "Add", queryId: ids[n], udfPath, args: [args], ...extra })),
      ...removes.map((queryId) => ({ type: "Remove", queryId })),
    ];
    this.send({ type: "ModifyQuerySet", baseVersion, newVersion, modifications });
    this.sent.querySet = newVersion;
    this.adds = this.adds.filter(({ queryId }) => !removes.includes(queryId));
    for (const queryId of ids) this.adds.push({ version: newVersion, queryId });
    for (const queryId of removes) this.results.delete(queryId);
    return ids;
  }

  request(type, udfPath, args, requestId = this.requestId++) {
    this.send({ type, requestId, udfPath, args: [args] });
    return requestId;
  }

  /** Runs a mutation and answers with its response. */
  async mutation(udfPath, args, requestId) {
    const id = this.request("Mutation", udfPath, args, requestId);
    return this.response(id);
  }

  response(requestId) {
    const mine = (message) => (message.type === "MutationResponse" || message.type === "ActionResponse") && message.requestId === requestId;
    return this.next(mine, `the response to request ${requestId}`);
  }

  /** The first message at or after `from` that satisfies `wanted`, whether it came already or will come. */
  async next(wanted, what = wanted.toString(), { from = 0, timeout = 15_000 } = {}) {
    let at = from;
    const found = new Promise((resolve, reject) => {
      const read = () => {
        for (; at < this.messages.length; at += 1) {
          if (!wanted(this.messages[at], this)) continue;
          this.readers.delete(read);
          return resolve(this.messages[at]);
        }
        if (this.close_ !== undefined) reject(new Error(`closed (${JSON.stringify(this.close_)}) before ${what}`));
      };
      this.readers.add(read);
      read();
    });
    return within(found, what, timeout);
  }

  transition(what, condition = () => true, options) {
    return this.next((message) => message.type === "Transition" && condition(message), what, options);
  }

  /** The Transition that takes up everything sent so far. */
  settled(options) {
    const { querySet, identity } = this.sent;
    const reached = ({ endVersion }) => endVersion.querySet >= querySet && endVersion.identity >= identity;
    return this.transition(`a Transition at query set ${querySet}, identity ${identity}`, reached, options);
  }

  /** The first result of `queryId` at or after `from` that satisfies `condition`. */
  async result(queryId, condition = () => true, what = `a result of query ${queryId}`, options) {
    const of = (message) => message.modifications?.findLast((mod) => mod.queryId === queryId && mod.type !== "QueryRemoved");
    const message = await this.next((m) => m.type === "Transition" && of(m) !== undefined && condition(of(m)), what, options);
    return of(message);
  }

  receive(data, binary) {
    if (binary) return this.breach("a binary frame");
    let message;
    try {
      message = JSON.parse(data.toString());
      if (message.type === "TransitionChunk") message = this.assemble(message);
      if (message !== null) this.check(message);
    } catch (error) {
      this.breach(`${error.message} in ${data.toString().slice(0, 300)}`);
    }
    if (message === null || message === undefined) return;
    this.messages.push(message);
    for (const reader of [...this.readers]) reader();
  }

  assemble({ chunk, partNumber, totalParts }) {
    this.parts ??= [];
    if (partNumber !== this.parts.length) this.breach(`chunk ${partNumber} after ${this.parts.length} parts`);
    this.parts.push(chunk);
    if (this.parts.length < totalParts) return null;
    const whole = this.parts.join("");
    this.parts = null;
    return JSON.parse(whole);
  }

  breach(what) {
    this.breaches.push(what);
  }

  check(message) {
    if (this.parts?.length > 0 && message.type !== "Ping") this.breach(`${message.type} between chunks`);
    if (message.type === "Transition") return this.checkTransition(message);
    if (message.type === "MutationResponse" || message.type === "ActionResponse") {
      if (!Array.isArray(message.logLines)) this.breach(`no logLines in ${JSON.stringify(message)}`);
      if ("errorData" in message && (message.success || message.errorData === null)) this.breach("errorData out of place");
      if (message.type === "MutationResponse" && message.success) {
        const ts = decodeTs(message.ts);
        if (this.version.ts >= ts && !this.replays.has(message.requestId)) {
          this.breach(`the response at ${ts} came after the Transition to ${this.version.ts}`);
        }
      }
      if (!message.success && typeof message.result !== "string") this.breach("a failure without a message");
      if (!message.success && this.version.querySet === 0 && message.type === "MutationResponse") {
        this.breach("a failed response before the connection's first Transition");
      }
    }
  }

  checkTransition({ startVersion, endVersion, modifications, clientClockSkew, serverTs }) {
    const start = { ...startVersion, ts: decodeTs(startVersion.ts) };
    const end = { ...endVersion, ts: decodeTs(endVersion.ts) };
    for (const field of ["querySet", "identity", "ts"]) {
      if (start[field] !== this.version[field]) this.breach(`startVersion.${field} is ${start[field]}, not ${this.version[field]}`);
      if (end[field] < start[field]) this.breach(`endVersion.${field} went back from ${start[field]} to ${end[field]}`);
    }
    if (end.querySet > this.sent.querySet || end.identity > this.sent.identity) this.breach("a version that this client never sent");
    const once = new Set();
    for (const mod of modifications) {
      if (once.has(mod.queryId)) this.breach(`query ${mod.queryId} twice in one Transition`);
      once.add(mod.queryId);
      if (mod.type === "QueryRemoved") continue;
      if (!Array.isArray(mod.logLines)) this.breach(`no logLines for query ${mod.queryId}`);
      if (!("journal" in mod)) this.breach(`no journal for query ${mod.queryId}`);
      if ("errorData" in mod && mod.errorData === null) this.breach("errorData: null");
      this.results.set(mod.queryId, mod);
    }
    for (const { version, queryId } of this.adds) {
      if (version <= end.querySet && !once.has(queryId)) this.breach(`no result for the added query ${queryId}`);
    }
    this.adds = this.adds.filter(({ version }) => version > end.querySet);
    if (clientClockSkew === null || serverTs === null) this.breach("clientClockSkew or serverTs is null");
    if ((clientClockSkew === undefined) !== (serverTs === undefined)) this.breach("one of clientClockSkew and serverTs is missing");
    if (serverTs !== undefined && Math.abs(serverTs / 1e6 - Date.now()) > 60_000) this.breach(`serverTs ${serverTs} is not in nanoseconds`);
    this.version = end;
  }

  /** Ends the session; throws what the server did against the protocol. */
  async close() {
    this.socket.close();
    await within(this.closed, "the closing handshake", 5000);
    if (this.breaches.length > 0) throw new Error(`protocol breaches:\n  ${this.breaches.join("\n  ")}`);
  }

  /** Cuts the connection without a handshake. */
  async cut() {
    this.socket.terminate();
    await this.closed;
  }
}
