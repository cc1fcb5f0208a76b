// The order of the thread list.

import type { Thread } from "@spool/client";
import { describe, expect, it } from "vitest";
import { groupThreads, titleOf } from "./groups";

const NOW = new Date(2026, 10, 21, 12, 0, 0).getTime();

function thread(id: string, lastActivityAt: number, pinned = false): Thread {
  return {
    _id: id,
    _creationTime: lastActivityAt,
    createdAt: lastActivityAt,
    updatedAt: lastActivityAt,
    lastActivityAt,
    title: id,
    titleSource: "auto",
    pinned,
    tags: [],
    status: "active",
    messageCount: 2,
    historyVersion: 2,
    isDefault: false,
  };
}

describe("the thread list", () => {
  it("puts pinned threads first and the rest under their days", () => {
    const threads = [thread("old pin", NOW - 40 * 86_400_000, true), thread("a", NOW - 1000), thread("b", NOW - 86_400_000)];
    expect(groupThreads(threads, NOW).map(({ heading, threads: rows }) => [heading, rows.map((row) => row._id)])).toEqual([
      ["Pinned", ["old pin"]],
      ["Today", ["a"]],
      ["Yesterday", ["b"]],
    ]);
  });

  it("gives a nameless thread a name", () => {
    expect(titleOf({ ...thread("x", NOW), title: "  " })).toBe("Untitled");
  });
});
