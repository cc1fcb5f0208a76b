import { expect, it } from "vitest";
import { remember, type Choice } from "./choice";

it("remembers the newest choices, one for each thread, and forgets the standard", () => {
  let all: ReadonlyMap<string, Choice> = new Map();
  for (let at = 0; at < 120; at += 1) all = remember(all, `t${at}`, { agent: "a" });
  expect([all.size, all.has("t19"), all.has("t20")]).toEqual([100, false, true]);
  all = remember(all, "t50", { role: "broker" });
  expect([all.size, all.get("t50")]).toEqual([100, { role: "broker" }]);
  expect(remember(all, "t50", {}).has("t50")).toBe(false);
});
