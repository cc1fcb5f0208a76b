// What a message can ask the conversation to do, handed down without passing through every component.

import type { LiveMessage } from "@spool/client";
import { createContext, createElement, useContext, type ReactNode } from "react";

export interface ChatActionsValue {
  /** Another try at a message that was not delivered. */
  resend: (requestId: string) => void;
  discard: (requestId: string) => void;
  /** Another attempt at an answer; `null` where the conversation can only be read. */
  retry: ((messageId: string) => Promise<void>) | null;
  /** Takes a message back that waits for its turn; `null` where that cannot be done. */
  takeBack: ((view: LiveMessage) => void) | null;
}

const Context = createContext<ChatActionsValue | null>(null);

export function ChatActions({ value, children }: { value: ChatActionsValue; children: ReactNode }) {
  return createElement(Context.Provider, { value }, children);
}

export function useChatActions(): ChatActionsValue {
  const actions = useContext(Context);
  if (actions === null) throw new Error("Messages are rendered inside a conversation.");
  return actions;
}
