// A short run of crash.mjs; `npm run crash` is the long one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { crash } from "./crash.mjs";

test("15 kills under load lose nothing that was acknowledged", { timeout: 180_000 }, async (t) => {
  const { broken, acknowledged } = await crash({ kills: 15, people: 3, log: (line) => t.diagnostic(line), t });
  assert.deepEqual(broken, []);
  assert.ok(acknowledged > 50, `only ${acknowledged} writes were acknowledged`);
});
