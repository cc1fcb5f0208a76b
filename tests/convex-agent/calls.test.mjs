// Calls of tools, approvals, artifacts, sources and files in the hooks: what is on the screen while an answer is made
// is what stays of it, and whoever reads on from a cursor has the same as who read from the beginning.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Server, serviceKey } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";
import { answerOf, checkRenders, checkStored, fieldsOf, guestOf, named, over, rowsOf, shows, tab, text, written } from "./lib.mjs";

const server = await Server.start({ after });
const key = await serviceKey(server);

const call = (toolCallId, tool = "search") => ({ type: "tool_start", toolCallId, tool, input: { of: toolCallId } });
const done = (toolCallId, output = { found: toolCallId }) => ({ type: "tool_end", toolCallId, output });
const failed = (toolCallId) => ({ type: "tool_end", toolCallId, error: "no luck" });

/** A file of the user's thread. */
async function uploaded({ token, threadId }) {
  const target = `${server.url}/api/uploads?threadId=${threadId}&name=a.txt`;
  const response = await fetch(target, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "text/plain" }, body: "a" });
  return (await response.json())._id;
}

/** The calls and cards of the newest answer on the screen, as `{name: fields}`. */
const shown = (view) => Object.fromEntries([...named(answerOf(view.now))].map(([name, part]) => [name, fieldsOf(part)]));

/** What the newest answer showed last while it was made. */
const streamed = (view) => view.states.map((state) => answerOf(state)).findLast((message) => message?.id.startsWith("stream:"));

/** `{deltas, parts}` of a stream from a cursor on. */
async function from(user, streamId, cursor, rows = user.rows) {
  const options = { threadId: user.threadId, paginationOpts: { numItems: 0, cursor: null } };
  const { streams } = await rows.query("messages:listMessages", { ...options, streamArgs: { kind: "deltas", cursors: [{ streamId, cursor }] } });
  return { deltas: streams.deltas, parts: streams.deltas.map(({ parts }) => parts) };
}

describe("calls and cards", { concurrency: 4 }, () => {
  test("CL-04: parallel calls, a plan, a decision, a source and a file stay as they were streamed", async (t) => {
    const user = await guestOf(server);
    const backend = rowsOf(server, key);
    const view = tab(t, server, user);
    await until(() => view.now?.status === "Exhausted");
    const { generationId, messageId, append, finish } = await written(server, key, user);
    await append(text("first "), call("a"), call("b"));
    await until(() => shown(view).b?.state === "input-available");
    await append(done("b"));
    await until(() => shown(view).b.state === "output-available");
    await append(failed("a"));
    await until(() => shown(view).a.state === "output-error");
    const { artifactId } = await backend.mutation("artifacts:create", { threadId: user.threadId, generationId, kind: "plan", title: "Plan", content: "one" });
    await until(() => shown(view)[artifactId]?.data.status === "draft");
    await backend.mutation("artifacts:update", { artifactId, baseVersion: 1, content: "two", generationId });
    await until(() => shown(view)[artifactId].data.version === 2);
    const asked = await backend.mutation("approvals:request", { generationId, kind: "tool_call", toolCallId: "c", tool: "pay", input: { amount: 5 } });
    await until(() => shown(view)[asked._id]?.data.status === "pending");
    await user.rows.mutation("approvals:decide", { approvalId: asked._id, decision: "reject", reason: "too dear" });
    await until(() => shown(view).c.state === "output-error");
    assert.equal(shown(view).c.errorText, "denied: too dear");
    const question = await backend.mutation("approvals:request", { generationId, kind: "question", question: "Blue?" });
    await user.rows.mutation("approvals:decide", { approvalId: question._id, decision: "approve" });
    const uploadId = await uploaded(user);
    await append({ type: "source", title: "T", url: "https://example.com/" }, { type: "activity", kind: "read", label: "reading" }, { type: "file", uploadId }, text("last"));
    await shows(view, "first last");
    assert.equal(Object.keys(shown(view)).length, 8);
    await finish();
    await over(view);
    await checkStored(user, view, messageId);
    checkRenders(view);
    assert.deepEqual(shown(view), Object.fromEntries([...named(streamed(view))].map(([name, part]) => [name, fieldsOf(part)])));
  });

  test("a call that ran when the answer was stopped, and one that waited, are over", async (t) => {
    const user = await guestOf(server);
    const backend = rowsOf(server, key);
    const view = tab(t, server, user);
    const { generationId, append } = await written(server, key, user);
    await append(text("a "), call("runs"));
    await backend.mutation("approvals:request", { generationId, kind: "tool_call", toolCallId: "waits", tool: "pay", input: { amount: 5 } });
    await until(() => shown(view).waits?.state === "input-available");
    await user.rows.mutation("generations:stop", { generationId });
    await over(view);
    const states = Object.values(shown(view)).filter(({ type }) => type.startsWith("tool-")).map(({ state, errorText }) => [state, errorText]);
    assert.deepEqual(states, [["output-error", "cancelled"], ["output-error", "cancelled"]]);
    checkRenders(view);
    const { page } = await user.rows.query("threads:listThreadMessages", { threadId: user.threadId, paginationOpts: { numItems: 10, cursor: null } });
    const content = page.find(({ order }) => order === 1).message.content;
    assert.deepEqual(content.map(({ type, output }) => [type, output?.type]).slice(1), [["tool-call", undefined], ["tool-result", "error-json"], ["tool-call", undefined], ["tool-result", "error-json"]]);
  });

  test("from every cursor a stream has the same chunks", async () => {
    const user = await guestOf(server);
    const { generationId, append } = await written(server, key, user);
    const backend = rowsOf(server, key);
    const activity = (n) => ({ type: "activity", kind: "read", label: `page ${n}` });
    await append(text("é "), done("nobody's"));
    for (const id of ["a", "b", "c"]) await append(call(id));
    await append(done("b"));
    await append({ type: "reasoning", text: "hm" });
    await append(done("nobody's"));
    await append(failed("a"));
    await append(done("c"));
    await append(text("one "));
    for (let n = 0; n < 60; n += 1) await append(activity(n));
    await append(text("part"));
    await append(call("d"));
    const asked = await backend.mutation("approvals:request", { generationId, kind: "tool_call", toolCallId: "e", tool: "pay", input: {} });
    await append(call("f"));
    await user.rows.mutation("approvals:decide", { approvalId: asked._id, decision: "reject" });
    await append(done("f"));
    const whole = await from(user, generationId, 0);
    assert.ok(whole.deltas.length > 75);
    for (const [at, { end }] of whole.deltas.entries()) {
      const rest = await from(user, generationId, end);
      assert.deepEqual(rest.parts, whole.parts.slice(at + 1), `from ${end}, behind ${JSON.stringify(whole.parts[at])}`);
    }
    assert.ok(!JSON.stringify(whole.parts).includes("nobody's"));
  });

  test("OP-05: what many cursors give together is bounded, and a stream has one", async () => {
    const user = await guestOf(server);
    const answers = [];
    for (let n = 0; n < 4; n += 1) {
      const answer = await written(server, key, user, `go ${n}`);
      for (let piece = 0; piece < 4; piece += 1) await answer.append(text(`${n}${"x".repeat(50_000)}`));
      await answer.finish();
      answers.push(answer.generationId);
    }
    const options = { threadId: user.threadId, paginationOpts: { numItems: 0, cursor: null } };
    const ask = async (cursors) => (await user.rows.query("messages:listMessages", { ...options, streamArgs: { kind: "deltas", cursors } })).streams.deltas;
    const cursors = answers.map((streamId) => ({ streamId, cursor: 0 }));
    await assert.rejects(ask([cursors[0], cursors[1], cursors[0]]), /streamArgs\.cursors\[2\]\.streamId/);
    const said = new Map(answers.map((id) => [id, ""]));
    let rounds = 0;
    for (let deltas = await ask(cursors); deltas.length > 0; deltas = await ask(cursors)) {
      const bytes = JSON.stringify(deltas).length;
      assert.ok(bytes < 400_000, `${bytes} bytes`);
      for (const { streamId, start, end, parts } of deltas) {
        const cursor = cursors.find((cursor) => cursor.streamId === streamId);
        assert.equal(start, cursor.cursor);
        cursor.cursor = end;
        said.set(streamId, said.get(streamId) + parts.map(({ delta = "" }) => delta).join(""));
      }
      rounds += 1;
    }
    assert.ok(rounds >= 3);
    for (const [n, id] of answers.entries()) assert.equal(said.get(id), `${n}${"x".repeat(50_000)}`.repeat(4));
  });
});
