// A person is asked: about a call of a tool, a plan or a question. While it is open it can be answered here;
// afterwards, wherever it was answered, it says what became of it.

import type { ApprovalStatus, Part, ApprovalView } from "@spool/client";
import { useAccount, useApproval } from "@spool/client/react";
import { useId, useRef, useState, type ReactNode } from "react";
import { AlertIcon, CheckIcon, ChevronIcon, PauseIcon } from "../../icons";
import { fullTime, nearTime } from "../../time";
import { ApprovalForm } from "./ApprovalForm";
import { Subject } from "./ApprovalSubject";
import { wasDecidedHere } from "./useDecision";
import { Votes } from "./Votes";

type ApprovalPart = Extract<Part, { type: "approval" }>;

interface Look {
  label: string;
  icon: ReactNode;
  tone: string;
}

const LOOKS: Record<ApprovalStatus, Look> = {
  pending: { label: "Needs approval", icon: <PauseIcon size={15} />, tone: "text-warn" },
  approved: { label: "Approved", icon: <CheckIcon size={15} />, tone: "text-ok" },
  rejected: { label: "Rejected", icon: <AlertIcon size={15} />, tone: "text-danger" },
  expired: { label: "Expired", icon: <PauseIcon size={15} />, tone: "text-faint" },
  cancelled: { label: "Cancelled", icon: <PauseIcon size={15} />, tone: "text-faint" },
};

export function ApprovalCard({ part }: { part: ApprovalPart }) {
  const approval = useApproval(part.approvalId);
  const card = useRef<HTMLElement>(null);
  const [wasOpen, setWasOpen] = useState(false);
  const status = approval?.status ?? part.status ?? "cancelled";
  const open = approval?.status === "pending";
  if (open && !wasOpen) setWasOpen(true);
  const title = titleOf(part, approval);
  const state = lookOf(status, approval?.kind ?? part.kind);
  const badge = (
    <span role="status" className={`inline-flex shrink-0 items-center gap-1.5 text-xs font-medium ${state.tone}`}>
      {state.icon}
      {state.label}
      {hasEdits(approval) && <span className="font-normal text-faint">with changes</span>}
    </span>
  );
  const risk = open && approval.highRisk === true && (
    <span className="shrink-0 rounded-full border border-danger-line bg-danger-soft px-2 text-xs font-medium text-danger">High risk</span>
  );
  return (
    <section
      ref={card}
      tabIndex={-1}
      aria-label={`Approval: ${title}`}
      data-approval={part.approvalId}
      data-status={status}
      data-quiet-focus
      className={`overflow-hidden rounded-xl border text-sm ${open ? "border-warn-line bg-raised shadow-card" : "border-line bg-sunken"}`}
    >
      {open ? (
        <>
          <div className="flex min-h-11 flex-wrap items-center gap-x-3 gap-y-1 border-b border-warn-line bg-warn-soft px-3.5 py-2">
            <h3 dir="auto" className="min-w-0 flex-1 font-medium wrap-anywhere">
              {title}
            </h3>
            {risk}
            {badge}
          </div>
          <ApprovalForm
            approval={approval}
            // The button that had the focus is gone.
            onDecided={() => card.current?.focus()}
          />
        </>
      ) : (
        <Decided approval={approval} title={title} badge={badge} elsewhere={wasOpen && !wasDecidedHere(part.approvalId) && approval?.resolvedBy !== undefined} />
      )}
    </section>
  );
}

interface DecidedProps {
  approval: ApprovalView | null | undefined;
  title: string;
  badge: ReactNode;
  elsewhere: boolean;
}

function Decided({ approval, title, badge, elsewhere }: DecidedProps) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const by = useDecider(approval);
  const said = approval?.answer ?? approval?.reason ?? null;
  return (
    <>
      <button
        type="button"
        aria-expanded={open}
        aria-controls={id}
        disabled={approval === null || approval === undefined}
        onClick={() => setOpen(!open)}
        className="flex h-11 w-full items-center gap-2.5 px-3.5 text-start transition-colors enabled:hover:bg-hover"
      >
        <span dir="auto" className="min-w-0 flex-1 truncate text-start text-soft">
          {title}
        </span>
        {by !== null && <span className="hidden shrink-0 text-xs text-faint sm:inline">{by}</span>}
        {badge}
        <ChevronIcon size={14} className={`shrink-0 text-faint transition-transform ${open ? "rotate-90" : "rtl:rotate-180"}`} />
      </button>
      {(said !== null || elsewhere) && (
        <p className="-mt-1 px-3.5 pb-3 text-soft">
          {elsewhere && <span className="text-faint">Decided in another window. </span>}
          {said !== null && <q dir="auto" className="wrap-anywhere">{said}</q>}
        </p>
      )}
      {open && approval !== null && approval !== undefined && (
        <div id={id} className="space-y-3 border-t border-line px-3.5 pt-3 pb-3.5">
          <Subject approval={approval} />
          <Votes approval={approval} />
          {approval.resolvedAt !== undefined && <p className="text-xs text-faint">Over since {fullTime(approval.resolvedAt)}</p>}
        </div>
      )}
    </>
  );
}

// Who decided, and when, as far as anybody did.
function useDecider(approval: ApprovalView | null | undefined): string | null {
  const { me } = useAccount();
  if (approval == null || approval.resolvedBy === undefined || approval.resolvedAt === undefined) return null;
  const when = nearTime(approval.resolvedAt, Date.now());
  if (approval.ruleId !== undefined) return `by a rule, ${when}`;
  if (approval.resolvedBy === me?._id) return `by you, ${when}`;
  const name = approval.votes?.find(({ userId }) => userId === approval.resolvedBy)?.name;
  return name === undefined ? when : `by ${name}, ${when}`;
}

/** A question is answered, not approved. */
export function lookOf(status: ApprovalStatus, kind: ApprovalPart["kind"]): Look {
  const look = LOOKS[status];
  if (kind !== "question") return look;
  if (status === "pending") return { ...look, label: "Needs an answer" };
  return status === "approved" ? { ...look, label: "Answered" } : status === "rejected" ? { ...look, label: "Not answered" } : look;
}

/** What is asked, in a line. */
export function titleOf(part: Pick<ApprovalPart, "kind">, approval: ApprovalView | null | undefined): string {
  switch (approval?.kind ?? part.kind) {
    case "tool_call":
      return approval?.tool === undefined ? "Run a tool" : `Run ${approval.tool}`;
    case "plan":
      return "Carry out this plan";
    default:
      return approval?.question ?? "A question";
  }
}

function hasEdits(approval: ApprovalView | null | undefined): boolean {
  return approval?.editedInput !== undefined || approval?.editedVersion !== undefined;
}
