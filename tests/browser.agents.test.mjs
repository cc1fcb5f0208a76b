// Agents, roles, plans and steering in a real browser, with the two examples and a server of two agents.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { startExample } from "./lib/examples.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";
import { call, operatorToken } from "./lib/workers.mjs";

const suite = { after };
const fake = await FakeLlm.start(suite);
const config = `
[agents.guide]
name = "Guide"
description = "Answers at once."
tools = ["ask_human", "update_todos"]

[agents.scribe]
name = "Scribe"
description = "Writes things down."
tools = ["write_artifact"]
`;
const [two, research, reos] = await Promise.all([
  Server.start(suite, { env: fake.env, config }),
  startExample(suite, "research"),
  startExample(suite, "reos"),
]);
const browser = await launch(suite);

const button = (where, name) => where.getByRole("button", { name, exact: true });
const phase = ({ page }, name) => page.locator(`[data-phase="${name}"]`);

describe("agents in the browser", { concurrency: 2 }, () => {
  test("ag_08 a plan is changed beside the conversation, carried out as it was approved, and a report comes of it", async (t) => {
    const window = ui(await open(t, browser, research.url, { viewport: { width: 1360, height: 860 } }));
    await window.say("Do heat pumps work in old houses?");
    await phase(window, "awaiting_approval").waitFor({ timeout: 30_000 });
    await button(window.page, "Open the plan").click();
    const panel = window.page.getByRole("complementary");
    await panel.getByText("This plan waits for your answer").waitFor();
    // AG-08: the names of the phases are configured.
    const names = await window.page.getByRole("list", { name: "How far the run is" }).getByRole("listitem").allInnerTexts();
    assert.deepEqual(names, ["Planning", "Your approval", "Researching", "Done"]);
    await shot(window.page, "plan-waits");
    await button(panel, "Edit").click();
    const text = panel.getByRole("textbox", { name: "Content" });
    await text.fill(`${await text.inputValue()}\n3. Search for: heat pump noise\n`);
    await button(panel, "Approve with changes").click();
    await phase(window, "done").waitFor({ timeout: 60_000 });
    await window.status("complete");
    await window.page.locator("[data-artifact]").last().getByText("Report, version 1").waitFor();
    await window.page.locator("[data-artifact]").last().click();
    await window.page.getByRole("complementary").getByText("Report", { exact: true }).waitFor();
    await shot(window.page, "plan-done");
    await button(window.page, "Why this answer").last().click();
    const why = window.page.getByRole("dialog", { name: "Why this answer" });
    await why.getByText("You research questions in a library of pages.").first().waitFor();
    await shot(window.page, "why");
    assert.deepEqual(window.page.faults, []);
  });

  test("ag_01 the roles that somebody has are offered, the choice goes with the message and stays with the thread", async (t) => {
    const window = ui(await open(t, browser, reos.url, { colorScheme: "dark" }));
    // The agent speaks first, and nothing is shown that nobody said.
    await button(window.page, "Let REOS Assistant begin").click();
    await window.status("complete");
    assert.equal(await window.questions.count(), 0);
    assert.equal(await window.page.getByRole("combobox", { name: "Role" }).count(), 0);
    const userId = await window.page.evaluate(() => JSON.parse(localStorage.getItem("spool.token")).userId);
    await call(reos, "mutation", "users:setRoles", { userId, roles: ["investor", "broker"] }, await operatorToken(reos));
    const role = window.page.getByRole("combobox", { name: "Role" });
    await role.waitFor();
    assert.deepEqual(await role.locator("option").allTextContents(), ["Broker", "Investor"]);
    await role.selectOption({ label: "Broker" });
    await window.say("Which lead do I call first?");
    await until(async () => (await window.answers.count()) === 2 && (await window.answer.getAttribute("data-status")) === "complete");
    await shot(window.page, "roles-dark");
    await button(window.page, "Why this answer").last().click();
    await window.page.getByRole("dialog", { name: "Why this answer" }).getByText("Role: Broker").waitFor();
    await window.page.keyboard.press("Escape");
    await window.page.reload();
    await until(async () => (await role.inputValue()) === "broker");
    assert.deepEqual(window.page.faults, []);
  });

  test("ms_06 an agent is chosen, asks with proposed answers, keeps its list, and is steered between its steps", async (t) => {
    const hold = gate();
    const items = (status) => [{ text: "Ask where from", status: "completed" }, { text: "Look for trains", status }];
    fake.script({ asked: "a journey", round: 0 }, ["I plan your journey.", { call: { tool: "ask_human", input: { question: "Where do you start?", options: ["Bern", "Basel"] } } }]);
    fake.script({ asked: "a journey", round: 1 }, [{ wait: hold.opened }, { call: { tool: "update_todos", input: { todos: items("in_progress") } } }]);
    fake.script("by night", ["A night train it is."]);
    const window = ui(await open(t, browser, two.url));
    const agent = window.page.getByRole("combobox", { name: "Agent" });
    await agent.waitFor();
    await shot(window.page, "agents-choice");
    await agent.selectOption({ label: "Scribe" });
    await agent.selectOption({ label: "Guide" });
    await window.say("Plan a journey");
    const asked = window.page.getByRole("region", { name: /Where do you start/ });
    await button(asked, "Basel").waitFor();
    await shot(window.page, "question");
    await button(asked, "Basel").click();
    await asked.getByText("Basel").waitFor();
    await window.composer.fill("by night, please");
    await window.page.getByRole("radio", { name: "Steer" }).click();
    await window.composer.press("Enter");
    await window.page.getByRole("list", { name: "Messages that wait" }).getByText("Steering at next step").waitFor();
    hold.open();
    await window.answer.getByText("A night train it is.").waitFor();
    await window.status("complete");
    // Once: where the answer took it up.
    assert.equal(await window.messages.getByText("by night, please").count(), 1);
    assert.equal(await window.questions.count(), 1);
    assert.match(JSON.stringify(fake.of("a journey").at(-1).body), /Basel/);
    await button(window.page, "Documents").click();
    await window.page.getByRole("complementary").getByText("1 of 2 done").waitFor();
    await shot(window.page, "steered");
    assert.deepEqual(window.page.faults, []);
  });
});
