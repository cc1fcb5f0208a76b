// The parts of an answer in their order. Neighbouring sources stand together, and so does a piece of work: the
// calls of tools, what was asked about them, and the documents that came of it.

import type { ApprovalKind, Part } from "@spool/client";
import { memo, useMemo } from "react";
import { Markdown } from "../Markdown";
import { ApprovalCard } from "./ApprovalCard";
import { ArtifactCard } from "./ArtifactCard";
import { FileView } from "./FileView";
import { OtherPart } from "./OtherPart";
import { Reasoning } from "./Reasoning";
import { runsOf, type Block } from "./runs";
import { Sources } from "./Sources";
import { SteeredPart } from "./SteeredPart";
import type { Call } from "./ToolCall";
import { ToolGroup } from "./ToolGroup";

interface PartListProps {
  parts: readonly Part[];
  running: boolean;
}

// Parts are only ever appended, or told anew in their place, so a place in the list is an identity.
export function PartList({ parts, running }: PartListProps) {
  const runs = useMemo(() => runsOf(parts), [parts]);
  const last = parts.length - 1;
  return (
    <div className="space-y-4">
      {runs.map(({ at, blocks }) => (
        <div key={at} className="space-y-2">
          {blocks.map((block) => (
            <OneBlock key={block.at} block={block} parts={parts} growing={running && block.at === last} />
          ))}
        </div>
      ))}
    </div>
  );
}

interface OneBlockProps {
  block: Block;
  parts: readonly Part[];
  growing: boolean;
}

function OneBlock({ block, parts, growing }: OneBlockProps) {
  switch (block.kind) {
    case "sources":
      return <Sources sources={block.sources} />;
    case "calls": {
      // The card that asks shows the call; it stands alone again once it was decided about.
      const calls = block.calls.filter((call) => !isAskedAbout(call, parts));
      return calls.length === 0 ? null : <ToolGroup calls={calls} />;
    }
    case "one":
      return <OnePart part={block.part} growing={growing} />;
  }
}

interface OnePartProps {
  part: Extract<Block, { kind: "one" }>["part"];
  growing: boolean;
}

// A part that did not change is the same object and renders no more.
const OnePart = memo(function OnePart({ part, growing }: OnePartProps) {
  switch (part.type) {
    case "text":
      return <Markdown text={part.text} growing={growing} />;
    case "reasoning":
      return <Reasoning text={part.text} growing={growing} />;
    case "file":
      return <FileView file={part} />;
    case "artifact":
      return <ArtifactCard part={part} />;
    case "approval":
      return <ApprovalCard part={part} />;
    case "steered":
      return <SteeredPart text={part.text} />;
    default:
      return <OtherPart part={part} />;
  }
});

// A call that is judged has an approval of its own. The server's tools that ask are what they ask, and the card of
// the question says all of it, also afterwards.
function isAskedAbout(call: Call, parts: readonly Part[]): boolean {
  const asked = (fits: (approval: Extract<Part, { type: "approval" }>) => boolean) =>
    parts.some((part) => part.type === "approval" && fits(part));
  if (call.state === "awaiting_approval") return asked(({ toolCallId, status }) => toolCallId === call.toolCallId && status === "pending");
  const kind = call.state === "running" || call.state === "completed" ? ASKS[call.tool] : undefined;
  return kind !== undefined && asked((approval) => approval.kind === kind);
}

const ASKS: Partial<Record<string, ApprovalKind>> = { ask_human: "question", submit_plan: "plan" };
