// Calls of tools in a real browser: their states live, many of them, long results, and messages that wait or steer
// while they run. A runner outside makes the answers, so that every moment can be looked at.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { http } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const backend = http(server, await serviceKey(server));
const browser = await launch({ after });

/** A visitor with a thread, and an answer in it that the backend makes. */
async function begin(t, options = {}) {
  const window = ui(await open(t, browser, server.url, options));
  await window.say("hello");
  await window.status("complete");
  const threadId = new URL(window.page.url()).pathname.split("/").at(-1);
  const { generationId } = await backend.mutation("generations:open", { threadId });
  let offset = 0;
  const add = async (...events) => {
    ({ cursor: offset } = await backend.mutation("generations:append", { generationId, offset, events }));
  };
  const finish = (status = "complete") => backend.mutation("generations:finish", { generationId, status });
  const tool = (name) => window.page.locator(`[data-tool="${name}"]`);
  return { window, threadId, add, finish, tool };
}

const start = (toolCallId, tool, input = {}) => ({ type: "tool_start", toolCallId, tool, input });
const end = (toolCallId, output) => ({ type: "tool_end", toolCallId, output });
const fail = (toolCallId, error) => ({ type: "tool_end", toolCallId, error });
const text = (words) => ({ type: "text", text: words });

describe("tools in the browser", { concurrency: 2 }, () => {
  test("tc_01 calls are shown live, together, with their states, and on the other device, too", async (t) => {
    const { window, add, finish, tool } = await begin(t);
    const other = ui(await open(t, browser, window.page.url(), { like: window.page, colorScheme: "dark" }));
    await add(text("I look for flats near the lake, and what they cost."), start("a", "searchProperties", { city: "Zürich", rooms: 3 }), start("b", "searchProviders", { kind: "mortgage" }));
    for (const where of [window, other]) {
      const group = where.page.getByRole("group", { name: "2 tool calls" });
      await group.getByText("Running").first().waitFor();
      assert.equal(await group.locator('[data-state="running"]').count(), 2);
    }
    await shot(window.page, "tools-running");
    await shot(other.page, "tools-running-dark");
    const flats = Array.from({ length: 60 }, (_, at) => ({ id: `p${at}`, street: `Seestrasse ${at}`, price: 900_000 + at * 1000 }));
    await add(end("a", flats), fail("b", "The provider's server did not answer within 10 seconds."));
    await tool("searchProperties").and(window.page.locator('[data-state="completed"]')).waitFor();
    await tool("searchProviders").and(window.page.locator('[data-state="error"]')).waitFor();
    await tool("searchProviders").getByText("did not answer within 10 seconds").waitFor();

    // By keyboard: the input, the beginning of the result, then all of it.
    await tool("searchProperties").getByRole("button").first().focus();
    await window.page.keyboard.press("Enter");
    await tool("searchProperties").getByText('"city"').waitFor();
    assert.equal(await tool("searchProperties").getByText("Seestrasse 59").count(), 0);
    await shot(window.page, "tools-result");
    await tool("searchProperties").getByRole("button", { name: /Show all/ }).click();
    await tool("searchProperties").getByText("Seestrasse 59").waitFor();
    await add(text("\n\nThere are **60** of them."));
    await finish();
    await window.status("complete");
    await window.page.reload();
    await tool("searchProperties").and(window.page.locator('[data-state="completed"]')).waitFor();
    assert.deepEqual([...window.page.faults, ...other.page.faults], []);
  });

  test("tc_07 of many calls the newest are in sight, and a stopped answer leaves none running", async (t) => {
    const { window, add, finish, tool } = await begin(t, { viewport: { width: 390, height: 780 } });
    for (let at = 0; at < 9; at += 1) await add(start(`c${at}`, "readPage", { page: at }), end(`c${at}`, `page ${at}`));
    await add(start("last", "think"));
    const earlier = window.page.getByRole("button", { name: "6 earlier calls" });
    await earlier.waitFor();
    assert.equal(await tool("readPage").count(), 3);
    await shot(window.page, "tools-many-phone");
    await earlier.click();
    assert.equal(await tool("readPage").count(), 9);
    await finish("stopped");
    await tool("think").and(window.page.locator('[data-state="cancelled"]')).waitFor();
    assert.deepEqual(window.page.faults, []);
  });

  test("cl_04 a message that waits stands at the composer on every device, and is answered in its turn", async (t) => {
    const hold = gate();
    fake.script("first question", ["One moment", { wait: hold.opened }, " and done."]);
    fake.script("second question", ["The second answer."]);
    const window = ui(await open(t, browser, server.url));
    await window.say("first question");
    await window.answer.getByText("One moment").waitFor();
    const other = ui(await open(t, browser, window.page.url(), { like: window.page }));
    await window.composer.fill("second question");
    await window.page.getByRole("radio", { name: "Queue" }).and(window.page.locator('[aria-checked="true"]')).waitFor();
    await shot(window.page, "composer-busy");
    await window.composer.press("Enter");
    for (const where of [window, other]) {
      const waiting = where.page.getByRole("list", { name: "Messages that wait" });
      await waiting.getByText("Queued").waitFor();
      await waiting.getByText("second question").waitFor();
      assert.equal(await where.questions.count(), 1);
    }
    assert.equal(await window.composer.inputValue(), "");
    await window.composer.fill("never mind");
    await window.page.getByRole("radio", { name: "Steer" }).click();
    await window.composer.press("Enter");
    const steers = (where) => where.page.getByRole("listitem").filter({ hasText: "Steering at next step" });
    await steers(other).getByText("never mind").waitFor();
    await shot(window.page, "composer-queued");
    await steers(other).getByRole("button", { name: "Do not send this message" }).click();
    for (const where of [window, other]) await where.messages.getByText("Taken back before it was answered").waitFor();
    hold.open();
    for (const where of [window, other]) {
      await where.answer.getByText("The second answer.").waitFor();
      assert.equal(await where.questions.count(), 3);
      await until(async () => (await where.page.getByRole("list", { name: "Messages that wait" }).count()) === 0);
    }
    assert.deepEqual([...window.page.faults, ...other.page.faults], []);
  });
});
