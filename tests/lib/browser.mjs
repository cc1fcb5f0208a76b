// Chromium on the embedded UI. Finds things as people do, by role and name; the only attributes of the
// page's own used here say which message or connection state is meant.

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { onEnd } from "./cleanup.mjs";

const shots = fileURLToPath(new URL("../.screenshots/", import.meta.url));
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-quic",
];

/** One browser for a file of tests. */
export async function launch(t) {
  await mkdir(shots, { recursive: true });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  onEnd(t, () => browser.close());
  return browser;
}

/** A window of its own, as on another device; `like` shares the identity of another window's user. */
export async function open(t, browser, url, { like, ...options } = {}) {
  const storageState = like === undefined ? undefined : await like.context().storageState();
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, storageState, ...options });
  onEnd(t, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(`thrown: ${error.message}`));
  page.on("console", (message) => {
    // The browser itself notes every request that fails while the server is away.
    const network = /Failed to load resource|WebSocket connection|net::ERR/.test(message.text());
    if (message.type() === "error" && !network) page.faults.push(`console: ${message.text()}`);
  });
  await page.goto(url);
  return page;
}

export const shot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

/** What a window shows, in the words of the tests. */
export const ui = (page) => {
  const messages = page.getByRole("region", { name: "Messages" });
  const answers = messages.locator('[data-role="assistant"]');
  const threads = page.getByRole("navigation", { name: "Threads" });
  return {
    page,
    messages,
    threads,
    composer: page.getByRole("textbox", { name: "Message" }),
    questions: messages.locator('[data-role="user"]'),
    answers,
    answer: answers.last(),
    sendButton: page.getByRole("button", { name: "Send" }),
    stopButton: page.getByRole("button", { name: "Stop answering" }),
    retryButton: page.getByRole("button", { name: "Try again" }),
    thread: (title) => threads.getByRole("link", { name: title }),

    async say(text) {
      await this.composer.fill(text);
      await this.composer.press("Enter");
    },
    /** Waits until the last answer has the status. */
    async status(status) {
      await messages.locator(`[data-role="assistant"][data-status="${status}"]`).last().waitFor();
    },
    async connection(state) {
      await page.locator(`[data-connection="${state}"]`).first().waitFor({ state: "attached" });
    },
    /** Chooses an entry of the menu of a thread in the list. */
    async option(title, entry) {
      const row = threads.getByRole("listitem").filter({ hasText: title });
      await row.hover();
      await row.getByRole("button", { name: `Options for ${title}` }).click();
      await page.getByRole("menuitem", { name: entry }).click();
    },
  };
};
