// Approvals in a real browser, asked for by a runner outside with a service key.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { open, shot, ui } from "./lib/browser.mjs";
import { button, startRunner } from "./lib/runner.mjs";
import { until } from "./lib/wait.mjs";

const { backend, browser, begin: visit } = await startRunner({ after });

const PLAN = "# Launch\n\n1. Tell the *team*\n2. Open the doors\n";

/** A visitor with a thread, and an answer in it that the backend makes. */
async function begin(t, options) {
  const { window, threadId, generationId } = await visit(t, options);
  const ask = (args) => backend.mutation("approvals:request", { generationId, ...args });
  const became = (asked) => backend.query("approvals:get", { approvalId: asked._id });
  const card = (asked, where = window) => where.page.locator(`[data-approval="${asked._id}"]`);
  return { window, threadId, generationId, ask, became, card };
}

const device = async (t, window) => ui(await open(t, browser, window.page.url(), { like: window.page }));
const pay = (toolCallId) => ({ kind: "tool_call", toolCallId, tool: "pay", input: { amount: 5, to: "Ada" } });
/** For the picture. */
const unfaded = (element) => until(() => element.evaluate((shown) => getComputedStyle(shown).opacity === "1"));

describe("approvals in the browser", { concurrency: 2 }, () => {
  test("a call is changed and approved by keyboard, another is rejected with a reason, both windows say so", async (t) => {
    const { window, generationId, ask, became, card } = await begin(t);
    const other = await device(t, window);
    await backend.mutation("generations:append", { generationId, offset: 0, events: [{ type: "text", text: "I can send the money." }] });
    const first = await ask(pay("t1"));
    await card(first).getByText("amount", { exact: true }).waitFor();
    await shot(window.page, "approval-pending");
    await button(card(first), "Edit").focus();
    await window.page.keyboard.press("Enter");
    const input = card(first).getByRole("textbox", { name: "Input, as it shall run" });
    await input.fill("{ amount");
    await card(first).getByText("not JSON yet").waitFor();
    assert.equal(await button(card(first), "Approve with changes").isDisabled(), true);
    await shot(window.page, "approval-edit");
    await input.fill('{ "amount": 4, "to": "Ada" }');
    await button(card(first), "Approve with changes").focus();
    await window.page.keyboard.press("Enter");
    for (const where of [window, other]) await card(first, where).and(where.page.locator('[data-status="approved"]')).waitFor();
    assert.deepEqual((await became(first)).editedInput, { amount: 4, to: "Ada" });
    await card(first, other).getByText("Decided in another window").waitFor();
    assert.equal(await card(first).getByText("Decided in another window").count(), 0);
    assert.equal(await button(card(first, other), "Approve").count(), 0);

    const second = await ask(pay("t2"));
    await card(second, other).getByRole("textbox", { name: "Reason" }).fill("Too much");
    await button(card(second, other), "Reject").click();
    await card(second).getByText("Too much").waitFor();
    assert.deepEqual([(await became(second)).status, (await became(second)).reason], ["rejected", "Too much"]);
    await shot(window.page, "approval-decided");

    const third = await ask({ kind: "question", question: "Shall I go on?" });
    await card(third).getByRole("heading", { name: "Shall I go on?" }).waitFor();
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    await card(third).getByText("Cancelled").waitFor();
    assert.deepEqual([...window.page.faults, ...other.page.faults], []);
  });

  test("a plan is read, changed and approved after its answer; its artifact follows", async (t) => {
    const { window, threadId, generationId, ask, became, card } = await begin(t, { colorScheme: "dark" });
    const { artifactId } = await backend.mutation("artifacts:create", { threadId, generationId, kind: "plan", title: "Launch plan", content: PLAN });
    const asked = await ask({ kind: "plan", artifactId });
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    await card(asked).getByRole("heading", { name: "Launch", exact: true }).waitFor();
    await shot(window.page, "approval-plan");
    await window.page.setViewportSize({ width: 390, height: 780 });
    await button(card(asked), "Approve").scrollIntoViewIfNeeded();
    await shot(window.page, "approval-phone");
    await button(card(asked), "Edit").click();
    const panel = window.page.getByRole("dialog", { name: "Launch plan" });
    await panel.getByRole("textbox", { name: "Content" }).fill(`${PLAN}3. Rest\n`);
    // The text goes with the answer from the card, too.
    await button(panel, "Close").click();
    await button(card(asked), "Approve with changes").click();
    await card(asked).and(window.page.locator('[data-status="approved"]')).waitFor();
    assert.equal((await became(asked)).editedVersion, 2);
    await window.page.locator(`[data-artifact="${artifactId}"]`).getByText("approved").waitFor();
    await window.page.reload();
    await window.page.locator(`[data-artifact="${artifactId}"]`).click();
    await window.page.getByRole("region", { name: "Content" }).getByText("Rest").waitFor();
    await unfaded(window.page.getByRole("dialog"));
    await shot(window.page, "artifact-phone");
    await window.page.keyboard.press("Escape");
    await window.page.locator(`[data-artifact="${artifactId}"]`).getByText("Plan, version 2").waitFor();
    assert.deepEqual(window.page.faults, []);
  });
});
