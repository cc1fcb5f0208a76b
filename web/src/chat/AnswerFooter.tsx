// Under a finished answer: copy it, and the small print.

import type { LiveMessage } from "@spool/client";
import { CheckIcon, CopyIcon } from "../icons";
import { clockTime, fullTime } from "../time";
import { IconButton } from "../ui/IconButton";
import { useCopy } from "../ui/useCopy";

export function AnswerFooter({ view, shown }: { view: LiveMessage; shown: boolean }) {
  const [copied, copy] = useCopy();
  const tokens = view.usage?.outputTokens ?? 0;
  return (
    <footer
      className={`mt-1.5 -ms-2 flex h-8 items-center gap-1 text-xs text-faint transition-opacity group-focus-within/answer:opacity-100 group-hover/answer:opacity-100 pointer-coarse:opacity-100 ${
        shown ? "" : "opacity-0"
      }`}
    >
      {view.text !== "" && (
        <IconButton label={copied ? "Copied" : "Copy the answer"} onClick={() => copy(view.text)} className="text-faint">
          {copied ? <CheckIcon size={16} className="text-ok" /> : <CopyIcon size={16} />}
        </IconButton>
      )}
      <time dateTime={new Date(view.createdAt).toISOString()} title={fullTime(view.createdAt)}>
        {clockTime(view.createdAt)}
      </time>
      {view.model !== null && <Dot>{view.model}</Dot>}
      {tokens > 0 && <Dot>{`${tokens.toLocaleString()} tokens`}</Dot>}
    </footer>
  );
}

function Dot({ children }: { children: string }) {
  return (
    <>
      <span aria-hidden="true">·</span>
      <span>{children}</span>
    </>
  );
}
