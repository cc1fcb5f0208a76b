// `useChat` as an application has it, in React: send, then a second tab that mounts with `resume`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, test } from "node:test";
import { FakeLlm } from "../lib/fake-llm.mjs";
import { Server, serviceKey } from "../lib/server.mjs";
import { gate, until } from "../lib/wait.mjs";
import { reasoningOf, rowsOf, text, textOf, transport, userMessage, written } from "./lib.mjs";
import { answerIn, tab } from "./tab.mjs";

const fake = await FakeLlm.start({ after });
const server = await Server.start({ after }, { env: fake.env });
const key = await serviceKey(server);

for (const major of [6, 7]) {
  const { useChat } = await import(`ai${major}-react`);
  const sdk = await import(`ai${major}`);
  test(`useChat for ai ${major} asks its user about a tool call, and the answer goes on`, async (t) => {
    const user = await written(server, key);
    const approval = await rowsOf(server, key).mutation("approvals:request", { generationId: user.generationId, kind: "tool_call", toolCallId: "c", tool: "pay", input: { amount: 5 } });
    const headers = { authorization: `Bearer ${user.token}`, "x-spool-ai-sdk": String(major) };
    const shown = tab(t, useChat, {
      id: user.id,
      messages: [userMessage("go", "go")],
      resume: true,
      transport: transport({ sdk }, server, user.token, { headers }),
      sendAutomaticallyWhen: sdk.lastAssistantMessageIsCompleteWithApprovalResponses,
    });
    const call = () => answerIn(shown)?.parts.find(({ type }) => type === "tool-pay");
    await until(() => call()?.state === "approval-requested" && shown.current.status === "ready");
    shown.current.addToolApprovalResponse({ id: call().approval.id, approved: true });
    await until(async () => (await user.rows.query("approvals:get", { approvalId: approval._id })).status === "approved");
    await user.append({ type: "tool_end", toolCallId: "c", output: "paid" }, text("Done."));
    await user.finish();
    await until(() => shown.current.status === "ready" && textOf(answerIn(shown)) === "Done.");
    assert.deepEqual([call().state, call().output, shown.current.error, shown.current.messages.length], ["output-available", "paid", undefined, 2]);
  });
}

for (const major of [5, 6, 7]) {
  const { useChat } = await import(`ai${major}-react`);
  const sdk = await import(`ai${major}`);
  describe(`useChat for ai ${major}`, () => {
    test("sends, and a second tab resumes the same answer", async (t) => {
      const { token } = await (await fetch(`${server.url}/api/auth/guest`, { method: "POST" })).json();
      const id = randomUUID();
      const options = () => ({ id, transport: transport({ sdk }, server, token) });
      const rest = gate();
      fake.script(`hook ${major}`, [{ reasoning: "hm" }, "one ", "two\n", { wait: rest.opened }, "thrée"]);
      const first = tab(t, useChat, options());
      await until(() => first.current);
      first.current.sendMessage({ text: `hook ${major}` });
      await until(() => textOf(answerIn(first)) === "one two\n");
      assert.equal(first.current.status, "streaming");
      const second = tab(t, useChat, { ...options(), messages: first.current.messages.slice(0, 1), resume: true });
      await until(() => textOf(answerIn(second)) === "one two\n");
      rest.open();
      for (const seen of [first, second]) {
        await until(() => seen.current.status === "ready");
        assert.equal(seen.current.error, undefined);
        assert.deepEqual([textOf(answerIn(seen)), reasoningOf(answerIn(seen))], ["one two\nthrée", "hm"]);
        assert.equal(seen.current.messages.length, 2);
      }
      assert.equal(answerIn(first).id, answerIn(second).id);
      // A tab that opens later finds nothing to resume, and no error.
      const third = tab(t, useChat, { ...options(), messages: second.current.messages, resume: true });
      await until(() => third.current?.status === "ready" && third.current.messages.length === 2);
      assert.equal(third.current.error, undefined);
    });
  });
}
