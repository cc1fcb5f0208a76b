// One approval of the inbox: what is asked, where, and how long there is; opened, the whole question.

import type { ApprovalView } from "@spool/client";
import { useApproval, useThread } from "@spool/client/react";
import { memo, useId, useState } from "react";
import { lookOf, titleOf } from "../chat/parts/ApprovalCard";
import { ApprovalForm } from "../chat/parts/ApprovalForm";
import { plainRows } from "../chat/parts/Arguments";
import { Subject } from "../chat/parts/ApprovalSubject";
import { Countdown } from "../chat/parts/Countdown";
import { Votes } from "../chat/parts/Votes";
import { ChevronIcon } from "../icons";
import { go, hrefOf } from "../route";
import { fullTime, shortAgo } from "../time";
import { followLink } from "../ui/followLink";
import { isBatchable } from "./filter";

interface InboxRowProps {
  approval: ApprovalView;
  now: number;
  unread: boolean;
  picked: boolean;
  /** `null` where there is nothing to pick for. */
  onPick: (() => void) | null;
}

export const InboxRow = memo(function InboxRow({ approval: listed, now, unread, picked, onPick }: InboxRowProps) {
  const id = useId();
  const [open, setOpen] = useState(false);
  // A list leaves out the text of a plan, which those who do not see its thread need, and large arguments.
  const whole = useApproval(open ? listed._id : "skip");
  const approval = whole ?? listed;
  const partial = whole === undefined && listed.inputBytes !== undefined;
  const thread = useThread(approval.threadId);
  const title = titleOf(approval, approval);
  const pending = approval.status === "pending";
  const state = lookOf(approval.status, approval.kind);
  const said = approval.answer ?? approval.reason ?? null;
  return (
    <li data-approval={approval._id} data-status={approval.status} className={`text-sm transition-colors ${picked ? "bg-accent-soft/50" : ""}`}>
      <div className="flex items-start transition-colors hover:bg-hover/60">
        {onPick !== null && (
          <label className="flex h-14 shrink-0 items-center ps-3.5">
            <input
              type="checkbox"
              aria-label={`Select: ${title}`}
              checked={picked}
              disabled={!isBatchable(approval)}
              title={isBatchable(approval) ? undefined : "Decided by itself"}
              onChange={onPick}
              className="size-4 accent-(--accent) disabled:opacity-40"
            />
          </label>
        )}
        <button
          type="button"
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
          className="flex min-h-14 min-w-0 flex-1 items-center gap-3 px-3.5 py-2 text-start focus-visible:-outline-offset-2"
        >
          <span className="min-w-0 flex-1">
            <span className="flex items-center gap-2">
              {unread && <span role="img" aria-label="new" className="size-2 shrink-0 rounded-full bg-accent" />}
              <span dir="auto" className={`min-w-0 truncate ${pending ? "font-medium" : "text-soft"}`}>
                {title}
              </span>
              {approval.highRisk === true && pending && (
                <span className="shrink-0 rounded-full border border-danger-line bg-danger-soft px-2 text-2xs font-medium text-danger">High risk</span>
              )}
            </span>
            <span dir="auto" className="block truncate text-xs text-faint">
              {[thread?.title ?? (thread === null ? "A conversation of somebody else" : ""), gistOf(approval)].filter(Boolean).join(" · ")}
            </span>
          </span>
          <span className="flex shrink-0 flex-col items-end gap-0.5">
            {pending ? (
              <>
                <time dateTime={new Date(approval.createdAt).toISOString()} title={fullTime(approval.createdAt)} className="text-xs text-faint tabular-nums">
                  {shortAgo(approval.createdAt, now)}
                </time>
                {approval.expiresAt !== undefined && !open && <Countdown until={approval.expiresAt} />}
              </>
            ) : (
              <span role="status" className={`inline-flex items-center gap-1.5 text-xs font-medium ${state.tone}`}>
                {state.icon}
                {state.label}
              </span>
            )}
          </span>
          <ChevronIcon size={14} className={`shrink-0 text-faint transition-transform ${open ? "rotate-90" : "rtl:rotate-180"}`} />
        </button>
      </div>
      {open && (
        <div id={id} className="border-t border-line bg-page/60">
          {partial ? (
            <div className="h-24" />
          ) : pending ? (
            <ApprovalForm approval={approval} onDecided={() => setOpen(false)} />
          ) : (
            <div className="space-y-3 px-3.5 pt-3 pb-3.5">
              <Subject approval={approval} />
              <Votes approval={approval} />
              {said !== null && (
                <q dir="auto" className="block wrap-anywhere text-soft">
                  {said}
                </q>
              )}
              {approval.resolvedAt !== undefined && <p className="text-xs text-faint">Over since {fullTime(approval.resolvedAt)}</p>}
            </div>
          )}
          {thread !== null && (
            <p className="-mt-1 px-3.5 pb-3">
              <a
                href={hrefOf(approval.threadId)}
                onClick={followLink(() => go(approval.threadId))}
                className="inline-flex items-center gap-1 rounded-sm text-xs font-medium text-accent hover:text-accent-strong"
              >
                Go to the conversation
                <ChevronIcon size={12} className="rtl:rotate-180" />
              </a>
            </p>
          )}
        </div>
      )}
    </li>
  );
});

function gistOf({ input }: ApprovalView): string {
  return (plainRows(input) ?? [])
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join(", ")
    .slice(0, 160);
}
