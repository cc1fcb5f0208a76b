import { expect, it } from "vitest";
import { fileName } from "./fileName";

it("names files so that every system takes them", () => {
  expect(fileName("Launch plan", "plan")).toBe("Launch plan.md");
  expect(fileName("../../etc/pass\u0000wd", "text")).toBe("etc pass wd.txt");
  expect(fileName("main.rs", "code")).toBe("main.rs");
  expect(fileName("  ...  ", "json")).toBe("document.json");
});
