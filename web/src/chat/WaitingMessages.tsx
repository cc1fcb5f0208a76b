// Messages that were sent while an answer is being made: what each waits for, and the way to take it back.

import type { LiveMessage } from "@spool/client";
import { CloseIcon } from "../icons";
import { useChatActions } from "./actions";

const WORDS = { queue: "Queued", steer: "Steering at next step" } as const;

export function WaitingMessages({ views }: { views: readonly LiveMessage[] }) {
  const { takeBack } = useChatActions();
  if (views.length === 0) return null;
  return (
    <ul aria-label="Messages that wait" className="mb-2 flex max-h-36 flex-col gap-1.5 overflow-y-auto">
      {views.map((view) => (
        <li
          key={view.key}
          data-key={view.key}
          data-waits={view.waits}
          className="flex h-9 shrink-0 items-center gap-2 rounded-full border border-line bg-side ps-3 pe-1 text-sm motion-appear"
        >
          <span className={`size-1.5 shrink-0 rounded-full ${view.waits === "steer" ? "bg-accent motion-breathe" : "bg-line-strong"}`} aria-hidden="true" />
          <span className={`shrink-0 text-xs font-medium ${view.waits === "steer" ? "text-accent" : "text-soft"}`}>{WORDS[view.waits ?? "queue"]}</span>
          <span dir="auto" className="min-w-0 flex-1 truncate text-start text-ink/85">
            {view.text === "" ? "Files" : view.text}
          </span>
          {takeBack !== null && (
            <button
              type="button"
              aria-label="Do not send this message"
              title="Do not send"
              onClick={() => takeBack(view)}
              className="inline-flex size-7 shrink-0 items-center justify-center rounded-full text-faint transition-colors hover:bg-hover hover:text-ink"
            >
              <CloseIcon size={14} />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}
