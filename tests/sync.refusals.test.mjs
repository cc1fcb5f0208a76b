// What clients get wrong on the wire: each fault is answered for the request that has it, names the thing,
// and other requests on the same socket go on. A frame that names no request is answered with a FatalError
// (there is no other answer for it; it ends an official client for good, and none sends such frames) or
// closes the connection with a reason.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { guest, page } from "./lib/clients.mjs";
import { RawSession } from "./lib/raw.mjs";
import { Server } from "./lib/server.mjs";
import { within } from "./lib/wait.mjs";

const server = await Server.start({ after });

async function signedIn(t) {
  const session = await RawSession.open(t, server);
  session.authenticate((await guest(server)).token);
  session.modify();
  await session.settled();
  return session;
}

/** The socket still works: a mutation goes through. */
async function works(session) {
  const { success, result } = await session.mutation("threads:create", { title: "still here" });
  assert.equal(success, true);
  assert.match(result, /^thr_/);
}

/** A thread in which something was said: an empty message is more than the opening of an empty one. */
async function begun(session) {
  const { result: threadId } = await session.mutation("threads:create", {});
  await session.mutation("messages:append", { threadId, role: "user", text: "hello" });
  return threadId;
}

describe("refusals on the wire", { concurrency: true }, () => {
  const calls = [
    ["an unknown module", "thread:create", {}, "function_not_found", /thread:create/, /threads:create/],
    ["an unknown function", "threads:creat", {}, "function_not_found", /threads:creat\b/, /threads:create/],
    ["a dotted name", "threads.create", {}, "function_not_found", /threads\.create/, /threads:create/],
    ["no function name", "threads", {}, "function_not_found", /threads/],
    ["an empty path", "", {}, "function_not_found|bad_request", /./],
    ["a path of noise", "../../etc/passwd:read", {}, "function_not_found|bad_request", /passwd/],
    ["a query as a mutation", "threads:page", page(1), "wrong_kind", /threads:page/],
    ["an unknown argument", "threads:create", { titel: "x" }, "bad_request", /titel/],
    ["an argument of the wrong type", "threads:create", { title: 5 }, "bad_request", /title/],
    ["a missing argument", "turns:send", { text: "hi" }, "bad_request", /threadId/],
    ["a nested wrong type", "threads:create", { tags: ["a", 7] }, "bad_request", /tags\[1\]/],
    ["a user id as an argument (IA-01)", "threads:create", { userId: "usr_00000000000000000000000000" }, "bad_request", /userId/],
    ["no id at all", "turns:send", { threadId: "17", text: "hi" }, "bad_id", /threads?/],
    ["an id of another kind (IA-12)", "turns:send", { threadId: "msg_00000000000000000000000000", text: "hi" }, "bad_id", /threads?/],
    ["an unknown id", "turns:send", { threadId: "thr_00000000000000000000000000", text: "hi" }, "not_found", /thread/],
    ["an empty message", "turns:send", null, "empty_message", /./],
  ];
  for (const clientTs of [-1e308, 1e308, 0, -0.5]) {
    test(`a client whose clock says ${clientTs} is served as any other`, async (t) => {
      const session = await RawSession.open(t, server, { connect: false });
      session.send({ type: "Connect", sessionId: session.sessionId, connectionCount: 0, lastCloseReason: "InitialConnect", clientTs });
      session.authenticate((await guest(server)).token);
      session.modify();
      await session.settled();
      await works(session);
      await session.close();
    });
  }

  for (const [name, path, args, code, ...words] of calls) {
    test(`TY-02 TY-03: ${name} fails that call only`, async (t) => {
      const session = await signedIn(t);
      const given = args ?? { threadId: await begun(session), text: "  \n " };
      const failed = await session.mutation(path, given);
      assert.equal(failed.success, false);
      assert.match(failed.errorData?.code ?? `no code: ${failed.result}`, new RegExp(`^(${code})$`));
      for (const word of words) assert.match(`${failed.errorData.message} ${failed.errorData.nearest ?? ""}`, word);
      await works(session);
      await session.close();
    });
  }

  test("each bad query of a burst fails alone, with the path of its fault", async (t) => {
    const session = await signedIn(t);
    const ids = session.modify([
      ["threads:page", page(10)],
      ["threads:pages", page(10)],
      ["threads:page", { paginationOpts: { numItems: "many", cursor: null } }],
      ["threads:page", page(10, "no cursor of ours")],
      ["threads:page", page(-1)],
      ["threads:create", {}],
      ["threads:get", { threadId: "gen_00000000000000000000000000" }],
      ["users:me", {}],
    ]);
    await session.settled();
    const results = await Promise.all(ids.map((id) => session.result(id)));
    assert.deepEqual(results.map(({ type }) => type), ["QueryUpdated", "QueryFailed", "QueryFailed", "QueryFailed", "QueryFailed", "QueryFailed", "QueryFailed", "QueryUpdated"]);
    const codes = results.map(({ errorData }) => errorData?.code);
    assert.equal(codes[1], "function_not_found");
    assert.equal(codes[2], "bad_request");
    assert.match(results[2].errorData.message, /paginationOpts\.numItems/);
    assert.match(results[3].errorMessage, /InvalidCursor/, "the official hook starts over on this word");
    assert.equal(codes[4], "bad_request");
    assert.equal(codes[5], "wrong_kind");
    assert.equal(codes[6], "bad_id");
    await works(session);
    await session.close();
  });

  test("values that no client may send fail their request only", async (t) => {
    const session = await signedIn(t);
    const bad = {
      "a lone surrogate": '{"title":"\\ud800"}',
      "a torn $integer": '{"title":{"$integer":"AA=="}}',
      "a $float of an ordinary number": '{"title":{"$float":"AAAAAAAA8D8="}}',
      "an unknown $form": '{"title":{"$set":[1]}}',
      "a field that begins with $": '{"$title":"x","title":"y"}',
      "a field name beyond ASCII": '{"títle":"x"}',
      "a field name of 1025 characters": JSON.stringify({ ["x".repeat(1025)]: 1 }),
      "nesting without end": `{"title":${"[".repeat(5000)}${"]".repeat(5000)}}`,
      "two argument objects": '{},{"title":"x"}',
      "no object": '"title"',
    };
    for (const [name, args] of Object.entries(bad)) {
      const id = session.requestId++;
      session.send(`{"type":"Mutation","requestId":${id},"udfPath":"threads:create","args":[${args}]}`);
      const failed = await session.response(id).catch((error) => assert.fail(`${name}: ${error.message}`));
      assert.equal(failed.success, false, name);
      assert.equal(failed.errorData?.code, "bad_request", `${name}: ${failed.result}`);
      const queryId = session.queryId++;
      const baseVersion = session.sent.querySet++;
      session.send(`{"type":"ModifyQuerySet","baseVersion":${baseVersion},"newVersion":${baseVersion + 1},"modifications":[{"type":"Add","queryId":${queryId},"udfPath":"threads:page","args":[${args}]}]}`);
      const refused = await session.result(queryId).catch((error) => assert.fail(`${name} (query): ${error.message}`));
      assert.equal(refused.type, "QueryFailed", name);
    }
    await works(session);
    await session.close();
  });

  test("no arguments are an empty object", async (t) => {
    const session = await signedIn(t);
    const id = session.requestId++;
    session.send({ type: "Mutation", requestId: id, udfPath: "threads:create", args: [] });
    assert.equal((await session.response(id)).success, true);
    await session.close();
  });

  test("oversized arguments are refused by name and the socket goes on", async (t) => {
    const session = await signedIn(t);
    const { result: threadId } = await session.mutation("threads:create", {});
    const text = "x".repeat(17 << 20);
    const failed = await session.mutation("turns:send", { threadId, text });
    assert.equal(failed.success, false);
    assert.equal(failed.errorData?.code, "too_large");
    assert.match(failed.errorData.message, /text|argument/i);
    const title = await session.mutation("threads:update", { threadId, title: "y".repeat(100_000) });
    assert.equal(title.errorData?.code, "too_large");
    assert.match(title.errorData.message, /title/);
    await works(session);
    await session.close();
  });

  const frames = {
    "no JSON": "{nonsense",
    "JSON that is no message": "[1,2,3]",
    "a message without a type": '{"hello":"world"}',
    "a known type with wrong fields": '{"type":"Mutation","requestId":"zero"}',
    "a query set version that was never": '{"type":"ModifyQuerySet","baseVersion":77,"newVersion":78,"modifications":[]}',
    "the removal of an unknown query": '{"type":"ModifyQuerySet","baseVersion":1,"newVersion":2,"modifications":[{"type":"Remove","queryId":99}]}',
    "a binary frame": Buffer.from([0, 159, 146, 150]),
  };
  for (const [name, frame] of Object.entries(frames)) {
    test(`malformed: ${name} is answered or closed with a reason, and other requests go on`, async (t) => {
      const session = await signedIn(t);
      session.socket.send(frame);
      const id = session.request("Mutation", "threads:create", { title: "after it" });
      const outcome = await within(
        Promise.race([session.response(id).then(({ success }) => success, () => "closed"), session.closed.then(() => "closed")]),
        "an answer or a close",
      );
      const answers = session.messages.filter(({ type }) => type === "FatalError");
      for (const { error } of answers) assert.match(error, /^bad_request: ./);
      if (outcome === "closed") {
        const { code, reason } = await session.closed;
        assert.ok(code >= 1000 && code !== 1006, `closed with a handshake, not dropped: ${code}`);
        assert.ok(reason.length > 0 && Buffer.byteLength(reason) <= 123, `the reason is told: "${reason}"`);
        assert.deepEqual(answers, [], "a close lets an official client come back, a FatalError does not");
      } else assert.equal(outcome, true);
      const next = await signedIn(t);
      await works(next);
      await next.close();
    });
  }

  test("an unknown message type is named, and the socket goes on", async (t) => {
    const session = await signedIn(t);
    session.send({ type: "SomethingNew", requestId: 7 });
    await works(session);
    assert.match(session.messages.find(({ type }) => type === "FatalError").error, /SomethingNew/);
    await session.close();
  });

  test("endless noise is sent away, and nobody else suffers", async (t) => {
    const [noisy, other] = [await signedIn(t), await signedIn(t)];
    const noise = setInterval(() => noisy.socket.readyState === 1 && noisy.socket.send("{noise"), 1);
    t.after(() => clearInterval(noise));
    const { code } = await within(noisy.closed, "the noisy client to be closed");
    assert.ok(code >= 1000 && code !== 1006, `${code}`);
    await works(other);
    await other.close();
  });

  test("messages before Connect do not harm", async (t) => {
    const session = await RawSession.open(t, server, { connect: false });
    session.send({ type: "Event", eventType: "NetworkRecoveryReconnect", event: { timeSavedMs: 1 } });
    session.modify();
    await Promise.race([session.settled().catch(() => {}), session.closed]);
    const next = await signedIn(t);
    await works(next);
    await next.close();
  });

  test("events are never answered", async (t) => {
    const session = await signedIn(t);
    const before = session.messages.length;
    session.send({ type: "Event", eventType: "ClientConnect", event: [{ name: "x", startTime: 1.5 }] });
    session.send({ type: "Event", eventType: "something new", event: null });
    await works(session);
    assert.ok(session.messages.slice(before).every(({ type }) => ["MutationResponse", "Transition", "Ping"].includes(type)));
    await session.close();
  });
});
