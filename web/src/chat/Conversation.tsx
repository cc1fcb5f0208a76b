// The scrolling list of messages: follows the end while the reader is there, keeps the reader's place while
// earlier messages are loaded above.

import { ThreadPrimitive, useAuiState } from "@assistant-ui/react";
import { useLayoutEffect, useRef, type RefObject } from "react";
import { ArrowDownIcon } from "../icons";
import { NearEdge } from "../ui/NearEdge";
import { AssistantMessage } from "./AssistantMessage";
import { UserMessage } from "./UserMessage";

interface ConversationProps {
  earlier: "none" | "available" | "loading";
  onEarlier: () => void;
}

export function Conversation({ earlier, onEarlier }: ConversationProps) {
  const viewport = useRef<HTMLDivElement>(null);
  useKeptPlace(viewport);
  return (
    <ThreadPrimitive.Root className="relative flex min-h-0 flex-1 flex-col">
      <ThreadPrimitive.Viewport
        ref={viewport}
        tabIndex={0}
        data-scroll
        data-quiet-focus
        role="region"
        aria-label="Messages"
        className="relative min-h-0 flex-1 overflow-y-auto overscroll-contain [overflow-anchor:none] [scrollbar-gutter:stable_both-edges]"
      >
        <div className="mx-auto w-full max-w-read px-4 pt-4 pb-10 sm:px-6">
          {earlier !== "none" && (
            <NearEdge
              label="Earlier messages"
              loadingLabel="Loading earlier messages…"
              loading={earlier === "loading"}
              within={600}
              onReach={onEarlier}
            />
          )}
          <ThreadPrimitive.Messages>{renderMessage}</ThreadPrimitive.Messages>
        </div>
      </ThreadPrimitive.Viewport>
      <div aria-hidden="true" className="pointer-events-none absolute inset-x-0 top-0 h-5 bg-linear-to-b from-page to-transparent" />
      <div aria-hidden="true" className="pointer-events-none absolute inset-x-0 bottom-0 h-8 bg-linear-to-t from-page to-transparent" />
      <ToEnd />
    </ThreadPrimitive.Root>
  );
}

// A row may be asked to render once more after its message has left the list: an awaited answer does, when
// its question is refused.
function renderMessage({ message }: { message?: { role: string } }) {
  if (message === undefined) return null;
  return message.role === "user" ? <UserMessage /> : <AssistantMessage />;
}

// The first message on the screen stays where it is when others appear above it. Browsers' own anchoring
// gives up at the very top, which is exactly where a reader who wants earlier messages is.
function useKeptPlace(viewport: RefObject<HTMLDivElement | null>) {
  const first = useAuiState((state) => state.thread.messages[0]?.id);
  const before = useRef<{ id: string; top: number } | null>(null);
  useLayoutEffect(() => {
    const box = viewport.current;
    if (box === null || first === undefined) return;
    const topOf = (id: string) => box.querySelector<HTMLElement>(`[data-key="${CSS.escape(id)}"]`)?.offsetTop;
    const moved = before.current === null ? undefined : topOf(before.current.id);
    if (before.current !== null && before.current.id !== first && moved !== undefined) {
      box.scrollTop += moved - before.current.top;
    }
    before.current = { id: first, top: topOf(first) ?? 0 };
  }, [viewport, first]);
}

function ToEnd() {
  return (
    <ThreadPrimitive.ScrollToBottom
      aria-label="Go to the latest message"
      title="Go to the latest message"
      className="absolute bottom-3 left-1/2 z-10 inline-flex size-9 -translate-x-1/2 items-center justify-center rounded-full border border-line bg-raised text-soft shadow-card transition-opacity hover:text-ink disabled:pointer-events-none disabled:opacity-0"
    >
      <ArrowDownIcon size={17} />
    </ThreadPrimitive.ScrollToBottom>
  );
}
