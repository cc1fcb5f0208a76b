// Readers of event streams over a bare socket: what a slow one is told, and how many bytes a wire takes.

import net from "node:net";
import { onEnd } from "./cleanup.mjs";
import { within } from "./wait.mjs";

/** Asks for `target` and reads nothing until `drain`. */
export function stalled(t, server, target, token) {
  const socket = net.connect({ port: server.port, host: "127.0.0.1" });
  onEnd(t, () => socket.destroy());
  socket.pause();
  socket.on("error", () => {});
  socket.write(`GET ${target} HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`);
  return socket;
}

/**
 * Reads a stalled stream until the server closes it: `{status, bytes, text, whole}`. `bytes` is what came after
 * the head, `text` the body, `whole` whether the response was ended as HTTP ends one.
 */
export async function drain(socket, timeout = 60_000) {
  const chunks = [];
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("data", (bytes) => chunks.push(bytes));
  socket.resume();
  await within(closed, "the server to close the stream", timeout);
  const all = Buffer.concat(chunks);
  const end = all.indexOf("\r\n\r\n");
  const head = all.toString("latin1", 0, end);
  const { body, whole } = unchunked(all.subarray(end + 4));
  return { status: Number(head.split(" ")[1]), bytes: all.length - end - 4, text: body.toString("utf8"), whole };
}

/** The content of a chunked body (RFC 9112, 7.1), as far as it goes. */
function unchunked(bytes) {
  const parts = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf("\r\n", at);
    const size = line < 0 ? NaN : Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (size === 0) return { body: Buffer.concat(parts), whole: true };
    if (!(size > 0) || bytes.length < line + 2 + size) return { body: Buffer.concat(parts), whole: false };
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}
