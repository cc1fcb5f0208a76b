// One answer: its parts in order, what it is waiting for, how it ended.

import { MessagePrimitive, useAuiState } from "@assistant-ui/react";
import { isRunning, type LiveMessage } from "@spool/client";
import { useConnectionState } from "@spool/client/react";
import { memo } from "react";
import { AnswerFooter } from "./AnswerFooter";
import { Ending } from "./Ending";
import { PartList } from "./parts/PartList";
import { useMessageView } from "./runtime";
import { Waiting } from "./Waiting";

export const AssistantMessage = memo(function AssistantMessage() {
  const view = useMessageView();
  const isLast = useAuiState((state) => state.message.isLast);
  const connection = useConnectionState();
  if (view === undefined) return null;
  const running = isRunning(view);
  return (
    <MessagePrimitive.Root
      data-key={view.key}
      data-role="assistant"
      data-status={view.status}
      aria-busy={running}
      className="group/answer pt-6"
    >
      <h2 className="sr-only">Answer</h2>
      <PartList parts={view.parts} running={running} />
      {running && waits(view) && (view.id !== null || connection === "live") && (
        <Waiting key={view.generationId} label={view.activity?.label ?? null} first={view.parts.length === 0} />
      )}
      {!running && <Ending view={view} last={isLast} />}
      {!running && view.parts.length > 0 && <AnswerFooter view={view} shown={isLast} />}
    </MessagePrimitive.Root>
  );
});

// Text that grows speaks for itself, and a question waits for its reader; anything else needs a sign of life.
function waits(view: LiveMessage): boolean {
  if (view.activity !== null) return true;
  const last = view.parts.at(-1);
  switch (last?.type) {
    case undefined:
    case "source":
    case "artifact":
    case "steered":
      return true;
    case "tool_call":
      return last.state !== "running" && last.state !== "awaiting_approval";
    case "approval":
      return last.status !== "pending";
    default:
      return false;
  }
}
