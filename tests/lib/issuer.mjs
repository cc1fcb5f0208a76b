// An identity provider on loopback: a discovery document and a key set over HTTP, and tokens signed with
// keys that can be turned. It counts what it is asked, and can be away.

import { createHmac, createSign, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import http from "node:http";
import { onEnd } from "./cleanup.mjs";
import { secret } from "./secrets.mjs";

const KINDS = {
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
};

const SIGN = {
  RS256: (text, { privateKey }) => createSign("RSA-SHA256").update(text).sign(privateKey),
  ES256: (text, { privateKey }) => createSign("SHA256").update(text).sign({ key: privateKey, dsaEncoding: "ieee-p1363" }),
  EdDSA: (text, { privateKey }) => sign(null, Buffer.from(text), privateKey),
  HS256: (text, { secret }) => createHmac("sha256", secret).update(text).digest(),
  none: () => Buffer.alloc(0),
};

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token of any kind, also of kinds that must be refused. */
export function jwt(header, claims, key) {
  const signed = `${part(header)}.${part(claims)}`;
  return secret(`${signed}.${SIGN[header.alg](signed, key).toString("base64url")}`, "a token");
}

/** A key pair with an id, which a set need not hold. */
export const pair = (alg) => ({ alg, kid: randomUUID(), ...KINDS[alg]() });

/** Seconds since 1970, `after` from now. */
export const seconds = (after = 0) => Math.floor(Date.now() / 1000) + after;

export class Issuer {
  /** Starts one that ends with the test (or suite) `t`. */
  static async start(t, { algs = ["RS256"], audience = "spool-tests" } = {}) {
    const issuer = new Issuer(algs, audience);
    await new Promise((resolve) => issuer.http.listen(0, "127.0.0.1", resolve));
    issuer.port = issuer.http.address().port;
    onEnd(t, () => issuer.close());
    return issuer;
  }

  constructor(algs, audience) {
    this.audience = audience;
    this.born = Date.now();
    this.keys = algs.map(pair);
    /** Paths that were asked for, in order. */
    this.asked = [];
    /** Milliseconds that every answer takes. */
    this.delay = 0;
    /** Answers instead of the right ones, by path: `(response) => …`. */
    this.instead = {};
    this.http = http.createServer((request, response) => {
      this.asked.push(request.url);
      setTimeout(() => this.answer(request.url, response), this.delay);
    });
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get fetches() {
    return this.asked.filter((path) => path === "/keys").length;
  }

  /** An entry of `spool.toml`; `more` are further lines of it. */
  config(more = "refetch_seconds = 1") {
    return `[[auth.issuers]]\nissuer = "${this.url}"\naudience = "${this.audience}"\n${more}\n`;
  }

  jwks() {
    return { keys: this.keys.map(({ alg, kid, publicKey }) => ({ ...publicKey.export({ format: "jwk" }), alg, kid, use: "sig" })) };
  }

  answer(path, response) {
    const documents = {
      "/.well-known/openid-configuration": () => ({ issuer: this.url, jwks_uri: `${this.url}/keys` }),
      "/keys": () => this.jwks(),
    };
    if (this.instead[path] !== undefined) return this.instead[path](response);
    if (documents[path] === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(documents[path]()));
  }

  claims(more = {}) {
    const claims = { iss: this.url, aud: this.audience, sub: "someone", iat: seconds(), exp: seconds(300), ...more };
    return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
  }

  /** A good token, unless `claims` (undefined removes one) or `key` make it another. */
  token(claims = {}, key = this.keys[0]) {
    return jwt({ alg: key.alg, typ: "JWT", kid: key.kid }, this.claims(claims), key);
  }

  /** From now on there is one new key, and the old ones are gone. */
  rotate(alg = this.keys[0].alg) {
    this.keys = [pair(alg)];
  }

  /** Nobody is at home: connections are refused. */
  async close() {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  /** Back, at the same address. */
  async open() {
    await new Promise((resolve) => this.http.listen(this.port, "127.0.0.1", resolve));
  }
}
