import { describe, expect, it } from "vitest";
import { diff, pieces, type Line } from "./diff";

const marks = { same: " ", gone: "-", new: "+" } as const;
const shown = (lines: readonly Line[]) => lines.map(({ kind, text }) => marks[kind] + text);
const before = (lines: readonly Line[]) => lines.filter(({ kind }) => kind !== "new").map(({ text }) => text).join("\n");
const after = (lines: readonly Line[]) => lines.filter(({ kind }) => kind !== "gone").map(({ text }) => text).join("\n");

describe("a difference", () => {
  it("is the shortest way from one text to the other", () => {
    expect(shown(diff("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc"))).toHaveLength(9);
    expect(shown(diff("a\nb\nc", "a\nx\nc"))).toEqual([" a", "-b", "+x", " c"]);
    expect(shown(diff("", "a"))).toEqual(["-", "+a"]);
    expect(shown(diff("a\nb", "a\nb"))).toEqual([" a", " b"]);
  });

  it("always tells both texts", () => {
    // A walk through small texts that have much in common: every pair of three-letter words over 24 lines.
    let seed = 7;
    const next = (below: number) => {
      seed = (seed * 48271) % 2147483647;
      return seed % below;
    };
    for (let round = 0; round < 300; round += 1) {
      const one = Array.from({ length: next(24) }, () => "abc"[next(3)]).join("\n");
      const other = Array.from({ length: next(24) }, () => "abc"[next(3)]).join("\n");
      const lines = diff(one, other);
      expect([before(lines), after(lines)]).toEqual([one, other]);
      for (const { kind, number, text } of lines) expect((kind === "gone" ? one : other).split("\n")[number - 1]).toBe(text);
    }
  });

  it("of texts that have nothing in common is one in the place of the other, at once", () => {
    const one = Array.from({ length: 20_000 }, (_, at) => `a${at}`).join("\n");
    const other = Array.from({ length: 20_000 }, (_, at) => `b${at}`).join("\n");
    const lines = diff(one, other);
    expect([before(lines) === one, after(lines) === other]).toEqual([true, true]);
  });

  it("leaves out what did not change", () => {
    const text = Array.from({ length: 30 }, (_, at) => String(at));
    const lines = diff(text.join("\n"), text.map((line) => (line === "15" ? "x" : line)).join("\n"));
    expect(pieces(lines).map((piece) => ("skipped" in piece ? piece.skipped : piece.lines.length))).toEqual([12, 8, 11]);
  });
});
