// The UI in a real browser against a real server with the demo model: every state that an answer can be in
// (PX-04), and what a conversation must survive (CL-02, CL-04 to CL-08).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BASE, launch, open, use } from './lib/page.mjs';
import { Server } from './lib/server.mjs';

let browser;
before(async (t) => {
  use(await Server.start(t));
  browser = await launch();
});
after(() => browser?.close());

test('the first visit asks for no identity and makes no thread', async () => {
  const asked = [];
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(BASE);
  await page.locator('[data-connection=live]').waitFor();
  await page.waitForTimeout(500);
  assert.deepEqual(asked.filter((url) => url.includes('/api/auth')), []);
  assert.deepEqual(asked.filter((url) => new URL(url).host !== new URL(BASE).host && url.startsWith('http')), []);
});

test('an answer is awaited, streams, ends, and is there again after a reload', async () => {
  const { page, send, settled, answer, failures, shot } = await open(browser);
  await shot('start');
  await send('a slow one');
  await page.getByText('Waiting for the first words').waitFor();
  await shot('waiting');
  await page.waitForURL(/\/t\/thr_/);
  await page.locator('[data-status=streaming] .prose').waitFor({ timeout: 20_000 });
  await shot('streaming');
  await settled();
  assert.equal(await answer().getAttribute('data-status'), 'complete');
  const text = await answer().locator('.prose').innerText();
  await page.reload();
  await answer().locator('.prose').waitFor();
  assert.equal(await answer().locator('.prose').innerText(), text);
  assert.equal(await page.locator('[data-role=user]').count(), 1);
  assert.deepEqual(failures, []);
});

test('text only grows, over a reload and a lost connection in the middle', async () => {
  const { page, send, cut, mend, settled, answer, failures } = await open(browser);
  await send('something long');
  await page.locator('[data-status=streaming] .prose').waitFor();
  await page.waitForTimeout(800);
  const before = await answer().locator('.prose').innerText();
  await page.reload();
  await answer().locator('.prose').waitFor();
  const again = await answer().locator('.prose').innerText();
  assert.ok(again.startsWith(before.slice(0, -1)), 'the reload lost text');
  await page.evaluate(() => {
    window.shrank = 0;
    let longest = 0;
    const look = () => {
      // Letters only: signs of Markdown come and go as they turn into what they mean.
      const prose = [...document.querySelectorAll('[data-role=assistant]')].at(-1)?.querySelector('.prose');
      const length = (prose?.textContent ?? '').replace(/\P{L}/gu, '').length;
      if (length < longest) window.shrank += 1;
      longest = length;
      requestAnimationFrame(look);
    };
    look();
  });
  await cut();
  await page.locator('[data-connection=reconnecting]').waitFor({ timeout: 10_000 });
  mend();
  await page.locator('[data-connection=live]').waitFor({ timeout: 40_000 });
  await settled();
  assert.equal(await page.evaluate(() => window.shrank), 0);
  assert.match(await answer().innerText(), /word for word/);
  assert.deepEqual(failures, []);
});

test('a second window shows the answer as it grows, and can stop it', async () => {
  const { page, send, context, shot } = await open(browser);
  await send('something long');
  await page.waitForURL(/\/t\/thr_/);
  const other = await context.newPage();
  await other.goto(page.url());
  await other.locator('[data-status=streaming] .prose').waitFor();
  await other.getByLabel('Stop answering').click();
  await page.getByText('You stopped this answer.').waitFor();
  await shot('stopped');
  await page.getByText('Try again').click();
  await page.locator('[data-status=streaming] .prose').waitFor();
  await page.getByLabel('Stop answering').click();
  await page.getByText('You stopped this answer.').waitFor();
});

test('a tool is named while it runs, and shows what went in and out', async () => {
  const { page, send, settled, shot } = await open(browser);
  await send('use a tool');
  const call = page.locator('[data-tool=count_words]');
  await page.locator('[data-tool=count_words][data-state=running]').waitFor();
  await shot('tool-running');
  await page.locator('[data-tool=count_words][data-state=completed]').waitFor();
  await settled();
  await call.getByRole('button').click();
  await call.getByText('"words"').waitFor();
  await shot('tool-done');
});

test('reasoning is shown while it grows and folded away after', async () => {
  const { page, send, settled, answer } = await open(browser);
  await send('think first');
  await answer().getByText('Thinking').waitFor();
  await settled();
  const fold = answer().getByRole('button', { name: /Thought/ });
  assert.equal(await fold.getAttribute('aria-expanded'), 'false');
  await fold.click();
  await page.getByText(/one of them asks me to think/).waitFor();
});

test('a failed answer keeps its words, says why and can be tried again', async () => {
  const { page, send, settled, answer, shot } = await open(browser);
  await send('an error please');
  await page.getByText('This answer failed.').waitFor();
  await shot('failed');
  assert.match(await answer().innerText(), /these words are kept/);
  await page.getByText('Try again').click();
  await page.locator('[data-status=streaming]').waitFor();
  await settled();
  assert.equal(await page.locator('[data-role=assistant]').count(), 1);
});

test('the newest answer can be made again, in its place', async () => {
  const { page, send, settled, answer } = await open(browser);
  await send('hello');
  await settled();
  const id = await page.locator('[data-role=assistant]').getAttribute('data-key');
  await answer().hover();
  await page.getByLabel('Answer again').click();
  await page.locator('[data-role=assistant]:not([data-status=complete])').waitFor();
  await settled();
  assert.deepEqual(await page.locator('[data-role=assistant]').evaluateAll((all) => all.map(({ dataset }) => dataset.key)), [id]);
});

test('messages written offline are delivered once, in order, even over a reload', async () => {
  const { page, send, settled, cut, mend, context, shot } = await open(browser);
  await send('hello');
  await settled();
  await cut();
  await page.locator('[data-connection=reconnecting]').waitFor({ timeout: 10_000 });
  for (const text of ['first', 'second', 'third']) await send(text);
  await shot('queued');
  mend();
  const address = page.url();
  await page.close();
  const again = await context.newPage();
  await again.goto(address);
  await again.waitForFunction(
    () => document.querySelectorAll('[data-role=assistant][data-status=complete]').length === 4,
    undefined,
    { timeout: 60_000 },
  );
  const asked = await again.locator('[data-role=user] > div').allInnerTexts();
  assert.deepEqual(asked, ['hello', 'first', 'second', 'third']);
});

test('switching threads in the middle of an answer mixes nothing up', async () => {
  const { page, send, settled, failures } = await open(browser);
  await send('use a tool');
  await settled();
  const first = page.url();
  await page.getByRole('link', { name: 'New chat' }).click();
  await send('something long');
  await page.waitForURL((url) => url.href !== first && /\/t\/thr_/.test(url.pathname));
  await page.locator('[data-status=streaming] .prose').waitFor();
  const row = (address) => page.locator(`[data-thread="${address.split('/').at(-1)}"] a`);
  const second = page.url();
  const main = page.locator('main');
  for (let step = 0; step < 40; step += 1) {
    await row(first).click();
    assert.doesNotMatch(await main.innerText(), /life of an answer/);
    await row(second).click();
    assert.doesNotMatch(await main.innerText(), /count your words/);
  }
  await page.getByText('The life of an answer').waitFor();
  assert.deepEqual(failures, []);
});

test('a thread can be renamed, pinned and deleted, and other windows follow', async () => {
  const { page, send, settled, context, shot } = await open(browser);
  await send('hello');
  await settled();
  const other = await context.newPage();
  await other.goto(page.url());
  const row = page.locator(`[data-thread="${page.url().split('/').at(-1)}"]`);
  const choose = async (name) => {
    await row.hover();
    await row.getByRole('button').click();
    await page.getByRole('menuitem', { name }).click();
  };
  await choose('Rename');
  await page.keyboard.type('A name of its own');
  await page.keyboard.press('Enter');
  await other.getByRole('link', { name: 'A name of its own' }).waitFor();
  await choose('Pin');
  await other.getByRole('region', { name: 'Pinned' }).waitFor();
  await choose('Delete');
  await shot('delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForURL((url) => url.pathname === '/');
  await other.getByText('There is no such thread here').waitFor();
  await shot('deleted');
});

test('a link to an unknown thread is met kindly', async () => {
  for (const path of ['/t/thr_00000000000000000000000000', '/t/nonsense']) {
    const { page, failures } = await open(browser, { path });
    await page.getByText('There is no such thread here').waitFor();
    await page.getByText('Start a new chat').click();
    await page.getByText('Start a thread').waitFor();
    assert.deepEqual(failures, []);
  }
});

test('on a small screen the thread list is a drawer', async () => {
  const { page, write, settled, shot } = await open(browser, { small: true, dark: true });
  await shot('small-start');
  await write('hello');
  await page.getByLabel('Send', { exact: true }).click();
  await settled();
  await page.getByLabel('Open the thread list').click();
  await page.getByRole('link', { name: /hello/i }).waitFor();
  await shot('small-drawer');
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: /hello/i }).waitFor({ state: 'hidden' });
});

test('the keyboard reaches everything that matters', async () => {
  const { page, settled } = await open(browser);
  await page.getByLabel('Message', { exact: true }).focus();
  await page.keyboard.type('one line');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('and another');
  await page.keyboard.press('Enter');
  await settled();
  assert.equal(await page.locator('[data-role=user] > div').innerText(), 'one line\nand another');
  await page.keyboard.press('Control+Shift+O');
  await page.waitForURL((url) => url.pathname === '/');
});
