// A TCP proxy between a client and the server that tests cut, hold and refuse: the network of a bad day.

import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { onEnd } from "./cleanup.mjs";

export class Proxy {
  /** Starts one that ends with the test (or suite) `t`. */
  static async start(t, server) {
    const proxy = new Proxy(server.port);
    await new Promise((resolve) => proxy.tcp.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => proxy.close());
    return proxy;
  }

  constructor(port) {
    this.target = port;
    this.up = true;
    this.held = false;
    this.pairs = new Set();
    this.frozen = new Set();
    /** Answer bytes after which the next connections are cut, one entry each. */
    this.limits = [];
    /** `{bytes, every}`: what clients say arrives in pieces of so many bytes, so many milliseconds apart. */
    this.trickle = null;
    this.tcp = net.createServer((client) => this.join(client));
  }

  get url() {
    return `http://127.0.0.1:${this.tcp.address().port}`;
  }

  get wsUrl() {
    return `ws://127.0.0.1:${this.tcp.address().port}`;
  }

  join(client) {
    client.on("error", () => {});
    if (!this.up) return client.destroy();
    const server = net.connect(this.target, "127.0.0.1");
    const pair = { client, server, down: 0, limit: this.limits.shift() };
    this.pairs.add(pair);
    server.on("error", () => {});
    const end = () => {
      this.pairs.delete(pair);
      client.destroy();
      if (pair.frozen === undefined) server.destroy();
    };
    client.on("data", (bytes) => this.forward(pair, bytes));
    server.on("data", (bytes) => this.deliver(pair, bytes));
    client.on("close", end);
    server.on("close", () => (this.held ? this.pairs.delete(pair) : end()));
  }

  forward(pair, bytes) {
    if (pair.frozen?.up) return;
    if (this.trickle === null && pair.late === undefined) return pair.server.write(bytes);
    const { bytes: size, every } = this.trickle ?? { bytes: bytes.length, every: 0 };
    pair.late ??= Promise.resolve();
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      pair.late = pair.late.then(() => sleep(every)).then(() => pair.server.destroyed || pair.server.write(piece));
    }
  }

  deliver(pair, bytes) {
    if (this.held || pair.frozen?.down) return; // swallowed: the client will never see it on this connection
    if (pair.limit !== undefined) {
      const rest = bytes.subarray(0, Math.max(0, pair.limit - pair.down));
      pair.down += bytes.length;
      if (rest.length > 0) pair.client.write(rest);
      if (pair.down >= pair.limit) pair.client.end(() => pair.client.destroy());
      return;
    }
    pair.down += bytes.length;
    pair.client.write(bytes);
  }

  /** Cuts every connection. New ones are accepted. */
  cut() {
    for (const { client, server } of this.pairs) {
      client.destroy();
      server.destroy();
    }
    this.pairs.clear();
  }

  /**
   * Half-open from now on: the present connections stay, and nothing comes through them any more, in neither
   * direction or only `down` (what the server says). Neither side is told. New connections are not touched.
   */
  freeze({ up = true, down = true } = {}) {
    for (const pair of this.pairs) {
      pair.frozen = { up, down };
      this.frozen.add(pair.server);
    }
  }

  /** Swallows what the server says from now on; what clients say still goes through. */
  hold() {
    this.held = true;
  }

  /** Ends the connections whose answers were swallowed, and delivers again. */
  release() {
    this.cut();
    this.held = false;
  }

  /** Nobody gets through any more, and whoever was through is cut. */
  offline() {
    this.up = false;
    this.cut();
  }

  online() {
    this.up = true;
  }

  close() {
    this.offline();
    for (const server of this.frozen) server.destroy();
    return new Promise((resolve) => this.tcp.close(resolve));
  }
}
