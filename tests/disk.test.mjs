// A full disk: writes are refused with their code, reads go on, nothing acknowledged is lost, and with
// room again everything works without a restart. The disk is a small tmpfs in a mount namespace of the
// server's own; where the system allows no such namespace the test is skipped.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { follow, guest, http, live, page, watch } from "./lib/clients.mjs";
import { FakeLlm, paced } from "./lib/fake-llm.mjs";
import { call } from "./lib/load.mjs";
import { Server, SPOOL_BIN, temporary } from "./lib/server.mjs";
import { gate, until } from "./lib/wait.mjs";

const MOUNT = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"', "sh"];
const inside = (server, ...command) =>
  execFileSync("nsenter", ["-t", `${server.pid}`, "-U", "-m", "--preserve-credentials", ...command], { encoding: "utf8", timeout: 20_000 });

function namespaces() {
  try {
    execFileSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], { stdio: "ignore", timeout: 5000 });
    return true;
  } catch {
    return false;
  }
}

test("a full disk refuses writes by name and loses nothing", { skip: namespaces() ? false : "no mount namespaces here" }, async (t) => {
  const fake = await FakeLlm.start(t);
  const data = await temporary(t);
  const server = await Server.start(t, { data, env: fake.env, within: [...MOUNT, "12m", data], config: "[turns]\nlease_seconds = 3\n" });
  const { token } = await guest(server);
  const client = live(t, server, token);
  const threadId = await client.mutation("threads:create", { title: "small disk" });
  const list = watch(client, "threads:page", page());

  // A turn is running when the disk fills up.
  const rest = gate();
  fake.script("streaming", [...paced(5, 1), { wait: rest.opened }, ...paced(200, 1, () => "0123456789 ".repeat(20))]);
  const running = await client.mutation("turns:send", { threadId: await client.mutation("threads:create", {}), text: "streaming" });
  const log = follow(client, running.generationId);
  await until(() => log.text.endsWith("w4 "));

  const kept = [];
  let refused;
  for (let size = 400_000; refused === undefined || size > 2_000; ) {
    const text = `${kept.length}:`.padEnd(size, "x");
    const answer = await call(server, token, "mutation", "messages:append", { threadId, role: "user", text });
    if (answer.value !== undefined) kept.push({ id: answer.value, text });
    else {
      refused = answer.refused ?? assert.fail("the connection broke");
      assert.equal(refused.code, "storage_full", JSON.stringify(refused));
      assert.ok(refused.message.length > 0);
      size = Math.floor(size / 2);
    }
    assert.ok(kept.length < 10_000);
  }
  const seen = log.text;
  rest.open();

  const reader = http(server, token);
  for (const { id, text } of kept) assert.equal((await reader.query("messages:get", { messageId: id })).text, text);
  assert.equal(list.current.page.length, 2);

  inside(server, "mount", "-o", "remount,size=64m", data);
  await until(async () => (await call(server, token, "mutation", "threads:update", { threadId, title: "room again" })).value !== undefined, {
    what: "writes to work again",
  });
  await until(() => list.current.page.some(({ title }) => title === "room again"));
  const { final } = await log.end();
  const message = await reader.query("messages:get", { messageId: running.messageId });
  assert.ok(["complete", "error", "interrupted"].includes(final.status), final.status);
  assert.equal(message.status, final.status);
  assert.ok(message.text.startsWith(seen), "what was seen is kept");
  assert.equal(log.text, message.text);
  for (const { id, text } of kept) assert.equal((await reader.query("messages:get", { messageId: id })).text, text);
  t.diagnostic(`${kept.length} messages fit, the running answer ended ${final.status} with ${message.text.length} characters`);
  assert.match(inside(server, SPOOL_BIN, "doctor", "--data", data), /./);
});
