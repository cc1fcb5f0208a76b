// A push service and a browser of it: takes messages as RFC 8030 has it, checks who sends them (RFC 8292), and
// opens them with the keys of the browser (RFC 8291), by Node's own cryptography. Also takes webhooks.

import assert from "node:assert/strict";
import { createDecipheriv, createECDH, createHmac, createPublicKey, hkdfSync, randomBytes, verify } from "node:crypto";
import http from "node:http";
import { onEnd } from "./cleanup.mjs";
import { words } from "./secrets.mjs";

const decoded = (text) => Buffer.from(text, "base64url");
const derive = (secret, salt, info, length) => Buffer.from(hkdfSync("sha256", secret, salt, info, length));

/** A browser that has subscribed at `service`: `{subscription, open}`. */
export function browser(service) {
  const keys = createECDH("prime256v1");
  const [own, auth] = [keys.generateKeys(), randomBytes(16)];
  const name = words(`endpoint-${randomBytes(16).toString("hex")}`, "the endpoint of a browser");
  const subscription = {
    endpoint: `${service.url}/push/${name}`,
    expirationTime: null,
    keys: { p256dh: own.toString("base64url"), auth: words(auth.toString("base64url"), "the secret of a browser") },
  };
  const open = (body) => {
    const salt = body.subarray(0, 16);
    assert.equal(body.readUInt32BE(16), 4096);
    const length = body[20];
    const theirs = body.subarray(21, 21 + length);
    const sealed = body.subarray(21 + length);
    const input = derive(keys.computeSecret(theirs), auth, Buffer.concat([Buffer.from("WebPush: info\0"), own, theirs]), 32);
    const key = derive(input, salt, Buffer.from("Content-Encoding: aes128gcm\0"), 16);
    const nonce = derive(input, salt, Buffer.from("Content-Encoding: nonce\0"), 12);
    const cipher = createDecipheriv("aes-128-gcm", key, nonce);
    cipher.setAuthTag(sealed.subarray(-16));
    const text = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
    assert.equal(text.at(-1), 2, "the last record is marked");
    return JSON.parse(text.subarray(0, -1).toString());
  };
  return { name, subscription, open };
}

/** Fails unless the message says truly that the server with this public key sent it, to this service, now. */
export function checkSender({ headers }, service, pushKey) {
  const [, token, key] = /^vapid t=([\w.-]+), k=([\w-]+)$/.exec(headers.authorization);
  assert.equal(key, pushKey);
  const [head, claims, signature] = token.split(".");
  const point = decoded(key);
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString("base64url"));
  const publicKey = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
  assert.ok(verify("sha256", Buffer.from(`${head}.${claims}`), { key: publicKey, dsaEncoding: "ieee-p1363" }, decoded(signature)));
  const { aud, exp, sub } = JSON.parse(decoded(claims));
  assert.equal(aud, service.url);
  assert.ok(exp > Date.now() / 1000 && exp <= Date.now() / 1000 + 24 * 3600);
  assert.match(sub, /^(mailto:|https?:)/);
}

/** The signature that Standard Webhooks want for this message. */
export function signatureOf({ headers, body }, secret) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  return `v1,${createHmac("sha256", secret).update(signed).digest("base64")}`;
}

export class PushService {
  static async start(t) {
    const service = new PushService();
    service.server = http.createServer((request, response) => service.take(request, response));
    await new Promise((resolve) => service.server.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => new Promise((resolve) => {
      service.server.close(resolve);
      service.server.closeAllConnections();
    }));
    return service;
  }

  /** Everything that arrived: `{path, headers, body}`. */
  messages = [];
  /** Statuses of the next answers; then 201. */
  answers = [];

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  of(name) {
    return this.messages.filter(({ path }) => path.endsWith(name));
  }

  take(request, response) {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      this.messages.push({ path: request.url, method: request.method, headers: request.headers, body: Buffer.concat(chunks) });
      response.writeHead(this.answers.shift() ?? 201).end();
    });
  }
}
