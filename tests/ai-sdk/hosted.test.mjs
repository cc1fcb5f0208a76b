// The server's own answers whose calls wait for a person, through `useChat` as it is: one click, and the same message
// goes on. Nothing is shown twice, nothing runs twice, whoever decides and whatever else runs meanwhile.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { FakeLlm, rounds } from "../lib/fake-llm.mjs";
import { Server } from "../lib/server.mjs";
import { ToolServer } from "../lib/tool-server.mjs";
import { gate, until } from "../lib/wait.mjs";
import { guestOf, textOf, transport } from "./lib.mjs";
import { answerIn, tab } from "./tab.mjs";

const suite = { after };
const fake = await FakeLlm.start(suite);
const tools = await ToolServer.start(suite);
const config = `
model = "first/fake-model"
[agents.assistant]
name = "Assistant"
tools = ["*"]
${fake.config("first", "openai")}
${tools.config("pay", "writes = true")}
${tools.config("look", "writes = false")}
`;
const server = await Server.start(suite, { config });

/** Calls of `look` that wait, by what they look at. */
const slow = new Map();
tools.on("look", async ({ input }) => {
  await slow.get(input.of)?.opened;
  return { seen: true };
});
const ran = (of) => tools.calls.filter(({ input }) => input.of === of).length;

for (const major of [6, 7]) {
  const { useChat } = await import(`ai${major}-react`);
  const sdk = await import(`ai${major}`);

  /** A new chat in which `text` is asked, shown by a component; its parts that are calls of `tool`. */
  async function ask(t, text) {
    const { token, rows, id } = await guestOf(server);
    const headers = { authorization: `Bearer ${token}`, "x-spool-ai-sdk": String(major) };
    const wire = transport({ sdk }, server, token, { headers });
    const shown = tab(t, useChat, {
      id,
      transport: wire,
      sendAutomaticallyWhen: sdk.lastAssistantMessageIsCompleteWithApprovalResponses,
    });
    await until(() => shown.current);
    shown.current.sendMessage({ text });
    const calls = (tool) => (answerIn(shown)?.parts ?? []).filter(({ type }) => type === `tool-${tool}`);
    const asked = (n = 1) =>
      until(() => calls("pay").filter(({ state }) => state === "approval-requested").length === n && shown.current.status === "ready", { what: `${n} calls to be asked about` });
    const answer = (call, approved = true) => shown.current.addToolApprovalResponse({ id: call.approval.id, approved });
    const ends = (text) => until(() => shown.current.status === "ready" && textOf(answerIn(shown)).endsWith(text), { what: `the answer to end in ${text}` });
    return { rows, wire, shown, calls, asked, answer, ends };
  }

  const pay = (of) => ({ tool: "pay", input: { of } });
  const look = (of) => ({ tool: "look", input: { of } });

  describe(`the server's own calls and useChat for ai ${major}`, { concurrency: true }, () => {
    test("AP-08: approved, one after the other: the text is there once, each call runs once", async (t) => {
      const [first, second] = [`first ${major}`, `second ${major}`];
      fake.script(`hosted ${major}`, rounds(["Shall I? ", { call: pay(first) }], ["And this? ", { call: pay(second) }], ["Both paid."]));
      const { rows, shown, calls, asked, answer, ends } = await ask(t, `hosted ${major}`);
      await asked();
      assert.deepEqual([textOf(answerIn(shown)), ran(first)], ["Shall I? ", 0]);
      const row = await rows.query("approvals:get", { approvalId: calls("pay")[0].approval.id });
      assert.ok(row.askedAtOffset > Buffer.byteLength("Shall I? "));
      await answer(calls("pay")[0]);
      await until(() => calls("pay").length === 2);
      await asked();
      await answer(calls("pay")[1]);
      await ends("Both paid.");
      assert.equal(textOf(answerIn(shown)), "Shall I? And this? Both paid.");
      assert.deepEqual([ran(first), ran(second)], [1, 1]);
      assert.deepEqual(calls("pay").map(({ state, output }) => [state, output]), [["output-available", { ok: true }], ["output-available", { ok: true }]]);
      assert.deepEqual([shown.current.error, shown.current.messages.length], [undefined, 2]);
      const { parts } = await rows.query("messages:get", { messageId: answerIn(shown).id });
      assert.equal(parts.filter(({ type }) => type === "text").map(({ text }) => text).join(""), textOf(answerIn(shown)));
    });

    test("AP-08: rejected: the call is denied and never runs", async (t) => {
      const of = `denied ${major}`;
      fake.script(of, rounds(["Shall I? ", { call: pay(of) }], ["Then not."]));
      const { shown, calls, asked, answer, ends } = await ask(t, of);
      await asked();
      await answer(calls("pay")[0], false);
      await ends("Then not.");
      assert.deepEqual([textOf(answerIn(shown)), calls("pay")[0].state, ran(of)], ["Shall I? Then not.", "output-denied", 0]);
    });

    test("AP-08: a call that needs nobody ends before the person is asked", async (t) => {
      const [of, seen] = [`beside ${major}`, `seen ${major}`];
      const looking = gate();
      slow.set(seen, looking);
      fake.script(of, rounds(["Both: ", { calls: [pay(of), look(seen)] }], ["Done."]));
      const { shown, calls, asked, answer, ends } = await ask(t, of);
      await until(() => calls("pay")[0]?.state === "approval-requested" && ran(seen) === 1 && shown.current.status === "streaming");
      assert.equal(calls("look")[0].state, "input-available");
      looking.open();
      await asked();
      assert.deepEqual([calls("look")[0].state, calls("look")[0].output], ["output-available", { seen: true }]);
      await answer(calls("pay")[0]);
      await ends("Done.");
      assert.deepEqual([textOf(answerIn(shown)), ran(of), ran(seen), calls("pay")[0].state], ["Both: Done.", 1, 1, "output-available"]);
      assert.equal(shown.current.error, undefined);
    });

    test("AP-03: decided with other arguments on another device while a call runs: nobody is asked again", async (t) => {
      const [of, edited, seen] = [`elsewhere ${major}`, `edited ${major}`, `slow ${major}`];
      const looking = gate();
      slow.set(seen, looking);
      fake.script(of, rounds([{ calls: [pay(of), look(seen)] }], ["Done."]));
      const { rows, wire, shown, calls, ends } = await ask(t, of);
      await until(() => calls("pay")[0]?.state === "approval-requested" && ran(seen) === 1);
      const approvalId = calls("pay")[0].approval.id;
      await rows.mutation("approvals:decide", { approvalId, decision: "approve", edited: { of: edited } });
      // A tab that opens now reads a request that the log has and the row knows better about.
      const late = tab(t, useChat, { id: shown.current.id, messages: shown.current.messages.slice(0, 1), resume: true, transport: wire });
      await until(() => answerIn(late)?.parts.some(({ type }) => type === "tool-look"));
      looking.open();
      await ends("Done.");
      await until(() => late.current.status === "ready");
      for (const seenBy of [shown, late]) {
        const call = answerIn(seenBy).parts.find(({ type }) => type === "tool-pay");
        assert.deepEqual([call.state, call.input, textOf(answerIn(seenBy))], ["output-available", { of: edited }, "Done."]);
      }
      assert.deepEqual([ran(of), ran(edited), shown.current.error, late.current.error], [0, 1, undefined, undefined]);
    });
  });
}
