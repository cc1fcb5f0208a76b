// An OpenID provider on loopback, for the code flow with PKCE: an authorization endpoint that lets a person
// of the test's choice in (as a page with a button, or at once), a token endpoint that checks the verifier
// and takes each code once, discovery and keys. What it answers wrongly, a test says.

import { createHash, randomUUID } from "node:crypto";
import { onEnd } from "./cleanup.mjs";
import { Issuer, seconds } from "./issuer.mjs";

export class Provider extends Issuer {
  static async start(t, options = {}) {
    const provider = new Provider(["ES256"], options.clientId ?? "spool-ui");
    Object.assign(provider, { secret: "client-secret-of-the-tests", withPage: false, ...options });
    await new Promise((resolve) => provider.http.listen(0, "127.0.0.1", resolve));
    provider.port = provider.http.address().port;
    onEnd(t, () => provider.close());
    return provider;
  }

  constructor(algs, clientId) {
    super(algs, clientId);
    this.clientId = clientId;
    /** Who signs in: claims of the id token. */
    this.person = { sub: "ada", name: "Ada", email: "ada@example.com" };
    /** Codes that were given out and not taken: `code → the authorization request`. */
    this.codes = new Map();
    /** What the token endpoint was sent, in order. */
    this.exchanges = [];
    /** Claims that replace the right ones in the next id tokens. */
    this.wrong = {};
    this.http.removeAllListeners("request");
    this.http.on("request", (request, response) => this.serve(request, response));
  }

  /** An entry of `spool.toml`. */
  config(more = "") {
    const secret = this.secret === null ? "" : `client_secret = "${this.secret}"\n`;
    return `[[auth.providers]]\nid = "test"\nname = "Test Provider"\nissuer = "${this.url}"\nclient_id = "${this.clientId}"\n${secret}${more}\n`;
  }

  async serve(request, response) {
    const url = new URL(request.url, this.url);
    this.asked.push(url.pathname);
    if (this.instead[url.pathname] !== undefined) return this.instead[url.pathname](response);
    const json = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (url.pathname === "/.well-known/openid-configuration") {
      return json(200, { issuer: this.url, authorization_endpoint: `${this.url}/authorize`, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/keys` });
    }
    if (url.pathname === "/keys") return json(200, this.jwks());
    if (url.pathname === "/authorize") return this.authorize(url, response);
    if (url.pathname === "/token" && request.method === "POST") {
      let body = "";
      for await (const chunk of request) body += chunk;
      const [status, answer] = this.exchange(new URLSearchParams(body), request.headers.authorization);
      return json(status, answer);
    }
    response.writeHead(404).end();
  }

  authorize(url, response) {
    const asked = Object.fromEntries(url.searchParams);
    this.authorization = asked;
    const bad = asked.response_type !== "code" || asked.client_id !== this.clientId || asked.code_challenge_method !== "S256" || !asked.scope.split(" ").includes("openid");
    if (bad) return response.writeHead(400).end("bad authorization request");
    const back = new URL(asked.redirect_uri);
    back.searchParams.set("state", asked.state);
    if (this.denies === undefined) back.searchParams.set("code", this.code(asked));
    else back.searchParams.set("error", this.denies);
    if (!this.withPage || url.searchParams.has("yes")) return response.writeHead(302, { location: back.href }).end();
    const page = `<!doctype html><title>Provider</title><h1>Sign in to Test Provider</h1><a href="${back.href.replaceAll("&", "&amp;")}">Continue as ${this.person.name}</a>`;
    response.writeHead(200, { "content-type": "text/html" }).end(page);
  }

  /** A fresh code for an authorization request. */
  code(asked) {
    const code = randomUUID();
    this.codes.set(code, asked);
    return code;
  }

  exchange(form, authorization) {
    this.exchanges.push(Object.fromEntries(form));
    const code = form.get("code");
    const asked = this.codes.get(code);
    this.codes.delete(code);
    const basic = `Basic ${Buffer.from(`${this.clientId}:${this.secret}`).toString("base64")}`;
    const known = this.secret === null ? form.get("client_id") === this.clientId && authorization === undefined : authorization === basic;
    if (!known) return [401, { error: "invalid_client" }];
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    const right = asked !== undefined && form.get("grant_type") === "authorization_code" && challenge === asked.code_challenge && form.get("redirect_uri") === asked.redirect_uri;
    if (!right) return [400, { error: "invalid_grant", error_description: `the code ${code} is no good` }];
    const claims = { ...this.person, aud: this.clientId, nonce: asked.nonce, iat: seconds(), exp: seconds(300), ...this.wrong };
    return [200, { access_token: randomUUID(), token_type: "Bearer", expires_in: 300, id_token: this.token(claims, this.signer ?? this.keys[0]) }];
  }
}
