// Under a finished answer: copy it, have it made anew, and the small print.

import type { LiveMessage } from "@spool/client";
import { useServerInfo } from "@spool/client/react";
import { lazy, Suspense, useState } from "react";
import { CheckIcon, CopyIcon, EyeIcon, RetryIcon } from "../icons";
import { clockTime, fullTime } from "../time";
import { IconButton } from "../ui/IconButton";
import { useCopy } from "../ui/useCopy";
import { useChatActions } from "./actions";

const PromptDialog = lazy(() => import("./PromptDialog"));

export function AnswerFooter({ view, shown }: { view: LiveMessage; shown: boolean }) {
  const [copied, copy] = useCopy();
  const { retry } = useChatActions();
  const agent = useAgentName(view.agentId);
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
      {shown && view.status === "complete" && view.id !== null && retry !== null && (
        <AnswerAgain id={view.id} retry={retry} />
      )}
      {view.generationId !== null && retry !== null && <Why generationId={view.generationId} />}
      <time dateTime={new Date(view.createdAt).toISOString()} title={fullTime(view.createdAt)}>
        {clockTime(view.createdAt)}
      </time>
      {agent !== undefined && <Dot>{agent}</Dot>}
      {view.model !== null && <Dot>{view.model}</Dot>}
      {tokens > 0 && <Dot>{`${tokens.toLocaleString()} tokens`}</Dot>}
    </footer>
  );
}

// Where there are several: one alone needs no name.
function useAgentName(id: string | null): string | undefined {
  const agents = useServerInfo()?.agents ?? [];
  return agents.length > 1 ? agents.find((agent) => agent.id === id)?.name : undefined;
}

function Why({ generationId }: { generationId: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <IconButton label="Why this answer" aria-haspopup="dialog" onClick={() => setOpen(true)} className="text-faint">
        <EyeIcon size={16} />
      </IconButton>
      {open && (
        <Suspense>
          <PromptDialog generationId={generationId} onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}

// A refusal leaves the answer as it is, which says enough: the conversation went on, here or elsewhere.
function AnswerAgain({ id, retry }: { id: string; retry: (id: string) => Promise<void> }) {
  const [asking, setAsking] = useState(false);
  const again = () => {
    setAsking(true);
    void retry(id).catch(() => undefined).finally(() => setAsking(false));
  };
  return (
    <IconButton label="Answer again" disabled={asking} onClick={again} className="text-faint">
      <RetryIcon size={16} />
    </IconButton>
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
