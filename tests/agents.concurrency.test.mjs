// AG-07: a hundred runs at the same time over four providers with a key each. Keys, prompts and answers never
// cross, neither between providers nor between threads, also where a thread changes its provider in between.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { page, user, settled } from "./lib/clients.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { gate, until, within } from "./lib/wait.mjs";

const RUNS = 100;
const KINDS = ["openai", "openai", "anthropic", "anthropic"];
const suite = { after };

const providers = await Promise.all(
  KINDS.map(async (kind, n) => {
    const name = `p${n}`;
    const fake = await FakeLlm.start(suite, { key: `sk-${name}-${randomBytes(12).toString("hex")}`, strict: true });
    return { name, kind, fake, section: fake.config(name, kind, [`model-of-${name}`]) };
  }),
);
const server = await Server.start(suite, { config: `model = "p0/model-of-p0"\n[agents.assistant]\ntools = ["*_artifact*"]\n${providers.map(({ section }) => section).join("")}` });
const people = await Promise.all(Array.from({ length: 10 }, () => user(suite, server)));
const runs = Array.from({ length: RUNS }, (_, n) => ({ n, id: `run-${n}-${randomBytes(8).toString("hex")}`, ...people[n % people.length] }));
for (const run of runs) run.threadId = await run.client.mutation("threads:create", {});

const providerOf = (run, round) => providers[(run.n + round) % providers.length];
const asks = (run, round) => `question ${round} of ${run.id}.`;
const answers = (run, round) => `${providerOf(run, round).name} answers question ${round} of ${run.id}.`;

/** Sends one message in every thread, holds every answer in its middle until all are there, and lets them end. */
async function everybody(round) {
  const [half, go] = [gate(), gate()];
  let begun = 0;
  for (const run of runs) {
    const { fake } = providerOf(run, round);
    const text = answers(run, round);
    fake.script(asks(run, round), () => {
      begun += 1;
      return [text.slice(0, 9), { wait: half.opened }, { reasoning: `thought of ${run.id}` }, text.slice(9, 20), { wait: go.opened }, text.slice(20)];
    });
  }
  const sent = await Promise.all(
    runs.map((run) => {
      const { name } = providerOf(run, round);
      return run.client.mutation("turns:send", { threadId: run.threadId, text: asks(run, round), model: `${name}/model-of-${name}` });
    }),
  );
  await until(() => begun === RUNS, { timeout: 60_000, what: `${RUNS} answers at the same time` });
  half.open();
  go.open();
  return Promise.all(runs.map((run, n) => settled(run.client, sent[n].messageId, 60_000)));
}

test("AG-07: a hundred runs at once keep their keys, prompts and answers apart", async () => {
  for (const round of [0, 1, 2]) {
    const messages = await everybody(round);
    runs.forEach((run, n) => {
      assert.deepEqual([messages[n].status, messages[n].text], ["complete", answers(run, round)], `${run.id}, round ${round}`);
      assert.equal(messages[n].provider, providerOf(run, round).name);
    });
  }

  const every = providers.flatMap(({ fake }) => fake.requests);
  assert.equal(every.length, 3 * RUNS, "each run asked once, and none was refused");
  for (const { name, kind, fake } of providers) {
    assert.equal(fake.requests.length, (3 * RUNS) / providers.length);
    for (const request of fake.requests) {
      const whole = JSON.stringify([request.headers, request.body]);
      assert.deepEqual([request.api, request.key, request.model, request.refused], [kind, fake.key, `model-of-${name}`, undefined]);
      for (const { fake: other } of providers) assert.equal(whole.includes(other.key), other === fake);
      assert.equal(JSON.stringify(request.body).includes(fake.key), false, "a key is a header and nothing else");
    }
  }
});

test("AG-07: each prompt is the history of its own thread and of nothing else", async () => {
  for (const run of runs) {
    for (const round of [0, 1, 2]) {
      const [request] = providerOf(run, round).fake.of(asks(run, round));
      const expected = [];
      for (let before = 0; before < round; before += 1) expected.push(["user", asks(run, before)], ["assistant", answers(run, before)]);
      expected.push(["user", asks(run, round)]);
      assert.deepEqual(request.messages.map(({ role, text }) => [role, text]), expected);
    }
    const stored = await run.http.query("messages:page", { threadId: run.threadId, ...page(), order: "asc" });
    assert.equal(stored.page.length, 6);
    const others = runs.filter((other) => other !== run).map(({ id }) => id);
    const whole = JSON.stringify(stored);
    assert.equal(others.some((id) => whole.includes(id)), false, "words of another thread");
  }
});

test("AG-07 TC-06: calls and results of a hundred runs at once stay with their own", async () => {
  const [all, done] = [gate(), gate()];
  let begun = 0;
  const asked = await Promise.all(
    runs.map(async (run) => {
      const { name, fake } = providerOf(run, 3);
      const write = { tool: "write_artifact", input: { kind: "document", title: `document of ${run.id}`, content: `written for ${run.id}` } };
      const steps = rounds([{ calls: [write, { tool: "list_artifacts", input: {} }] }], ["read ", { wait: done.opened }, `the list of ${run.id}`]);
      fake.script(asks(run, 3), (n, request) => {
        if (request.round === 1 && (begun += 1) === RUNS) all.open();
        return steps(n, request);
      });
      return run.client.mutation("turns:send", { threadId: run.threadId, text: asks(run, 3), model: `${name}/model-of-${name}` });
    }),
  );
  await within(all.opened, "every run to have its results", 60_000);
  done.open();
  for (const [n, run] of runs.entries()) {
    const message = await settled(run.client, asked[n].messageId, 60_000);
    assert.deepEqual([message.status, message.text], ["complete", `read the list of ${run.id}`]);
    const [, second] = providerOf(run, 3).fake.of(asks(run, 3));
    assert.equal(second.key, providerOf(run, 3).fake.key);
    const [wrote, listed] = second.results;
    const { artifactId } = JSON.parse(wrote.text);
    assert.ok(listed.text.includes(artifactId) && listed.text.includes(`document of ${run.id}`), listed.text);
    const { page: artifacts } = await run.http.query("artifacts:listByThread", { threadId: run.threadId, ...page() });
    assert.deepEqual(artifacts.map(({ _id, title }) => [_id, title]), [[artifactId, `document of ${run.id}`]]);
    assert.equal(runs.some((other) => other !== run && JSON.stringify(second.body).includes(other.id)), false);
  }
});
