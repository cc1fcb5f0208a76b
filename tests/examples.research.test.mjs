// examples/research: a plan, its approval, the research, a report. With the demo model, and with one that speaks
// Anthropic's protocol.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { page, settled, user } from "./lib/clients.mjs";
import { startExample } from "./lib/examples.mjs";
import { FakeLlm, rounds } from "./lib/fake-llm.mjs";
import { until } from "./lib/wait.mjs";

const suite = { after };
const QUESTION = "Do heat pumps work in old houses?";
const llm = await FakeLlm.start(suite);
const anthropic = { ANTHROPIC_API_KEY: llm.key, ANTHROPIC_BASE_URL: llm.url, SPOOL_MODEL: "claude-fake" };
const [demo, wired] = await Promise.all([startExample(suite, "research"), startExample(suite, "research", { env: anthropic })]);

/** A question whose plan waits for approval. */
async function planned(t, server, text) {
  const someone = await user(t, server);
  const threadId = await someone.client.mutation("threads:create", {});
  const sent = await someone.client.mutation("turns:send", { threadId, text });
  const asked = await pending(someone, threadId);
  return { ...someone, ...sent, threadId, asked };
}

function pending({ client }, threadId) {
  return until(
    async () => (await client.query("approvals:listByThread", { threadId, ...page() })).page.find(({ status }) => status === "pending"),
    { timeout: 30_000, what: "a plan to wait for approval" },
  );
}

const decide = ({ client, asked }, decision) => client.mutation("approvals:decide", { approvalId: asked._id, ...decision });
const calls = async ({ client, threadId }) => (await client.query("toolCalls:listByThread", { threadId, ...page() })).page.reverse();
const phase = async ({ client, threadId }) => (await client.query("sessions:getByThread", { threadId })).phase;

async function artifact({ client, threadId }, kind) {
  const { page: all } = await client.query("artifacts:listByThread", { threadId, ...page() });
  const found = all.find((one) => one.kind === kind);
  assert.ok(found !== undefined, `a ${kind} among ${JSON.stringify(all)}`);
  return client.query("artifacts:get", { artifactId: found._id });
}

describe("with the demo model", () => {
  test("AG-08: the plan waits, what was approved is carried out, and a report is written from real pages", async (t) => {
    const run = await planned(t, demo, QUESTION);
    assert.deepEqual([run.asked.kind, await phase(run)], ["plan", "awaiting_approval"]);
    assert.match((await artifact(run, "plan")).content, /Search for: Do heat pumps work in old houses\?/);
    assert.deepEqual((await calls(run)).map(({ tool }) => tool), ["submit_plan"]);
    await decide(run, { decision: "approve" });
    const message = await settled(run.client, run.messageId, 60_000);
    assert.equal(message.status, "complete", JSON.stringify(message.error));
    const made = await calls(run);
    assert.deepEqual(made.map(({ tool, state }) => [tool, state]), [["submit_plan", "completed"], ["web_search", "completed"], ["write_artifact", "completed"]]);
    assert.deepEqual(made[1].input, { query: QUESTION });
    const report = await artifact(run, "report");
    assert.match(report.content, /Field study of heat pumps in old houses/);
    assert.match(report.content, /https:\/\/heating\.example\//);
    assert.equal(await phase(run), "done");
  });

  test("AG-08: an edited plan is carried out as it was edited", async (t) => {
    const run = await planned(t, demo, QUESTION);
    await decide(run, { decision: "approve", edited: "1. Search for: noise of outdoor units\n2. Search for: refrigerants" });
    await settled(run.client, run.messageId, 60_000);
    const queries = (await calls(run)).filter(({ tool }) => tool === "web_search").map(({ input }) => input.query);
    assert.deepEqual(queries, ["noise of outdoor units", "refrigerants"]);
    assert.match((await artifact(run, "report")).content, /Noise of outdoor units[^]*Refrigerants/);
  });

  test("AP-06 AG-08: a rejected plan is not carried out, and the next question plans again", async (t) => {
    const run = await planned(t, demo, QUESTION);
    await decide(run, { decision: "reject", reason: "Ask about costs instead." });
    const message = await settled(run.client, run.messageId);
    assert.deepEqual([message.status, message.finishReason, await phase(run)], ["complete", "rejected", "planning"]);
    assert.deepEqual((await calls(run)).map(({ tool, state }) => [tool, state]), [["submit_plan", "denied"]]);
    const sent = await run.client.mutation("turns:send", { threadId: run.threadId, text: "What does it cost?" });
    const asked = await pending(run, run.threadId);
    assert.notEqual(asked._id, run.asked._id);
    await decide({ ...run, asked }, { decision: "approve" });
    assert.equal((await settled(run.client, sent.messageId, 60_000)).status, "complete");
    assert.match((await artifact(run, "report")).content, /What it costs/);
  });
});

describe("with a model that speaks Anthropic's protocol", () => {
  const plan = { title: "Plan", content: "1. Search for: costs" };
  const url = "https://heating.example/costs";
  const report = { kind: "report", title: "Costs", content: `A heat pump costs 20,000 euros and more (${url}).` };

  test("AG-08: while it plans it has no tools but those for planning; then it has all", async (t) => {
    llm.script(
      "wired costs",
      rounds(
        [{ reasoning: "A plan first." }, "I plan. ", { call: { tool: "submit_plan", input: plan } }],
        [{ calls: [{ tool: "web_search", input: { query: "costs" } }, { tool: "read_page", input: { url } }] }],
        [{ call: { tool: "write_artifact", input: report, pieces: 8 } }],
        ["The report says what it costs."],
      ),
    );
    const run = await planned(t, wired, "wired costs?");
    assert.deepEqual([...llm.of("wired costs")[0].tools].sort(), ["ask_human", "list_artifacts", "read_artifact", "submit_plan"]);
    await decide(run, { decision: "approve", edited: "1. Search for: what it costs" });
    const message = await settled(run.client, run.messageId, 60_000);
    assert.deepEqual([message.status, message.text], ["complete", "I plan. The report says what it costs."], JSON.stringify(message.error));

    const requests = llm.of("wired costs");
    assert.deepEqual(requests.map(({ api, refused }) => [api, refused]), Array(4).fill(["anthropic", undefined]));
    assert.ok(requests[1].tools.includes("web_search") && requests[1].tools.includes("write_artifact"));
    assert.match(requests[1].results[0].text, /Search for: what it costs/);
    const [, searched, read] = requests[2].results;
    assert.match(searched.text, /heating\.example\/costs/);
    assert.match(read.text, /20,000 to 35,000 euros in Germany/);
    assert.equal((await artifact(run, "report")).content, report.content);
    assert.equal(await phase(run), "done");
  });

  test("AP-06: why a plan was rejected is told to the model with the next question", async (t) => {
    llm.script("wired refusal", rounds([{ call: { tool: "submit_plan", input: plan } }]));
    const run = await planned(t, wired, "wired refusal?");
    await decide(run, { decision: "reject", reason: "Ask about the noise instead." });
    assert.equal((await settled(run.client, run.messageId)).finishReason, "rejected");
    llm.script("wired again", ["Then about the noise."]);
    const sent = await run.client.mutation("turns:send", { threadId: run.threadId, text: "wired again?" });
    await settled(run.client, sent.messageId);
    const [request] = llm.of("wired again");
    assert.match(JSON.stringify(request.body.messages), /The reason: Ask about the noise instead\./);
    assert.ok(request.tools.includes("submit_plan"), "it plans again");
  });

  test("AG-08: a plan that waits outlives kill -9", async (t) => {
    const server = await startExample(t, "research", { env: anthropic });
    llm.script("outlives", rounds([{ call: { tool: "submit_plan", input: plan } }], [{ call: { tool: "web_search", input: { query: "grid" } } }], ["after the restart"]));
    const run = await planned(t, server, "outlives?");
    await server.restart();
    assert.equal(await phase({ client: run.http, threadId: run.threadId }), "awaiting_approval");
    await run.http.mutation("approvals:decide", { approvalId: run.asked._id, decision: "approve" });
    const message = await until(async () => {
      const found = await run.http.query("messages:get", { messageId: run.messageId });
      return found.status === "complete" && found;
    }, { timeout: 60_000, what: "the answer to be complete" });
    assert.equal(message.text, "after the restart");
    assert.equal(llm.of("outlives").length, 3, "the plan is not made again");
  });
});
