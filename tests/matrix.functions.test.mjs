// The authorization matrix over the wires: every function of the table × everybody who is not the owner, over
// HTTP in every form and over the sync socket. What is asked comes from the table (tests/matrix/cases.json), so a
// function without a case cannot be added.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { RawSession } from "./lib/raw.mjs";
import { within } from "./lib/wait.mjs";
import { checkSecret, expected, filled, functions, healthy, internal, scrubbed, sight, world } from "./matrix/world.mjs";

const place = await world({ after });
const { server, ids, none } = place;

/** `{text, head, value | code}` of an HTTP answer; `text` and `head` are all that a caller could tell apart. */
async function ask(method, path, token, body) {
  const headers = { "content-type": "application/json", ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
  const response = await fetch(server.url + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(15_000) });
  const text = await response.text();
  checkSecret(place, text, `${method} ${path}`);
  const said = JSON.parse(text);
  const { status, value, errorData } = said.results?.[0] ?? said;
  const head = [response.status, ...[...response.headers].filter(([name]) => name !== "date" && name !== "x-request-id")];
  return { text: scrubbed(text), head, value, code: status === "success" ? undefined : (errorData ?? said).code };
}

/** The forms in which a function can be called over HTTP. */
const forms = ({ kind, path }) => ({
  [`POST /api/${kind}`]: (token, args) => ask("POST", `/api/${kind}`, token, { path, args, format: "json" }),
  "POST /api/run": (token, args) => ask("POST", `/api/run/${path.replace(":", "/")}`, token, { args }),
  ...(kind === "query" && {
    "GET /api/query": (token, args) => ask("GET", `/api/query?${new URLSearchParams({ path, args: JSON.stringify(args) })}`, token),
    "POST /api/query_batch": (token, args) => ask("POST", "/api/query_batch", token, { queries: [{ path, args }] }),
    "POST /api/query_at_ts": async (token, args) => {
      const { ts } = await (await fetch(`${server.url}/api/query_ts`, { method: "POST" })).json();
      return ask("POST", "/api/query_at_ts", token, { path, args, ts });
    },
  }),
});

/** The functions as this caller asks them. */
const asked = (caller, specs) => {
  const open = specs.filter(({ path }) => !caller.may?.includes(path));
  return open.map((spec) => (spec.access === "Runner" ? { ...spec, args: { ...spec.args, ...caller.args } } : spec));
};

/** Fails unless the answers are of the class that the table says. */
function check(spec, caller, where, { code, value }) {
  const wanted = expected(spec, caller);
  if (wanted === "its own business") return;
  const nothing = value === null || code === "not_found" || code === "forbidden";
  const good = wanted === "answered" ? code === undefined : wanted === "nothing there" ? nothing : code === wanted;
  assert.ok(good, `${spec.path} for ${caller.name}, ${where}: ${wanted} is expected, not ${code ?? JSON.stringify(value)}`);
}

/** Everything in one session: the answers by function, for the ids of the owner and for ids of nothing. */
async function session(t, caller, specs) {
  const raw = await RawSession.open(t, server);
  if (caller.token !== null) raw.authenticate(caller.token);
  const queries = specs.filter(({ kind }) => kind === "query");
  const added = queries.flatMap(({ path, args }) => [[path, filled(args, ids)], [path, filled(args, none)]]);
  const queryIds = raw.modify(added);
  if (caller.is === "refused") {
    for (const { path, args, kind } of specs) if (kind === "mutation") raw.request("Mutation", path, filled(args, ids));
    await within(raw.closed, "the socket to be closed");
    return { raw, answers: null };
  }
  const results = (await raw.settled()).modifications;
  const answers = new Map();
  const result = (queryId) => results.find((modification) => modification.queryId === queryId);
  queries.forEach((spec, n) => answers.set(spec, [result(queryIds[2 * n]), result(queryIds[2 * n + 1])]));
  for (const spec of specs.filter(({ kind }) => kind !== "query")) {
    const type = spec.kind === "mutation" ? "Mutation" : "Action";
    const requests = [ids, none].map((these) => raw.request(type, spec.path, filled(spec.args, these)));
    answers.set(spec, [await raw.response(requests[0]), await raw.response(requests[1])]);
  }
  await raw.close();
  return { raw, answers };
}

/** What a message says to whoever asked, without the numbers of asking. */
function said({ queryId, requestId, ts, ...message }) {
  const failed = message.type === "QueryFailed" || message.success === false;
  const value = message.type === "QueryUpdated" ? message.value : message.result;
  return { text: scrubbed(JSON.stringify(message)), value: failed ? undefined : value, code: failed ? message.errorData?.code : undefined };
}

describe("the authorization matrix", () => {
  const all = [...functions, ...internal];
  let before;

  test("the owner sees every row of the cases", async () => {
    before = await sight(place);
    assert.ok(functions.length > 40 && internal.length > 40);
  });

  for (const caller of place.callers) {
    test(`IA-05: ${caller.name}, over HTTP`, async () => {
      for (const spec of asked(caller, all)) {
        for (const [form, call] of Object.entries(forms(spec))) {
          const foreign = await call(caller.token, filled(spec.args, ids));
          check(spec, caller, form, foreign);
          if (!spec.takesIds || expected(spec, caller) === "its own business") continue;
          const missing = await call(caller.token, filled(spec.args, none));
          assert.deepEqual([foreign.text, foreign.head], [missing.text, missing.head], `${spec.path}, ${form}: a foreign id is told from a missing one`);
        }
      }
    });

    test(`IA-05: ${caller.name}, over the sync socket`, async (t) => {
      const specs = asked(caller, all);
      const { raw, answers } = await session(t, caller, specs);
      checkSecret(place, JSON.stringify(raw.messages), "the socket");
      if (answers === null) {
        const told = raw.messages.map(({ type }) => type).filter((type) => type !== "Ping");
        assert.deepEqual(told, ["AuthError"], "nothing is answered, and nothing runs");
        return;
      }
      for (const spec of specs) {
        const [foreign, missing] = answers.get(spec).map(said);
        check(spec, caller, "on the socket", foreign);
        if (spec.takesIds && expected(spec, caller) !== "its own business") assert.equal(foreign.text, missing.text, `${spec.path}: a foreign id is told from a missing one`);
      }
    });
  }

  test("IA-12: an id of a wrong kind is refused by its kind, before anything is looked for", async () => {
    const { token } = place.callers.find(({ is }) => is === "user");
    for (const { path, kind, args } of functions.filter(({ access, takesIds }) => access === "User" && takesIds)) {
      const names = new Set([...JSON.stringify(args).matchAll(/\$(\w+)/g)].map(([, name]) => name));
      for (const name of names) {
        const wrong = { ...none, [name]: name === "message" ? none.thread : none.message };
        const { code, text } = await ask("POST", `/api/${kind}`, token, { path, args: filled(args, wrong) });
        assert.equal(code, "bad_id", `${path} ${name}: ${text}`);
        assert.ok(text.includes(none[name].slice(0, none[name].indexOf("_") + 1)), `${path} names the kind that it takes: ${text}`);
      }
    }
  });

  test("IA-05: nothing of the owner's has changed", async () => {
    assert.deepEqual(await sight(place), before);
    await healthy(server);
  });
});

describe("time", () => {
  const ROUNDS = 30;
  const BOUND = 3;
  const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1];
  const { token } = place.callers.find(({ name }) => name === "another user");

  /** How many times longer the answer to the one takes than to the other; they are asked in turns. */
  async function ratio(path, args) {
    const times = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const begun = performance.now();
        await ask("POST", "/api/query", token, { path, args: filled(args, [ids, none][which]) });
        times[which].push(performance.now() - begun);
      }
    }
    const [foreign, missing] = times.map(median);
    return Math.max(foreign / missing, missing / foreign);
  }

  test("IA-05: a foreign id takes no other time than a missing one", async () => {
    for (const { path, args } of functions.filter(({ kind, access, takesIds }) => kind === "query" && access === "User" && takesIds)) {
      const ratios = [];
      do ratios.push(await ratio(path, args));
      while (ratios.at(-1) > BOUND && ratios.length < 3);
      assert.ok(ratios.at(-1) <= BOUND, `${path}: the medians differ by factors of ${ratios}`);
    }
  });
});
