// Sharing in a real browser: a link is made in the dialog, read in a window without an account, ended there
// too, and copied; a person finds what is shared with them.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { http } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const browser = await launch({ after });

const ANSWER = "Escrow is **held by a third** party.\n\n1. You pay\n2. It waits\n\n```js\nconst held = true;\n```\n\n";

/** A visitor with a conversation, and its dialog open. */
async function begin(t, options = {}) {
  fake.script("tell me about escrow", [{ reasoning: "They want the short form." }, ANSWER]);
  const window = ui(await open(t, browser, server.url, options));
  await window.say("Please tell me about escrow");
  await window.status("complete");
  const dialog = window.page.getByRole("dialog", { name: "Share this conversation" });
  const share = async () => {
    await window.page.getByRole("button", { name: "Share", exact: true }).click();
    await dialog.waitFor();
  };
  return { window, dialog, share, threadId: new URL(window.page.url()).pathname.split("/").at(-1) };
}

/** Makes a link in the open dialog: its address. */
async function link(dialog, mode, extras = []) {
  await dialog.getByRole("radio", { name: mode }).click();
  for (const extra of extras) await dialog.getByRole("checkbox", { name: extra }).check();
  const links = dialog.getByRole("listitem").getByRole("link");
  const before = await links.count();
  await dialog.getByRole("button", { name: "Create link" }).click();
  await until(async () => (await links.count()) === before + 1);
  return links.first().getAttribute("href");
}

const still = (element) => until(() => element.evaluate((shown) => shown.getAnimations({ subtree: true }).every((one) => one.playState === "finished" || one.effect?.getTiming().iterations === Infinity)));
const nothing = (page) => page.getByRole("heading", { name: "There is nothing to read here" }).waitFor();

describe("sharing in the browser", { concurrency: 2 }, () => {
  test("SH-01: a live link is made, read along elsewhere without an account, and ended there at once", async (t) => {
    const { window, dialog, share } = await begin(t);
    await share();
    await still(dialog);
    await shot(window.page, "share-dialog");
    const address = await link(dialog, "Live");
    assert.match(address, /\/s\/[\w-]{43}$/);
    await shot(window.page, "share-dialog-link");
    const reader = ui(await open(t, browser, address));
    await reader.page.getByText("held by a third").waitFor();
    assert.equal(await reader.page.getByRole("listitem").filter({ hasText: "You pay" }).count(), 1, "the same Markdown");
    assert.equal(await reader.page.getByText("They want the short form.").count(), 0);
    assert.equal(await reader.composer.count(), 0);
    assert.equal(await reader.threads.count(), 0);
    assert.equal(await reader.page.getByRole("button", { name: "Answer again" }).count(), 0);
    assert.equal(await reader.page.evaluate(() => localStorage.length), 0, "reading makes nobody of the reader");
    await reader.page.getByText("Live", { exact: true }).waitFor();
    await shot(reader.page, "shared");
    await window.page.keyboard.press("Escape");

    const end = gate();
    fake.script("and then", ["It is ", { wait: end.opened }, "paid out."]);
    await window.say("and then");
    await until(async () => (await reader.answer.innerText()).includes("It is"));
    await shot(reader.page, "shared-live");
    end.open();
    await reader.status("complete");
    await until(async () => (await reader.answer.innerText()).includes("It is paid out."));

    await share();
    await dialog.getByRole("button", { name: "End: Live link" }).click();
    await nothing(reader.page);
    await shot(reader.page, "shared-ended");
    assert.deepEqual([...window.page.faults, ...reader.page.faults], []);
  });

  test("SH-03: a snapshot stays as it was, and a copy of it is the reader's own", async (t) => {
    const { window, dialog, share } = await begin(t, { colorScheme: "dark" });
    await share();
    await still(dialog);
    const address = await link(dialog, "As it is now");
    await shot(window.page, "share-dialog-dark");
    await window.page.keyboard.press("Escape");
    await window.say("this stays with me");
    await window.status("complete");
    const reader = ui(await open(t, browser, address, { colorScheme: "dark", viewport: { width: 390, height: 780 } }));
    await reader.page.getByText("held by a third").waitFor();
    await reader.page.getByText("Snapshot", { exact: true }).waitFor();
    assert.equal(await reader.page.getByText("this stays with me").count(), 0);
    await shot(reader.page, "shared-phone-dark");
    await reader.page.getByRole("button", { name: "Copy into my chats" }).click();
    await reader.page.waitForURL(/\/t\/thr_/);
    await reader.page.getByText("held by a third").waitFor();
    await reader.say("and I go on");
    await until(async () => (await reader.questions.count()) === 2);
    await reader.status("complete");
    assert.equal(await window.page.getByText("and I go on").count(), 0);
    assert.deepEqual([...window.page.faults, ...reader.page.faults], []);
  });

  test("SH-02: reasoning and files are shown where the owner chose so, else a file is its name", async (t) => {
    const { window, dialog, share } = await begin(t);
    const notes = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("the notes") };
    await window.page.locator('input[type="file"]').setInputFiles(notes);
    await window.say("and these notes");
    await until(async () => (await window.questions.count()) === 2);
    await window.status("complete");
    await share();
    const closed = await link(dialog, "Live");
    const opened = await link(dialog, "Live", ["Files", "Reasoning"]);
    await dialog.getByText("with files, reasoning").waitFor();
    const names = ui(await open(t, browser, closed));
    await names.page.getByText("notes.txt").waitFor();
    assert.equal(await names.messages.getByRole("link", { name: /notes/ }).count(), 0);
    const reader = ui(await open(t, browser, opened));
    const file = reader.messages.getByRole("link", { name: /notes\.txt/ });
    const address = await file.getAttribute("href");
    assert.equal(await (await fetch(address)).text(), "the notes");
    await reader.messages.getByRole("button", { name: /Thought/ }).click();
    await reader.page.getByText("They want the short form.").waitFor();
    await shot(reader.page, "shared-files");
    await dialog.getByRole("button", { name: "End: Live link" }).first().click();
    await nothing(reader.page);
    assert.equal((await fetch(address)).status, 404);
    assert.deepEqual([...window.page.faults, ...names.page.faults, ...reader.page.faults], []);
  });

  test("SH-03: a person is named, finds the conversation in the list, reads it and cannot write", async (t) => {
    const { window, dialog, share } = await begin(t, { viewport: { width: 390, height: 780 } });
    // Whoever has a conversation of their own has an id to be named by.
    const page = await open(t, browser, server.url);
    const reader = ui(page);
    const signedIn = page.waitForResponse(/api\/auth\/guest/);
    await reader.say("hello");
    const { token, userId } = await (await signedIn).json();
    await reader.status("complete");
    await share();
    await dialog.getByRole("textbox", { name: "E-mail address or user id" }).fill("nobody");
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.getByRole("alert").waitFor();
    await dialog.getByRole("textbox", { name: "E-mail address or user id" }).fill(userId);
    await dialog.getByRole("button", { name: "Add" }).click();
    await dialog.getByRole("button", { name: `End: ${userId}` }).waitFor();
    await still(dialog);
    await shot(window.page, "share-dialog-phone");

    const listed = page.getByRole("region", { name: "Shared with you" }).getByRole("link");
    await listed.waitFor();
    await shot(page, "shared-with-me");
    await listed.click();
    await page.getByText("held by a third").waitFor();
    assert.equal(await reader.composer.count(), 0);
    await dialog.getByRole("button", { name: `End: ${userId}` }).click();
    await nothing(page);
    assert.equal((await http(server, token).query("shares:withMe", {})).length, 0);
    assert.deepEqual([...window.page.faults, ...page.faults], []);
  });
});
