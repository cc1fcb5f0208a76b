import type { Part } from "@spool/client";
import { expect, it } from "vitest";
import { runsOf } from "./runs";

const text = (words: string): Part => ({ type: "text", text: words });
const call = (toolCallId: string): Part => ({ type: "tool_call", toolCallId, tool: "t", state: "running", input: {} });
const asked = (approvalId: string): Part => ({ type: "approval", approvalId });
const source: Part = { type: "source", title: "", url: "" };

const shape = (parts: Part[]) =>
  runsOf(parts).map(({ at, blocks }) => [at, ...blocks.map((block) => (block.kind === "one" ? block.part.type : block.kind === "calls" ? block.calls.length : `${block.sources.length} sources`))]);

it("puts neighbouring calls and what was asked about them together, and leaves text apart", () => {
  expect(shape([text("a"), call("1"), call("2"), asked("x"), call("3"), text("b"), source, source])).toEqual([
    [0, "text"],
    [1, 2, "approval", 1],
    [5, "text"],
    [6, "2 sources"],
  ]);
});

it("keeps the places of what stands before when more comes", () => {
  const parts = [call("1"), call("2"), asked("x"), text("b"), call("3")];
  const places = runsOf(parts).map(({ at }) => at);
  for (let length = 0; length < parts.length; length += 1) {
    const before = runsOf(parts.slice(0, length)).map(({ at }) => at);
    expect(places.slice(0, before.length)).toEqual(before);
  }
});

it("says nothing of what was only going on", () => {
  expect(shape([call("1"), { type: "activity", kind: "x", label: "y", at: 0 }, call("2")])).toEqual([[0, 2]]);
});
