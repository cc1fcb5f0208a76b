// The bridge to assistant-ui: our message views in, its runtime out. The only file that knows both shapes;
// everything a message shows is read back from the view that rides along.

import { useAuiState, useExternalStoreRuntime, type AppendMessage, type AssistantRuntime, type ThreadMessageLike } from "@assistant-ui/react";
import type { LiveMessage } from "@spool/client";
import { useMemo } from "react";

interface ChatRuntimeInput {
  views: readonly LiveMessage[];
  running: boolean;
  sendDisabled: boolean;
  onSend: (text: string) => void;
}

export function useChatRuntime({ views, running, sendDisabled, onSend }: ChatRuntimeInput): AssistantRuntime {
  const shown = useMemo(() => views.filter((view) => view.role === "user" || view.role === "assistant"), [views]);
  // One object per change: a new adapter on every render would make the runtime render for ever.
  const adapter = useMemo(
    () => ({
      messages: shown,
      convertMessage,
      isRunning: running,
      isSendDisabled: sendDisabled,
      onNew: async (message: AppendMessage) => onSend(plainText(message)),
    }),
    [shown, running, sendDisabled, onSend],
  );
  return useExternalStoreRuntime(adapter);
}

/** The view of the message that is being rendered; none for a placeholder of the runtime's own. */
export function useMessageView(): LiveMessage | undefined {
  return useAuiState((state) => state.message.metadata.custom.view as LiveMessage | undefined);
}

function convertMessage(view: LiveMessage): ThreadMessageLike {
  const message = {
    id: view.key,
    role: view.role === "user" ? ("user" as const) : ("assistant" as const),
    content: [{ type: "text" as const, text: view.text }],
    createdAt: new Date(view.createdAt),
    metadata: { custom: { view } },
  };
  return message.role === "user" ? message : { ...message, status: statusOf(view) };
}

function statusOf(view: LiveMessage): NonNullable<ThreadMessageLike["status"]> {
  switch (view.status) {
    case "pending":
    case "streaming":
    case "sending":
    case "queued":
      return { type: "running" };
    case "complete":
      return { type: "complete", reason: "stop" };
    case "stopped":
      return { type: "incomplete", reason: "cancelled" };
    case "error":
    case "interrupted":
    case "failed":
      return { type: "incomplete", reason: "error" };
  }
}

function plainText(message: AppendMessage): string {
  return message.content.map((part) => (part.type === "text" ? part.text : "")).join("");
}
