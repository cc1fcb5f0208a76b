import { expect, it } from "vitest";
import { cut } from "./cut";

it("leaves what is short as it is", () => {
  expect(cut("")).toEqual({ text: "", rest: null });
  expect(cut("one\ntwo", 2, 100)).toEqual({ text: "one\ntwo", rest: null });
});

it("cuts after whole lines and says how many are left", () => {
  const text = Array.from({ length: 1200 }, (_, at) => `line ${at}`).join("\n");
  expect(cut(text, 2)).toEqual({ text: "line 0\nline 1", rest: "1,198 more lines" });
});

it("cuts one long line, but no character in two", () => {
  const text = `${"a".repeat(9)}😀${"b".repeat(500)}`;
  expect(cut(text, 5, 10)).toEqual({ text: "a".repeat(9), rest: "502 more characters" });
});
