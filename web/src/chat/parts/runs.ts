// Puts the parts of an answer together that are shown together. Pure.

import type { Part } from "@spool/client";

type Of<Type extends Part["type"]> = Extract<Part, { type: Type }>;

/** What one place in the answer shows; `at` is where its first part is, which names it for good. */
export type Block =
  | { kind: "one"; at: number; part: Exclude<Part, { type: "source" | "tool_call" | "activity" }> }
  | { kind: "calls"; at: number; calls: readonly Of<"tool_call">[] }
  | { kind: "sources"; at: number; sources: readonly Of<"source">[] };

/** Blocks that stand close, because they tell of one piece of work; text stands apart. */
export type Run = { at: number; blocks: readonly Block[] };

export function runsOf(parts: readonly Part[]): Run[] {
  const runs: { at: number; blocks: Block[] }[] = [];
  let last: Part["type"] | null = null;
  parts.forEach((part, at) => {
    // What the runner was doing is told while it does it, by the message's sign of life.
    if (part.type === "activity") return;
    const before = last;
    last = part.type;
    const run = runs.at(-1);
    const block = run?.blocks.at(-1);
    if (part.type === "source" && before === "source" && block?.kind === "sources") {
      block.sources = [...block.sources, part];
      return;
    }
    if (part.type === "tool_call" && before === "tool_call" && block?.kind === "calls") {
      block.calls = [...block.calls, part];
      return;
    }
    const next = blockOf(part, at);
    if (run !== undefined && isWork(part.type) && before !== null && isWork(before)) run.blocks.push(next);
    else runs.push({ at, blocks: [next] });
  });
  return runs;
}

function blockOf(part: Exclude<Part, { type: "activity" }>, at: number): Block {
  if (part.type === "source") return { kind: "sources", at, sources: [part] };
  if (part.type === "tool_call") return { kind: "calls", at, calls: [part] };
  return { kind: "one", at, part };
}

function isWork(type: Part["type"]): boolean {
  return type === "tool_call" || type === "approval" || type === "artifact";
}
