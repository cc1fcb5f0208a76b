// The foot of an open question: a word to the asker, what was refused, the time that is left, and the answers.

import type { ReactNode } from "react";
import { Countdown } from "./Countdown";
import type { Deciding } from "./useDecision";

interface AnswersProps {
  deciding: Deciding;
  reason: string;
  expiresAt: number | undefined;
  onReason: (reason: string) => void;
  /** Left of the time. */
  more?: ReactNode;
  /** The answers themselves. */
  children: ReactNode;
}

export const LINE =
  "h-9 w-full rounded-lg border border-line bg-page px-3 transition-colors placeholder:text-faint focus-visible:border-accent focus-visible:outline-none";

export function Answers({ deciding, reason, expiresAt, onReason, more, children }: AnswersProps) {
  return (
    <>
      <input
        type="text"
        dir="auto"
        aria-label="Reason"
        placeholder="Reason (optional)"
        maxLength={1000}
        value={reason}
        onChange={(event) => onReason(event.target.value)}
        className={LINE}
      />
      <Foot deciding={deciding} expiresAt={expiresAt} more={more}>
        {children}
      </Foot>
    </>
  );
}

export function Foot({ deciding, expiresAt, more, children }: Pick<AnswersProps, "deciding" | "expiresAt" | "more" | "children">) {
  return (
    <>
      {deciding.fault !== null && (
        <p role="alert" className="text-danger">
          {deciding.fault}
        </p>
      )}
      <div className="flex flex-wrap items-center gap-2">
        {more}
        <span className="order-first basis-full text-xs text-faint empty:hidden sm:order-none sm:min-w-0 sm:flex-1 sm:basis-0 sm:text-end">
          {deciding.offline ? "Offline: decide when the connection is back" : expiresAt !== undefined && <Countdown until={expiresAt} />}
        </span>
        <div className="ms-auto flex gap-2">{children}</div>
      </div>
    </>
  );
}

export function said(reason: string): { reason?: string } {
  return reason.trim() === "" ? {} : { reason: reason.trim() };
}
