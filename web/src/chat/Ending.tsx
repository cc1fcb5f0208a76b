// How an answer ended when it did not end well, and the way to another attempt.

import type { Failure, LiveMessage } from "@spool/client";
import { readFailure } from "@spool/client";
import { useState, type ReactNode } from "react";
import { AlertIcon, PauseIcon, RetryIcon } from "../icons";
import { Button } from "../ui/Button";
import { useChatActions } from "./actions";

/** Only the last answer of a conversation can be tried again. */
export function Ending({ view, last }: { view: LiveMessage; last: boolean }) {
  const { retry } = useChatActions();
  const id = last && retry !== null ? view.id : null;
  switch (view.status) {
    case "stopped":
      return (
        <Row id={id} icon={<PauseIcon size={16} />} tone="calm">
          {retry === null ? "This answer was stopped." : "You stopped this answer."}
        </Row>
      );
    case "interrupted":
      return (
        <Row id={id} icon={<AlertIcon size={16} />} tone="warn">
          <strong className="font-semibold">Interrupted.</strong> The server stopped in the middle of this answer.
          {view.text === "" ? "" : " What came until then is kept."}
        </Row>
      );
    case "error":
      return (
        <Row id={id} icon={<AlertIcon size={16} />} tone="danger" code={view.error?.code}>
          <strong className="font-semibold">This answer failed.</strong> {view.error?.message ?? (retry === null ? "" : "The model gave no reason.")}
        </Row>
      );
    case "complete":
      return view.parts.length === 0 ? (
        <Row id={null} icon={<AlertIcon size={16} />} tone="calm">
          The model answered with nothing.
        </Row>
      ) : null;
    default:
      return null;
  }
}

const TONES = {
  calm: "border-line bg-sunken text-soft",
  warn: "border-warn-line bg-warn-soft text-warn",
  danger: "border-danger-line bg-danger-soft text-danger",
} as const;

interface RowProps {
  /** The message to try again; `null` for none. */
  id: string | null;
  icon: ReactNode;
  tone: keyof typeof TONES;
  code?: string | undefined;
  children: ReactNode;
}

function Row({ id, icon, tone, code, children }: RowProps) {
  const { retry } = useChatActions();
  const [refusal, setRefusal] = useState<Failure | null>(null);
  const [asking, setAsking] = useState(false);
  const tryAgain = async (messageId: string) => {
    setAsking(true);
    setRefusal(null);
    await retry?.(messageId).catch((error: unknown) => setRefusal(readFailure(error)));
    setAsking(false);
  };
  return (
    <div
      role={tone === "danger" ? "alert" : undefined}
      className={`mt-4 flex flex-wrap items-center gap-x-4 gap-y-2.5 rounded-xl border px-4 py-3 text-sm first-of-type:mt-0 ${TONES[tone]}`}
    >
      <div className="flex min-w-[min(100%,16rem)] flex-1 items-start gap-2.5">
        <span className="mt-[0.15rem] shrink-0">{icon}</span>
        <div className="min-w-0">
          <p dir="auto" className="text-pretty wrap-anywhere">
            {children}
          </p>
          {code !== undefined && <p className="mt-0.5 font-mono text-xs opacity-75">{code}</p>}
          {refusal !== null && <p className="mt-1 font-medium">{refusal.message}</p>}
        </div>
      </div>
      {id !== null && (
        <Button disabled={asking} onClick={() => void tryAgain(id)} className="h-8! shrink-0 px-3!">
          <RetryIcon size={15} />
          Try again
        </Button>
      )}
    </div>
  );
}
