// The parts of an answer in their order. Neighbouring sources stand together; every other part is itself.

import type { Part } from "@spool/client";
import { memo } from "react";
import { Markdown } from "../Markdown";
import { ApprovalCard } from "./ApprovalCard";
import { ArtifactCard } from "./ArtifactCard";
import { FileView } from "./FileView";
import { OtherPart } from "./OtherPart";
import { Reasoning } from "./Reasoning";
import { Sources, type SourcePart } from "./Sources";
import { ToolCall } from "./ToolCall";

interface PartListProps {
  parts: readonly Part[];
  running: boolean;
}

export function PartList({ parts, running }: PartListProps) {
  const last = parts.length - 1;
  return (
    <div className="space-y-4">
      {parts.map((part, at) => {
        if (part.type === "source") {
          return parts[at - 1]?.type === "source" ? null : <Sources key={at} sources={sourcesFrom(parts, at)} />;
        }
        // What the runner was doing is told while it does it, by the message's sign of life.
        if (part.type === "activity") return null;
        // The card that asks shows the call; it stands alone again once it was decided about.
        if (part.type === "tool_call" && isAskedAbout(part, parts)) return null;
        return <OnePart key={at} part={part} growing={running && at === last} />;
      })}
    </div>
  );
}

interface OnePartProps {
  part: Exclude<Part, { type: "source" | "activity" }>;
  growing: boolean;
}

// Parts are only ever appended, or told anew in their place, so a place in the list is an identity; a part
// that did not change is the same object and renders no more.
const OnePart = memo(function OnePart({ part, growing }: OnePartProps) {
  switch (part.type) {
    case "text":
      return <Markdown text={part.text} growing={growing} />;
    case "reasoning":
      return <Reasoning text={part.text} growing={growing} />;
    case "tool_call":
      return <ToolCall call={part} />;
    case "file":
      return <FileView file={part} />;
    case "artifact":
      return <ArtifactCard part={part} />;
    case "approval":
      return <ApprovalCard part={part} />;
    default:
      return <OtherPart part={part} />;
  }
});

function isAskedAbout(call: Extract<Part, { type: "tool_call" }>, parts: readonly Part[]): boolean {
  if (call.state !== "awaiting_approval") return false;
  return parts.some((part) => part.type === "approval" && part.status === "pending" && part.toolCallId === call.toolCallId);
}

function sourcesFrom(parts: readonly Part[], at: number): SourcePart[] {
  const sources: SourcePart[] = [];
  for (const part of parts.slice(at)) {
    if (part.type !== "source") break;
    sources.push(part);
  }
  return sources;
}
