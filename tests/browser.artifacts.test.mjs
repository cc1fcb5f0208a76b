// The panel of documents in a real browser: read, compared, changed on two devices, decided about, downloaded, and
// watched while it is written. A backend makes the documents, with a service key.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, describe, test } from "node:test";
import { shot } from "./lib/browser.mjs";
import { codeOf } from "./lib/clients.mjs";
import { button, startRunner } from "./lib/runner.mjs";
import { until } from "./lib/wait.mjs";

const { backend, begin: visit } = await startRunner({ after });

const PLAN = "# Launch\n\n1. Tell the *team*\n2. Open the doors\n3. Serve the guests\n";

/** A visitor with a thread, and an answer in it that the backend makes. */
async function begin(t, options) {
  const { window, threadId, generationId } = await visit(t, options);
  const create = (fields) => backend.mutation("artifacts:create", { threadId, generationId, kind: "plan", title: "Launch plan", content: PLAN, ...fields });
  return { window, threadId, generationId, create };
}

const opener = ({ page }, artifactId) => page.locator(`[data-artifact="${artifactId}"]`);
/** Beside the conversation where there is room, else over it. */
const beside = ({ page }, name) => page.getByRole("complementary", { name });
const over = ({ page }, name) => page.getByRole("dialog", { name });
/** For the picture. */
const unfaded = (panel) => until(() => panel.evaluate((shown) => getComputedStyle(shown).opacity === "1"));
const focused = (locator) => until(() => locator.evaluate((element) => element === document.activeElement), { what: "the focus" });

describe("artifacts in the browser", { concurrency: 2 }, () => {
  test("ar_02 a text that was overtaken on another device is kept, compared, and either wins by choice", async (t) => {
    const { window, create, generationId } = await begin(t);
    const { artifactId } = await create({});
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    await opener(window, artifactId).click();
    const panel = beside(window, "Launch plan");
    await panel.getByRole("heading", { name: "Launch", exact: true }).waitFor();
    await focused(panel.getByRole("region", { name: "Content" }));
    await shot(window.page, "panel");
    await button(panel, "Edit").click();
    const text = panel.getByRole("textbox", { name: "Content" });
    await text.fill(PLAN.replace("Open the doors", "Open the doors at nine"));
    await backend.mutation("artifacts:update", { artifactId, baseVersion: 1, content: PLAN.replace("Tell", "Write to") });
    await panel.getByText("Version 2 was saved while you were writing on version 1").waitFor();
    await shot(window.page, "panel-conflict");
    // Closing loses nothing, and gives the focus back.
    await window.page.keyboard.press("Escape");
    await panel.waitFor({ state: "hidden" });
    await opener(window, artifactId).getByText("unsaved changes").waitFor();
    await focused(opener(window, artifactId));
    await window.page.keyboard.press("Enter");
    await button(panel, "Show the difference").click();
    const difference = panel.getByRole("group", { name: "From version 2 to yours" });
    await difference.getByText("Open the doors at nine").waitFor();
    await unfaded(panel);
    await shot(window.page, "panel-difference");
    await button(panel, "Keep mine as version 3").click();
    await panel.getByRole("region", { name: "Content" }).getByText("Open the doors at nine").waitFor();
    assert.equal(await codeOf(backend.mutation("artifacts:update", { artifactId, baseVersion: 2, content: "late" })), "history_conflict");

    await panel.getByRole("combobox", { name: "Version" }).selectOption("2");
    await panel.getByText("Write to").waitFor();
    assert.equal(await button(panel, "Edit").count(), 0);
    await button(panel, "What changed in this version").click();
    await panel.getByRole("group", { name: "What changed in version 2" }).waitFor();
    await shot(window.page, "panel-changes");
    assert.deepEqual(window.page.faults, []);
  });

  test("ar_01 all documents of a conversation are listed, copied and downloaded; code has its colours", async (t) => {
    const { window, create, generationId, threadId } = await begin(t, { colorScheme: "dark", acceptDownloads: true });
    const { artifactId } = await create({ kind: "json", title: "Figures", content: JSON.stringify({ rooms: 3, price: 900_000 }, null, 2) });
    await create({ kind: "report", title: "What the lake costs", content: "# The lake\n\nIt is **expensive**.\n" });
    await create({});
    await backend.mutation("todos:update", {
      threadId,
      baseVersion: 0,
      todos: [
        { text: "Look for flats", status: "completed" },
        { text: "Compare the prices", status: "in_progress" },
        { text: "Write the report", status: "pending" },
      ],
    });
    await backend.mutation("generations:finish", { generationId, status: "complete" });
    await button(window.page, "Documents").click();
    const list = beside(window, "Documents");
    await list.getByText("1 of 3 done").waitFor();
    await unfaded(list);
    assert.equal(await list.getByRole("region").getByRole("button").count(), 3);
    await shot(window.page, "panel-list-dark");
    await list.getByRole("button", { name: /Figures/ }).click();
    const panel = beside(window, "Figures");
    await panel.getByText('"price"').waitFor();
    await until(() => panel.locator("code span[style]").first().isVisible(), { what: "the colours" });
    await shot(window.page, "panel-code-dark");
    const [file] = await Promise.all([window.page.waitForEvent("download"), button(panel, "Download").click()]);
    assert.equal(file.suggestedFilename(), "Figures.json");
    assert.deepEqual(JSON.parse(await readFile(await file.path(), "utf8")), { rooms: 3, price: 900_000 });
    await button(panel, "All documents").click();
    await list.getByRole("button", { name: /What the lake costs/ }).waitFor();
    assert.equal((await backend.query("artifacts:get", { artifactId })).current, 1);
    assert.deepEqual(window.page.faults, []);
  });

  test("ap_03 a plan is changed where it is read, and exactly that text is approved; on a phone it fills the screen", async (t) => {
    const { window, create, generationId } = await begin(t, { viewport: { width: 390, height: 780 } });
    const { artifactId } = await create({});
    const asked = await backend.mutation("approvals:request", { generationId, kind: "plan", artifactId });
    const card = window.page.locator(`section[data-approval="${asked._id}"]`);
    await button(card, "Edit").click();
    const panel = over(window, "Launch plan");
    await panel.getByRole("textbox", { name: "Content" }).fill(`${PLAN}4. Rest\n`);
    await panel.getByText("This plan waits for your answer").waitFor();
    await unfaded(panel);
    await shot(window.page, "panel-plan-phone");
    await button(panel, "Approve with changes").click();
    await panel.getByRole("region", { name: "Content" }).getByText("Rest").waitFor();
    const decided = await backend.query("approvals:get", { approvalId: asked._id });
    assert.deepEqual([decided.status, decided.editedVersion], ["approved", 2]);
    assert.equal((await backend.query("artifacts:get", { artifactId, version: 2 })).content, `${PLAN}4. Rest\n`);
    await window.page.keyboard.press("Escape");
    await card.and(window.page.locator('[data-status="approved"]')).waitFor();
    assert.deepEqual(window.page.faults, []);
  });

  test("ar_08 a document is read while it is written, and whole when it is", async (t) => {
    const { window, threadId, generationId } = await begin(t);
    const { artifactId, version } = await backend.mutation("artifacts:begin", { threadId, generationId, kind: "report", title: "The lake" });
    await opener(window, artifactId).click();
    const panel = beside(window, "The lake");
    let offset = 0;
    for (const piece of ["# The lake\n\n", "It is large, ", "and it is cold."]) {
      ({ cursor: offset } = await backend.mutation("artifacts:append", { artifactId, version, offset, text: piece }));
    }
    await panel.getByText("and it is cold.").waitFor();
    await panel.getByText("Version 1 is being written").waitFor();
    await unfaded(panel);
    assert.equal(await button(panel, "Edit").count(), 0);
    await shot(window.page, "panel-writing");
    await backend.mutation("artifacts:finish", { artifactId, version });
    await button(panel, "Edit").waitFor();
    await panel.getByText("It is large, and it is cold.").waitFor();
    assert.deepEqual(window.page.faults, []);
  });
});
