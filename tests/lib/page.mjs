// A browser, a page on the running server, and a connection that a test can cut. Owns nothing of what is
// tested.
//
//   CHROMIUM    the browser (default /usr/bin/chromium)
//   SHOTS       a directory for screenshots; none are taken without it

import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** The server under test, with the demo model. */
export let BASE;

export function use(server) {
  BASE = server.url;
}

const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: QUIET });
}

/** A page of a visitor of its own, whose sync connection can be cut and given back. */
export async function open(browser, { path = '/', dark = false, small = false } = {}) {
  const context = await browser.newContext({
    viewport: small ? { width: 390, height: 844 } : { width: 1280, height: 800 },
    colorScheme: dark ? 'dark' : 'light',
    hasTouch: small,
    isMobile: small,
  });
  const line = { cut: false, sockets: new Set() };
  await context.routeWebSocket(/\/sync$/, (socket) => {
    if (line.cut) return void socket.close();
    line.sockets.add(socket);
    const server = socket.connectToServer();
    server.onClose(() => line.sockets.delete(socket));
  });
  const page = await context.newPage();
  const failures = [];
  page.on('pageerror', (error) => failures.push(error.message));
  await page.goto(BASE + path);
  const seen = {
    page,
    failures,
    context,
    cut: async () => {
      line.cut = true;
      for (const socket of line.sockets) await socket.close();
      line.sockets.clear();
    },
    mend: () => {
      line.cut = false;
    },
    write: (text) => page.getByLabel('Message', { exact: true }).fill(text),
    send: async (text) => {
      await page.getByLabel('Message', { exact: true }).fill(text);
      await page.getByLabel('Send', { exact: true }).click();
    },
    /** Until the answer is over. */
    settled: () => page.getByLabel('Send', { exact: true }).waitFor({ timeout: 60_000 }),
    answer: () => page.locator('[data-role=assistant]').last(),
    shot: async (name) => {
      if (process.env.SHOTS !== undefined) await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
    },
  };
  return seen;
}
