// People with an e-mail address and a password, as a browser without a page: requests with a cookie jar of
// one cookie. And a small SMTP server that keeps what it is given.

import net from "node:net";
import { onEnd } from "./cleanup.mjs";
import { secret } from "./secrets.mjs";
import { run } from "./server.mjs";

/** One browser on `server`. */
export class Visitor {
  constructor(server, headers = {}) {
    Object.assign(this, { server, headers, cookie: null, setCookie: null });
  }

  /** `{status, body, headers}` of a POST to a route of sign-in. */
  async post(route, body = {}, headers = {}) {
    for (const name of ["password", "old", "new", "token"]) if (typeof body[name] === "string") secret(body[name], `what is sent as ${name}`);
    const cookie = this.cookie === null ? {} : { cookie: this.cookie };
    const response = await fetch(`${this.server.url}/api/auth/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...cookie, ...this.headers, ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    const set = response.headers.getSetCookie()[0] ?? null;
    if (set !== null) {
      this.setCookie = set;
      const pair = set.split(";")[0];
      this.cookie = pair.endsWith("=") ? null : pair;
      secret(pair.slice(pair.indexOf("=") + 1), "the secret of a session");
    }
    const answer = await response.json();
    if (typeof answer.token === "string") secret(answer.token, "the token of a session");
    return { status: response.status, headers: response.headers, body: answer };
  }

  /** Like `post`, and throws unless it succeeds; answers with the body. */
  async ok(route, body, headers) {
    const { status, body: answer } = await this.post(route, body, headers);
    if (status !== 200) throw new Error(`${route}: HTTP ${status} ${JSON.stringify(answer)}`);
    return answer;
  }
}

/** Runs `spool admin …` on the data of a server, running or not; answers with what it printed. */
export async function admin(server, ...args) {
  const { code, stdout, stderr } = await run(["admin", ...args, "--data", server.data]);
  if (code !== 0) throw new Error(`spool admin ${args[0]} (${code}): ${stderr}`);
  return stdout.trim();
}

/** The token in a link that sets a password. */
export const tokenOf = (text) => /\/set-password#([\w-]{43})/.exec(text)[1];

/** An account with this password, signed in: `{visitor, token, sessionId, userId}`. */
export async function person(server, email, password, { by = "invite", headers } = {}) {
  const token = tokenOf(await admin(server, by, "--email", email));
  const visitor = new Visitor(server, headers);
  return { visitor, ...(await visitor.ok("reset", { token, password })) };
}

/** An SMTP server without TLS: `{url, mails}`, each mail `{from, to, data}`. */
export async function smtp(t) {
  const mails = [];
  const server = net.createServer((socket) => {
    let mail = { to: [] };
    let rest = "";
    let inData = false;
    socket.setEncoding("utf8").on("error", () => {});
    const say = (line) => socket.write(`${line}\r\n`);
    say("220 test ESMTP");
    socket.on("data", (text) => {
      rest += text;
      for (;;) {
        const mark = inData ? "\r\n.\r\n" : "\r\n";
        const at = rest.indexOf(mark);
        if (at < 0) return;
        const line = rest.slice(0, at);
        rest = rest.slice(at + mark.length);
        if (inData) {
          inData = false;
          mails.push({ ...mail, data: decoded(line) });
          mail = { to: [] };
          say("250 kept");
          continue;
        }
        const word = line.slice(0, 4).toUpperCase();
        if (word === "EHLO") socket.write("250-test\r\n250 8BITMIME\r\n");
        else if (word === "MAIL") say(((mail.from = /<(.*?)>/.exec(line)[1]), "250 ok"));
        else if (word === "RCPT") say((mail.to.push(/<(.*?)>/.exec(line)[1]), "250 ok"));
        else if (word === "DATA") say(((inData = true), "354 go on"));
        else if (word === "QUIT") socket.end("221 bye\r\n");
        else say("250 ok");
      }
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  onEnd(t, () => server.close());
  return { url: `smtp://127.0.0.1:${server.address().port}`, mails };
}

/** The text of a mail: quoted-printable undone. */
function decoded(data) {
  const bytes = data.replace(/=\r\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
