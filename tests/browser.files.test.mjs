// Files in a real browser: chosen, pasted and dropped, taken off again, sent, shown, and refused in words.
// Screenshots are in .screenshots/.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env, config: "[uploads]\nmax_bytes = 200000\n" });
const browser = await launch({ after });

const visit = async (t, options) => ui(await open(t, browser, server.url, options));

/** A picture that a person can tell from a broken one. */
async function picture(page) {
  const url = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [320, 200];
    const paint = canvas.getContext("2d");
    const sky = paint.createLinearGradient(0, 0, 0, 200);
    sky.addColorStop(0, "#334a8c");
    sky.addColorStop(1, "#f2b48a");
    paint.fillStyle = sky;
    paint.fillRect(0, 0, 320, 200);
    paint.fillStyle = "#fff4d6";
    paint.arc(230, 110, 36, 0, 7);
    paint.fill();
    return canvas.toDataURL("image/png");
  });
  return { name: "sunset.png", mimeType: "image/png", buffer: Buffer.from(url.split(",")[1], "base64") };
}

const notes = { name: "notes from the meeting.txt", mimeType: "text/plain", buffer: Buffer.from("one\ntwo\n") };

const choose = (window, files) => window.page.locator('input[type="file"]').setInputFiles(files);
const tray = (window) => window.page.locator("#composer").getByRole("list", { name: "Attached files" }).getByRole("listitem");

/** Images of the conversation that have arrived. */
const shown = (window) =>
  window.messages.locator("img").evaluateAll((images) => images.filter((image) => image.complete && image.naturalWidth > 0).map(({ alt }) => alt));

/** Gives the page files as a person does who pastes or drops them. */
const give = (window, kind, { name, mimeType, buffer }) =>
  window.composer.evaluate(
    (target, [kind, name, type, base64]) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], name, { type }));
      const init = { bubbles: true, cancelable: true };
      if (kind === "paste") return void target.dispatchEvent(new ClipboardEvent("paste", { ...init, clipboardData: data }));
      for (const step of ["dragenter", "dragover", "drop"]) target.dispatchEvent(new DragEvent(step, { ...init, dataTransfer: data }));
    },
    [kind, name, mimeType, buffer.toString("base64")],
  );

describe("files in the browser", { concurrency: 2 }, () => {
  test("a new chat begins with a picture and a note; another window and a reload show them", async (t) => {
    const window = await visit(t);
    fake.script("what do you see", ["A *sunset*, and two words."]);
    const image = await picture(window.page);
    await choose(window, [image, notes]);
    await window.composer.fill("what do you see here?");
    assert.equal(await tray(window).count(), 2);
    await shot(window.page, "files-composer");
    await window.sendButton.click();
    await window.status("complete");
    assert.equal(await tray(window).count(), 0);
    assert.equal(await window.composer.inputValue(), "");
    await until(async () => (await shown(window)).join() === "sunset.png", { what: "the picture to be shown" });
    await window.messages.getByRole("link", { name: /notes from the meeting\.txt/ }).waitFor();
    await shot(window.page, "files-sent");
    const [request] = fake.of("what do you see");
    assert.deepEqual(request.body.messages.at(-1).content.map(({ type }) => type), ["image_url", "text"]);

    const second = ui(await open(t, browser, window.page.url(), { like: window.page, colorScheme: "dark", viewport: { width: 390, height: 780 } }));
    await until(async () => (await shown(second)).join() === "sunset.png", { what: "the picture in the second window" });
    await shot(second.page, "files-small-dark");
    await window.page.reload();
    await until(async () => (await shown(window)).join() === "sunset.png", { what: "the picture after a reload" });
    const saved = window.page.waitForEvent("popup");
    await window.messages.getByRole("link", { name: /notes from the meeting/ }).click();
    assert.match(await (await saved).locator("body").innerText(), /one\s+two/);
    assert.deepEqual([...window.page.faults, ...second.page.faults], []);
  });

  test("pasted and dropped files, one taken off again, and no words at all", async (t) => {
    const window = await visit(t);
    await window.say("hello there");
    await window.status("complete");
    await give(window, "paste", await picture(window.page));
    await give(window, "drop", notes);
    await give(window, "drop", { name: "plan.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.7") });
    await until(async () => (await tray(window).count()) === 3);
    await window.page.getByRole("button", { name: `Remove ${notes.name}` }).click();
    assert.equal(await tray(window).count(), 2);
    await window.composer.press("Enter");
    await until(async () => (await window.questions.count()) === 2);
    await window.status("complete");
    const question = window.questions.last();
    const names = () => question.getByRole("link").evaluateAll((links) => links.map((link) => link.dataset.file));
    await until(async () => (await names()).join() === "sunset.png,plan.pdf", { what: "two files to open" });
    assert.deepEqual(window.page.faults, []);
  });

  test("what cannot be sent is said, and nothing that was written is lost", async (t) => {
    const window = await visit(t);
    // At once: the page learns the limit with its first answers, and what came before is held against it then.
    await choose(window, { name: "film.mov", mimeType: "video/quicktime", buffer: Buffer.alloc(200_001) });
    await window.page.getByRole("alert").filter({ hasText: "film.mov is too large: a file may have 195 KB." }).waitFor();
    assert.equal(await tray(window).count(), 0);
    await window.page.route("**/api/uploads?*", (route) => route.fulfill({ status: 503, json: { code: "storage_full", message: "The disk is full: the file was not stored." } }));
    await choose(window, notes);
    await window.say("keep me");
    await window.page.getByRole("alert").filter({ hasText: "Not sent. notes from the meeting.txt: The disk is full" }).waitFor();
    await shot(window.page, "files-refused");
    assert.equal(await window.composer.inputValue(), "keep me");
    await window.page.unroute("**/api/uploads?*");
    await window.composer.press("Enter");
    await window.status("complete");
    assert.equal(await window.questions.count(), 1);
    assert.deepEqual(window.page.faults, []);
  });
});
