// The inbox in a real browser: what waits across threads, answered one by one and together, on two devices, and
// the notices of this browser. A runner outside asks, with a service key.

import assert from "node:assert/strict";
import { createECDH, randomBytes } from "node:crypto";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { http, live, page, watch } from "./lib/clients.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Issuer } from "./lib/issuer.mjs";
import { Server, serviceKey } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";
import { call, operatorToken } from "./lib/workers.mjs";

const fake = await FakeLlm.start({ after });
const issuer = await Issuer.start({ after });
const config = `
${issuer.config()}
[roles.known.supervisor]
name = "Supervisor"
[approvals]
approver_roles = ["supervisor"]
approvers = 2
high_risk = ["wire_*"]
`;
const server = await Server.start({ after }, { env: fake.env, config });
const backend = http(server, await serviceKey(server));
const browser = await launch({ after });

const button = (where, name) => where.getByRole("button", { name, exact: true });

/** Another thread of the visitor, with an answer that the backend makes. */
async function thread(window, words) {
  await window.page.goto(server.url);
  await window.say(words);
  await window.status("complete");
  const threadId = new URL(window.page.url()).pathname.split("/").at(-1);
  const { generationId } = await backend.mutation("generations:open", { threadId });
  return {
    threadId,
    generationId,
    ask: (args) => backend.mutation("approvals:request", { generationId, ...args }),
  };
}

const pay = (toolCallId, input = { amount: 5, to: "Ada" }) => ({ kind: "tool_call", toolCallId, tool: "pay", input });
const became = async ({ _id }) => (await backend.query("approvals:get", { approvalId: _id })).status;
const row = (window, asked) => window.page.locator(`li[data-approval="${asked._id}"]`);
const bell = (window, name) => window.page.getByRole("link", { name, exact: true });

async function visit(t, options = {}) {
  const window = ui(await open(t, browser, server.url, options));
  return window;
}

async function inbox(window) {
  await window.page.goto(`${server.url}/#/inbox`);
  await window.page.getByRole("heading", { name: "Inbox", level: 1 }).waitFor();
}

describe("the inbox in the browser", { concurrency: 2 }, () => {
  test("ap_01 what waits in two threads is counted, found, answered together and alone, and kept", async (t) => {
    const window = await visit(t);
    const first = await thread(window, "the flat at the lake");
    const second = await thread(window, "the journey");
    const { artifactId } = await backend.mutation("artifacts:create", {
      threadId: second.threadId,
      generationId: second.generationId,
      kind: "plan",
      title: "Journey",
      content: "# Journey\n\n1. Book the train\n2. Pack\n",
    });
    const calls = [await first.ask(pay("t1")), await first.ask(pay("t2", { amount: 1200, to: "The landlord", note: "First month's rent" }))];
    const question = await second.ask({ kind: "question", question: "Which city do you start from?", options: ["Bern", "Basel"] });
    const plan = await second.ask({ kind: "plan", artifactId });
    await bell(window, "Inbox, 4 waiting, new").click();
    const list = window.page.getByRole("list", { name: "Waiting for you" });
    await list.getByRole("listitem").nth(3).waitFor();
    assert.equal(await list.getByRole("listitem").count(), 4);
    await row(window, calls[1]).getByText("The flat at the lake").waitFor();
    await bell(window, "Inbox, 4 waiting").waitFor();
    await shot(window.page, "inbox");

    await window.page.getByRole("combobox", { name: "Kind" }).selectOption({ label: "Questions" });
    await until(async () => (await list.getByRole("listitem").count()) === 1);
    await row(window, question).getByRole("button").first().click();
    await button(row(window, question), "Basel").waitFor();
    await shot(window.page, "inbox-question");
    await button(row(window, question), "Basel").click();
    await row(window, question).and(window.page.locator('[data-status="approved"]')).waitFor();
    await window.page.getByRole("combobox", { name: "Kind" }).selectOption({ label: "All kinds" });

    // By keyboard: all that can be decided together, which the question is not.
    await window.page.getByRole("checkbox", { name: "Select all" }).focus();
    await window.page.keyboard.press("Space");
    const together = window.page.getByRole("group", { name: "Decide about all that are selected" });
    await together.getByText("3 selected").waitFor();
    await shot(window.page, "inbox-batch");
    await together.getByRole("button", { name: "Approve 3" }).click();
    await window.page.getByText("3 approved").waitFor();
    for (const asked of [...calls, plan]) await row(window, asked).and(window.page.locator('[data-status="approved"]')).waitFor();
    assert.deepEqual(await Promise.all([...calls, plan, question].map(became)), ["approved", "approved", "approved", "approved"]);
    await bell(window, "Inbox").waitFor();

    await window.page.getByRole("radio", { name: "Decided" }).click();
    await row(window, plan).getByRole("button").first().click();
    await row(window, plan).getByText("Book the train").waitFor();
    await shot(window.page, "inbox-decided");
    await row(window, plan).getByRole("link", { name: "Go to the conversation" }).click();
    await window.page.waitForURL(`${server.url}/t/${second.threadId}`);
    await window.page.goBack();
    await window.page.reload();
    await window.page.getByText("Nothing waits for you").waitFor();
    await shot(window.page, "inbox-empty");
    assert.deepEqual(window.page.faults, []);
  });

  test("ap_02 two devices: the faster decides, the other says so; what is late expires before the eyes", async (t) => {
    const window = await visit(t, { colorScheme: "dark" });
    const { ask } = await thread(window, "the money");
    const asked = await ask(pay("t1"));
    const short = await ask({ ...pay("t2"), expiresAt: Date.now() + 14_000 });
    const phone = ui(await open(t, browser, server.url, { like: window.page, viewport: { width: 390, height: 780 }, colorScheme: "dark" }));
    await inbox(window);
    await row(window, short).getByText(/Expires in \d+ s/).waitFor();
    for (const where of [window, phone]) {
      await inbox(where);
      await row(where, asked).getByRole("button").first().click();
      await button(row(where, asked), "Approve").waitFor();
    }
    await shot(window.page, "inbox-open-dark");
    await shot(phone.page, "inbox-phone-dark");
    await row(phone, asked).getByRole("textbox", { name: "Reason" }).fill("Not today");
    await button(row(phone, asked), "Reject").click();
    await row(window, asked).and(window.page.locator('[data-status="rejected"]')).waitFor();
    await row(window, asked).getByText("Not today").waitFor();
    assert.equal(await button(row(window, asked), "Approve").count(), 0);
    for (const where of [window, phone]) await row(where, short).and(where.page.locator('[data-status="expired"]')).waitFor();
    assert.deepEqual([...window.page.faults, ...phone.page.faults], []);
  });

  test("ap_02 what is of high risk is approved by two: the one here has no more to say, and sees the other", async (t) => {
    const window = await visit(t);
    const boss = live(t, server, issuer.token({ sub: "boss", name: "Grace" }));
    const { _id: userId } = await boss.query("users:me", {});
    await call(server, "mutation", "users:setRoles", { userId, roles: ["supervisor"] }, await operatorToken(server));
    const { ask } = await thread(window, "the big money");
    const asked = await ask({ kind: "tool_call", toolCallId: "t1", tool: "wire_money", input: { amount: 90_000, to: "The seller" } });
    const card = window.page.locator(`section[data-approval="${asked._id}"]`);
    await card.getByText("High risk").waitFor();
    await card.getByText("0 of 2 approvals").waitFor();
    assert.equal(await button(card, "Edit").count(), 0);
    await button(card, "Approve").click();
    await card.getByText("You have approved. Others have to, too.").waitFor();
    await shot(window.page, "votes");
    const theirs = watch(boss, "approvals:list", page());
    await until(() => theirs.current?.awaitingMyVote.some(({ _id }) => _id === asked._id));
    await boss.mutation("approvals:decide", { approvalId: asked._id, decision: "approve" });
    await card.and(window.page.locator('[data-status="approved"]')).waitFor();
    await card.getByText(/by Grace/).waitFor();
    assert.deepEqual(window.page.faults, []);
  });

  test("ap_08 a rule is made with the answer, says so, and is taken back", async (t) => {
    const window = await visit(t);
    const { ask } = await thread(window, "the rule");
    const asked = await ask(pay("t1"));
    const card = window.page.locator(`section[data-approval="${asked._id}"]`);
    await button(card, "Decide for good").click();
    await shot(window.page, "approval-for-good");
    await window.page.getByRole("menuitem", { name: "Approve, and always allow pay" }).click();
    await card.and(window.page.locator('[data-status="approved"]')).waitFor();
    await button(window.page, "Memory and instructions").click();
    const dialog = window.page.getByRole("dialog", { name: "Memory and instructions" });
    await dialog.getByText("Always allowed").waitFor();
    await dialog.getByRole("textbox", { name: "Instructions for every conversation" }).fill("Answer in one sentence.");
    await button(dialog, "Save").click();
    await until(async () => (await button(dialog, "Save").count()) === 0);
    await shot(window.page, "settings");
    await button(dialog, "Take back: pay").click();
    await until(async () => (await dialog.getByText("Always allowed").count()) === 0);
    assert.deepEqual(window.page.faults, []);
  });

  test("ap_01 this browser is switched on and off, and its worker says what is pushed and nothing else", async (t) => {
    const page = await open(t, browser, server.url, { permissions: ["notifications"] });
    // There is no push service behind a browser of a test: a subscription as one would give it.
    const key = createECDH("prime256v1");
    key.generateKeys();
    const given = {
      endpoint: "https://push.example/of-this-test",
      keys: { p256dh: key.getPublicKey("base64url"), auth: randomBytes(16).toString("base64url") },
    };
    await page.addInitScript((subscription) => {
      const there = { kept: null };
      const made = (key) => ({ ...subscription, options: { applicationServerKey: key }, toJSON: () => subscription, unsubscribe: async () => ((there.kept = null), true) });
      PushManager.prototype.subscribe = async ({ applicationServerKey }) => (there.kept = made(applicationServerKey.buffer ?? applicationServerKey));
      PushManager.prototype.getSubscription = async () => there.kept;
    }, given);
    const window = ui(page);
    await thread(window, "tell me");
    await inbox(window);
    const turn = page.getByRole("switch", { name: "Notify this browser" });
    await turn.click();
    await turn.and(page.locator('[aria-checked="true"]')).waitFor();
    await shot(page, "inbox-push");

    // The worker is the server's own file, and the page's policy lets it be.
    const cdp = await page.context().newCDPSession(page);
    const registered = new Promise((resolve) => cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && resolve(registrations[0])));
    await cdp.send("ServiceWorker.enable");
    const { registrationId } = await registered;
    const deliver = (data) => cdp.send("ServiceWorker.deliverPushMessage", { origin: server.url, registrationId, data });
    const shown = () => page.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(({ title, body, data }) => ({ title, body, data })));
    const notice = JSON.stringify({ title: "A tool waits for your approval", body: "pay", url: "https://evil.example/t/x/y", approvalId: "apr_1" });
    // A push service keeps what a worker that only begins cannot take yet; a second one takes the place of the first.
    await until(async () => (await deliver(notice), (await shown()).length === 1), { what: "the notification" });
    assert.deepEqual(await shown(), [{ title: "A tool waits for your approval", body: "pay", data: { path: "/#/inbox" } }]);
    await deliver("no JSON");
    await until(async () => (await shown()).some(({ title }) => title === "Something waits for you"));

    await turn.click();
    await turn.and(page.locator('[aria-checked="false"]')).waitFor();
    assert.deepEqual(page.faults, []);
  });
});
