// Sign-in in a real browser: a guest becomes a person, devices are listed and signed out, passwords change.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { admin, person, tokenOf, Visitor } from "./lib/account.mjs";
import { launch, open, shot as picture, ui } from "./lib/browser.mjs";
import { FakeLlm } from "./lib/fake-llm.mjs";
import { Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const browser = await launch({ after });
const PASSWORD = "correct horse battery";
const NEW = "staple correct horse";

const field = (page, name) => page.getByLabel(name, { exact: true });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const you = (page) => page.getByRole("region", { name: "You" });

/** A picture once everything has come to rest. */
async function shot(page, name) {
  await page.evaluate(() => {
    const ends = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity);
    return Promise.allSettled(ends.map((one) => one.finished));
  });
  await picture(page, name);
}

/** A window of somebody who signs in on the page. */
async function signedIn(t, email, options = {}) {
  const page = await open(t, browser, `${server.url}/sign-in`, options);
  await field(page, "E-mail").fill(email);
  await field(page, "Password").fill(PASSWORD);
  await field(page, "Password").press("Enter");
  await you(page).getByText(email).waitFor();
  return page;
}

async function accountDialog(page) {
  await button(you(page), "Account").click();
  await page.getByRole("menuitem", { name: "Account and devices" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("This device").waitFor();
  return dialog;
}

describe("sign-in in the browser", { concurrency: 2 }, () => {
  test("IA-02: a link leads to a password, the chat works, and signing out ends in a guest", async (t) => {
    const link = await admin(server, "create", "--email", "root@example.com");
    const page = await open(t, browser, link);
    await page.getByRole("heading", { name: "Choose a password" }).waitFor();
    await field(page, "New password").fill(PASSWORD);
    await field(page, "The same again").fill("something else");
    await button(page, "Set the password").click();
    await page.getByText("The two passwords are not the same.").waitFor();
    await shot(page, "signin-set-password");
    await field(page, "The same again").fill(PASSWORD);
    await button(page, "Set the password").click();
    await you(page).getByText("root@example.com").waitFor();
    await you(page).getByText("Administrator").waitFor();
    assert.equal(new URL(page.url()).hash, "", "the token is out of the address");
    await ui(page).say("hello");
    await ui(page).status("complete");
    await shot(page, "signin-account-bar");
    await page.reload();
    await ui(page).thread("hello").waitFor();

    await button(you(page), "Account").click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await you(page).getByText("Guest").waitFor();
    assert.equal(await ui(page).threads.getByRole("link").count(), 0, "nothing of the person is left");
    await shot(page, "signin-guest-bar");
    assert.deepEqual(page.faults, []);
  });

  test("IA-02: a wrong password is told, and a person comes back to where they were", async (t) => {
    await person(server, "ada@example.com", PASSWORD);
    const page = await open(t, browser, server.url);
    await you(page).getByRole("link", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await shot(page, "signin-page");
    await field(page, "E-mail").fill("ada@example.com");
    await field(page, "Password").fill("not the password");
    await button(page, "Sign in").click();
    await page.getByRole("alert").getByText("The e-mail address or the password is wrong.").waitFor();
    await shot(page, "signin-wrong");
    await field(page, "Password").fill(PASSWORD);
    await button(page, "Sign in").click();
    await you(page).getByText("ada@example.com").waitFor();
    await page.goto(`${server.url}/sign-in?next=${encodeURIComponent("//evil.example/x")}`);
    await field(page, "E-mail").fill("ada@example.com");
    await field(page, "Password").fill(PASSWORD);
    await button(page, "Sign in").click();
    await you(page).waitFor();
    assert.equal(new URL(page.url()).origin, server.url, "and nowhere else");
    await page.goto(`${server.url}/forgot`);
    await page.getByText("This server sends no mails.").waitFor();
    await shot(page, "signin-forgot");
    assert.deepEqual(page.faults, []);
  });

  test("IA-13: devices are listed; one is signed out from another and says so", async (t) => {
    await person(server, "bob@example.com", PASSWORD);
    const here = await signedIn(t, "bob@example.com", { colorScheme: "dark" });
    const there = await signedIn(t, "bob@example.com");
    const program = new Visitor(server, { "user-agent": "spool-script/1.0" });
    const { sessionId } = await program.ok("sign-in", { email: "bob@example.com", password: PASSWORD });
    assert.ok(sessionId);
    const dialog = await accountDialog(here);
    await dialog.getByText("spool-script").waitFor();
    assert.equal(await dialog.getByRole("listitem").count(), 4, "live: also the one of the link");
    await shot(here, "signin-devices-dark");
    await button(dialog, "Sign out spool-script").click();
    await dialog.getByText("spool-script").waitFor({ state: "detached" });
    assert.equal((await program.post("token")).status, 401);

    await button(dialog, "Change the password").click();
    await field(dialog, "Old password").fill("wrong wrong wrong");
    await field(dialog, "New password").fill(NEW);
    await button(dialog, "Change the password").click();
    await dialog.getByRole("alert").getByText("The old password is wrong.").waitFor();
    await shot(here, "signin-change-dark");
    await field(dialog, "Old password").fill(PASSWORD);
    await button(dialog, "Change the password").click();
    await dialog.getByText("Changed. Other devices were signed out.").waitFor();
    await until(async () => (await dialog.getByRole("listitem").count()) === 1);
    await there.getByText("You were signed out on this device.").waitFor();
    await shot(there, "signin-ended");
    await there.getByRole("link", { name: "go on as a guest" }).click();
    await you(there).getByText("Guest").waitFor();
    assert.deepEqual([...here.faults, ...there.faults], []);
  });

  test("IA-02: where guests are not taken the sign-in page comes first, with sign-up if it is open", async (t) => {
    const closed = await Server.start(t, { env: fake.env, config: '[guests]\npolicy = "off"\n[auth.password]\nsign_up = "open"' });
    const page = await open(t, browser, `${closed.url}/t/thr_00000000000000000000000000`, { viewport: { width: 390, height: 800 } });
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await shot(page, "signin-small");
    await page.getByRole("link", { name: "Make one" }).click();
    await field(page, "Name").fill("Eve");
    await field(page, "E-mail").fill("eve@example.com");
    await field(page, "Password").fill(PASSWORD);
    await shot(page, "signin-sign-up");
    await button(page, "Make the account").click();
    await page.waitForURL(`${closed.url}/t/thr_00000000000000000000000000`);
    await page.getByRole("button", { name: "Open the thread list" }).click();
    await you(page).getByText("Eve").waitFor();
    await shot(page, "signin-small-drawer");
    assert.deepEqual(page.faults, []);
  });

  test("IA-14: an account is deleted from its dialog, once its address is typed", async (t) => {
    await person(server, "gone@example.com", PASSWORD);
    const page = await signedIn(t, "gone@example.com");
    await ui(page).say("hello");
    await ui(page).status("complete");
    const dialog = await accountDialog(page);
    await button(dialog, "Delete the account").click();
    await field(dialog, "Type gone@example.com to confirm").fill("somebody else");
    await button(dialog, "Delete everything").click();
    await shot(page, "signin-delete");
    await button(dialog, "Delete everything").waitFor();
    assert.equal((await new Visitor(server).post("sign-in", { email: "gone@example.com", password: PASSWORD })).status, 200, "still there");
    await field(dialog, "Type gone@example.com to confirm").fill("gone@example.com");
    await button(dialog, "Delete everything").click();
    await you(page).getByText("Guest").waitFor();
    assert.equal(await ui(page).threads.getByRole("link").count(), 0, "nothing of the person is left");
    const again = await new Visitor(server).post("sign-in", { email: "gone@example.com", password: PASSWORD });
    assert.equal(again.body.reason, "wrong_password");
    assert.deepEqual(page.faults, []);
  });

  test("IA-02: a link that was used says so", async (t) => {
    const token = tokenOf(await admin(server, "invite", "--email", "used@example.com"));
    await new Visitor(server).ok("reset", { token, password: PASSWORD });
    const page = await open(t, browser, `${server.url}/set-password#${token}`);
    await field(page, "New password").fill(NEW);
    await field(page, "The same again").fill(NEW);
    await button(page, "Set the password").click();
    await page.getByRole("alert").getByText("This link was used").waitFor();
    assert.deepEqual(page.faults, []);
  });
});
