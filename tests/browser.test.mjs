// The product in a real browser, against the UI that the binary embeds: one window, two windows, a bad
// network, a killed server. Screenshots are in .screenshots/.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { FakeLlm, paced } from "./lib/fake-llm.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { Server } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const browser = await launch({ after });

/** A window of a new visitor on `at`. */
const visit = async (t, at = server) => ui(await open(t, browser, at.url));

/** Another device of the same user, on the same address. */
const device = async (t, window) => ui(await open(t, browser, window.page.url(), { like: window.page }));

/** The visible text of the last answer, until it contains `words`. */
const reads = (window, words) => until(async () => (await window.answer.innerText()).includes(words), { what: `the answer to show "${words}"` });

describe("in the browser", { concurrency: 2 }, () => {
  test("from the empty state: a first message makes a thread, the answer streams as markdown", async (t) => {
    const window = await visit(t);
    await window.page.getByRole("heading", { name: "Start a thread" }).waitFor();
    await shot(window.page, "empty");
    const end = gate();
    fake.script("tell me about escrow", ["Escrow is **held ", "by a third** party.\n\n", { wait: end.opened }, "- one\n- two\n"]);
    await window.say("Hey can you tell me about escrow?");
    await reads(window, "party.");
    assert.match(window.page.url(), /\/t\/thr_/);
    assert.equal(await window.answer.locator("strong, [data-streamdown=strong]").first().innerText(), "held by a third");
    await shot(window.page, "streaming");
    end.open();
    await window.status("complete");
    assert.equal(await window.answer.getByRole("listitem").count(), 2);
    await window.thread("Tell me about escrow").waitFor();
    assert.match(await window.page.title(), /Tell me about escrow/);
    await shot(window.page, "answered");
    assert.deepEqual(window.page.faults, []);
  });

  test("a suggestion of the empty state starts a chat", async (t) => {
    const window = await visit(t);
    await window.page.getByRole("button", { name: /Think it through/ }).click();
    await window.status("complete");
    assert.equal(await window.questions.count(), 1);
    assert.deepEqual(window.page.faults, []);
  });

  test("TH-12 ST-02: two windows of one user show the same tokens live", async (t) => {
    const words = Array.from({ length: 8 }, (_, n) => ({ text: `word${n} `, gate: gate() }));
    fake.script("both windows", words.flatMap(({ text, gate: { opened } }) => [text, { wait: opened }]));
    const first = await visit(t);
    await first.say("both windows");
    await reads(first, "word0");
    const second = await device(t, first);
    let expected = "";
    for (const word of words) {
      expected += word.text;
      await Promise.all([reads(first, expected.trim()), reads(second, expected.trim())]);
      word.gate.open();
    }
    await Promise.all([first.status("complete"), second.status("complete")]);
    await shot(second.page, "second-window");
    fake.script("from the second", ["seen in both"]);
    await second.say("from the second");
    await until(async () => (await first.questions.count()) === 2 && (await first.answer.innerText()).includes("seen in both"));
    assert.deepEqual([...first.page.faults, ...second.page.faults], []);
  });

  test("ST-05: a reload in mid-stream shows the text so far and goes on", async (t) => {
    const rest = gate();
    fake.script("reload me", [...paced(20, 5), { wait: rest.opened }, ...paced(20, 5, (n) => `rest${n} `)]);
    const window = await visit(t);
    await window.say("reload me");
    await reads(window, "w19");
    await window.page.reload();
    await reads(window, "w0 w1 w2");
    await reads(window, "w19");
    rest.open();
    await window.status("complete");
    const text = await window.answer.innerText();
    for (let n = 0; n < 20; n += 1) assert.ok(text.includes(`w${n} `) && text.includes(`rest${n}`), `token ${n}`);
    assert.equal(text.match(/w19/g).length, 1);
    assert.deepEqual(window.page.faults, []);
  });

  test("ST-10: stop ends the answer and keeps what was there; try again replaces it", async (t) => {
    fake.script("stop me", (n) => (n === 0 ? ["half an answer ", { hang: true }] : ["a whole answer"]));
    const window = await visit(t);
    await window.say("stop me");
    await reads(window, "half an answer");
    await shot(window.page, "running");
    await window.stopButton.click();
    await window.status("stopped");
    await reads(window, "half an answer");
    assert.equal(fake.of("stop me")[0].closedByClient, true);
    await shot(window.page, "stopped");
    await window.retryButton.click();
    await reads(window, "a whole answer");
    await window.status("complete");
    assert.equal(await window.answers.count(), 1);
    assert.ok(!(await window.answer.innerText()).includes("half an"));
    assert.deepEqual(window.page.faults, []);
  });

  test("ST-09: an error shows itself beside the text that came; try again works", async (t) => {
    fake.script("fail me", (n) => (n === 0 ? ["so far so good ", { error: "the scripted trouble" }] : ["better now"]));
    const window = await visit(t);
    await window.say("fail me");
    await window.status("error");
    const text = await window.answer.innerText();
    assert.match(text, /so far so good/);
    assert.match(text, /the scripted trouble/);
    assert.equal(await window.stopButton.count(), 0, "nothing is streaming any more");
    await shot(window.page, "failed");
    await window.retryButton.click();
    await reads(window, "better now");
    assert.deepEqual(window.page.faults, []);
  });

  test("TH-04 TH-05: rename, pin and delete a thread, live in another window", async (t) => {
    const window = await visit(t);
    await window.say("the first thread");
    await window.status("complete");
    await window.page.getByRole("link", { name: "New chat" }).click();
    await window.page.getByRole("heading", { name: "Start a thread" }).waitFor();
    await window.say("the second thread");
    await window.status("complete");
    const other = await device(t, window);
    await other.thread("The first thread").waitFor();

    await window.option("The first thread", "Rename");
    const title = window.page.getByRole("textbox", { name: "Thread title" });
    await title.fill("Renamed by hand");
    await title.press("Enter");
    await Promise.all([window.thread("Renamed by hand").waitFor(), other.thread("Renamed by hand").waitFor()]);
    await window.option("Renamed by hand", "Pin");
    for (const { threads } of [window, other]) await threads.getByRole("region", { name: /pinned/i }).getByRole("link", { name: "Renamed by hand" }).waitFor();
    await shot(window.page, "threads");

    await window.option("The second thread", "Delete");
    await shot(window.page, "delete");
    await window.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    for (const { thread } of [window, other]) await thread("The second thread").waitFor({ state: "detached" });
    await until(() => new URL(window.page.url()).pathname === "/");
    await other.page.getByRole("heading", { name: "There is no such thread here" }).waitFor(); // it was in that thread
    await shot(other.page, "thread-gone");
    assert.deepEqual([...window.page.faults, ...other.page.faults], []);
  });

  test("a stranger's address shows nothing of the thread", async (t) => {
    fake.script("private matter", ["for your eyes only"]);
    const window = await visit(t);
    await window.say("private matter");
    await window.status("complete");
    const stranger = ui(await open(t, browser, window.page.url()));
    await stranger.page.getByRole("heading", { name: "There is no such thread here" }).waitFor();
    assert.ok(!(await stranger.page.locator("body").innerText()).includes("for your eyes only"));
    assert.equal(await stranger.questions.count(), 0);
    await shot(stranger.page, "stranger");
  });

  test("offline: what is written is kept and sent when the network is back", async (t) => {
    const network = await Proxy.start(t, server);
    const window = await visit(t, network);
    await window.say("before the tunnel");
    await window.status("complete");
    await window.page.context().setOffline(true);
    network.offline(); // the browser's own switch leaves open sockets alone
    await window.connection("offline");
    await window.say("written in the tunnel");
    await until(async () => (await window.questions.count()) === 2);
    await shot(window.page, "offline");
    assert.equal(fake.of("written in the tunnel").length, 0);
    network.online();
    await window.page.context().setOffline(false);
    await window.connection("live");
    await until(() => fake.of("written in the tunnel").length === 1, { timeout: 20_000, what: "the message to be sent" });
    await until(async () => (await window.answers.count()) === 2);
    await window.status("complete");
    assert.equal(await window.questions.count(), 2);
    assert.deepEqual(window.page.faults, []);
  });

  test("another origin may call the functions: preflight, answer and refusal", async (t) => {
    const page = await open(t, browser, fake.env.OPENAI_BASE_URL); // a page of another port, hence origin
    const answers = await page.evaluate(async (url) => {
      const { token } = await (await fetch(`${url}/api/auth/guest`, { method: "POST" })).json();
      const call = async (body, authorization) => {
        const headers = { "content-type": "application/json", "convex-client": "npm-1.48.0", authorization };
        const response = await fetch(`${url}/api/query`, { method: "POST", headers, body });
        return [response.status, (await response.json()).status ?? "refused"];
      };
      const body = JSON.stringify({ path: "users:me", args: [{}], format: "convex_encoded_json" });
      return [await call(body, `Bearer ${token}`), await call("{nonsense", `Bearer ${token}`), await call(body, "Bearer forged")];
    }, server.url);
    assert.deepEqual(answers, [[200, "success"], [400, "refused"], [401, "refused"]]);
  });

  test("on a small screen the thread list is a drawer", async (t) => {
    const page = await open(t, browser, server.url, { viewport: { width: 390, height: 780 }, hasTouch: true });
    const window = ui(page);
    await window.composer.fill("on the phone");
    await window.sendButton.tap();
    await window.status("complete");
    await page.getByRole("button", { name: "Open the thread list" }).click();
    await window.thread("On the phone").waitFor();
    await shot(page, "phone-drawer");
    await page.keyboard.press("Escape");
    await shot(page, "phone");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.equal(wide, false, "nothing is wider than the screen");
    assert.deepEqual(page.faults, []);
  });
});

test("ST-11: kill -9 in mid-stream while windows are open: they come back, all that was acknowledged is there", async (t) => {
  const own = await Server.start(t, { env: fake.env, config: "[turns]\nlease_seconds = 3\n" });
  fake.script("kill me", (n) => (n === 0 ? [...paced(10, 5), { hang: true }] : ["after the restart"]));
  const first = await visit(t, own);
  await first.say("hello");
  await first.status("complete");
  await first.say("kill me");
  await reads(first, "w9");
  const second = await device(t, first);
  await reads(second, "w9");

  await own.kill();
  await first.connection("reconnecting");
  await shot(first.page, "killed");
  await reads(first, "w9");
  await own.start();
  for (const window of [first, second]) {
    await window.connection("live");
    await window.status("interrupted");
    assert.equal(await window.questions.count(), 2);
    await reads(window, "w9");
  }
  await shot(first.page, "interrupted");
  await second.retryButton.click();
  await Promise.all([reads(first, "after the restart"), reads(second, "after the restart")]);
  await Promise.all([first.status("complete"), second.status("complete")]);
  assert.deepEqual([...first.page.faults, ...second.page.faults], []);
});

test("what is written while the server is gone is delivered once when it is back, also after a reload", async (t) => {
  const own = await Server.start(t, { env: fake.env });
  const window = await visit(t, own);
  await window.say("before the crash");
  await window.status("complete");
  await own.kill();
  await window.connection("reconnecting");
  await window.say("after the crash");
  await until(async () => (await window.questions.count()) === 2);
  assert.equal(fake.of("after the crash").length, 0);
  await own.start();
  await until(() => fake.of("after the crash").length === 1, { timeout: 30_000, what: "the message to be delivered" });
  await window.page.reload();
  await until(async () => (await window.answers.count()) === 2 && (await window.questions.count()) === 2);
  await window.status("complete");
  assert.equal(fake.of("after the crash").length, 1);
  assert.deepEqual(window.page.faults, []);
});
