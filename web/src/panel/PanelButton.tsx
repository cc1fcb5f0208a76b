// The way to the documents of a conversation. Nothing where there are none.

import { useArtifacts, useTodos } from "@spool/client/react";
import { PanelIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { closePanel, openPanel, usePanel } from "./store";

export function PanelButton({ threadId }: { threadId: string }) {
  const count = useArtifacts(threadId).items?.length ?? 0;
  const todos = useTodos(threadId)?.todos.length ?? 0;
  const open = usePanel(threadId) !== null;
  if (count + todos === 0) return null;
  return (
    <IconButton
      label={open ? "Close the documents" : "Documents"}
      aria-expanded={open}
      onClick={() => (open ? closePanel() : openPanel(threadId))}
      className={open ? "bg-hover text-ink!" : ""}
    >
      <PanelIcon size={19} />
    </IconButton>
  );
}
