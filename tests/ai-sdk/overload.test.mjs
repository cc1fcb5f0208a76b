// At its limit of open connections the server refuses a chat before it begins anything for it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeLlm } from "../lib/fake-llm.mjs";
import { Server } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { chat, chunks, deltasOf, guestOf, refused, releases, userMessage } from "./lib.mjs";

test("above its connections a chat is refused with 503 and Retry-After, and no turn runs for nobody", async (t) => {
  const fake = await FakeLlm.start(t);
  const server = await Server.start(t, { config: "connections = 1", env: fake.env });
  const holder = await guestOf(server);
  fake.script("hold", ["held", { hang: true }]);
  const leave = new AbortController();
  const held = await holder.post({ messages: [userMessage("u", "hold")] }, { signal: leave.signal });
  assert.equal(held.status, 200);
  const holding = chunks(held).catch(() => {});

  const late = await guestOf(server);
  const file = { type: "file", mediaType: "text/plain", url: "data:;base64,YQ==" };
  for (const response of [await late.say("unheard"), await late.post({ messages: [{ ...userMessage("f", "unheard"), parts: [file] }] }), await holder.stream()]) {
    assert.ok(Number(response.headers.get("retry-after")) >= 1);
    const refusal = await refused(response);
    assert.deepEqual([refusal.status, refusal.code], [503, "overloaded"]);
  }
  for (const release of releases) {
    const talk = chat(t, release, server, late.token, { id: late.id });
    await talk.sendMessage({ text: "unheard" });
    assert.equal(talk.status, "error", release.version);
  }
  assert.equal(await late.rows.query("threads:find", { externalId: late.id }), null, "nothing was written");
  assert.equal(fake.of("unheard").length, 0, "no model was asked");

  leave.abort();
  await holding;
  fake.script("heard", ["yes"]);
  const answered = await until(async () => {
    const response = await late.say("heard", "again");
    return response.status === 200 && response;
  });
  assert.equal(deltasOf(await chunks(answered)), "yes");
});
