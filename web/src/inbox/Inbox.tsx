// What waits for the reader's decision, across threads, and what was decided. Decided here or elsewhere, a row
// stays where it is until the reader leaves: nothing moves under the pointer.

import { readFailure, type ApprovalView } from "@spool/client";
import { useConnectionState, useDecideMany, useGuestAuth, useInbox, useInboxCount, useMarkSeen } from "@spool/client/react";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { BellIcon } from "../icons";
import { useNow } from "../time";
import { Button } from "../ui/Button";
import { NearEdge } from "../ui/NearEdge";
import { Picker } from "../ui/Picker";
import { chosen, isBatchable, outcome, shown, type Filter } from "./filter";
import { InboxRow } from "./InboxRow";
import { PushSwitch } from "./PushSwitch";

const NONE: readonly ApprovalView[] = [];

const KINDS = [
  { value: "all", label: "All kinds" },
  { value: "tool_call", label: "Tool calls" },
  { value: "plan", label: "Plans" },
  { value: "question", label: "Questions" },
];

export default function Inbox() {
  const auth = useGuestAuth();
  const skip = auth.status === "signed_in" ? undefined : "skip";
  const { items, more } = useInbox(skip);
  const count = useInboxCount(skip);
  const [filter, setFilter] = useState<Filter>({ state: "waiting", kind: "all" });
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const now = useNow(30_000);
  const all = items === undefined ? undefined : [...(count?.votes ?? NONE), ...items];
  const kept = useKept(all ?? NONE);
  const seenAt = useSeen(all, count?.seenAt);
  if (auth.status === "anonymous") return <Empty filter={filter} />;
  if (all === undefined || count === undefined) return <div className="flex-1" aria-busy="true" />;
  const rows = shown(all, filter, kept);
  const batch = chosen(rows, picked);
  const toggle = (id: string) => setPicked((before) => (before.has(id) ? new Set([...before].filter((other) => other !== id)) : new Set([...before, id])));
  const batchable = rows.filter(isBatchable);
  // As long as there may be something to pick: its boxes do not vanish with the last of it.
  const picking = filter.state === "waiting" && rows.length > 1;
  const every = batchable.length > 0 && batch.length === batchable.length;
  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <div data-scroll className="min-h-0 flex-1 overflow-y-auto overscroll-contain [scrollbar-gutter:stable_both-edges]">
        <div className="mx-auto w-full max-w-read px-4 pt-2 pb-10 sm:px-6">
          <div className="flex flex-wrap items-center gap-x-2 gap-y-1.5 pb-3">
            <div role="radiogroup" aria-label="Which approvals" className="flex rounded-full border border-line p-0.5">
              <State here={filter.state === "waiting"} onClick={() => setFilter({ ...filter, state: "waiting" })}>
                Waiting
                {count.pending > 0 && <span className="text-faint tabular-nums">{count.pending > 99 ? "99+" : count.pending}</span>}
              </State>
              <State here={filter.state === "decided"} onClick={() => setFilter({ ...filter, state: "decided" })}>
                Decided
              </State>
            </div>
            <Picker label="Kind" value={filter.kind} options={KINDS} onPick={(kind) => setFilter({ ...filter, kind: kind as Filter["kind"] })} />
            <span className="flex-1" />
            <PushSwitch />
          </div>
          {rows.length === 0 ? (
            <Empty filter={filter} />
          ) : (
            <>
              {picking && (
                <div className="flex h-9 items-center ps-[0.9375rem] text-sm text-soft">
                  <label className="inline-flex items-center gap-3">
                    <input
                      type="checkbox"
                      className="size-4 accent-(--accent) disabled:opacity-40"
                      checked={every}
                      disabled={batchable.length === 0}
                      ref={(box) => {
                        if (box !== null) box.indeterminate = batch.length > 0 && batch.length < batchable.length;
                      }}
                      onChange={() => setPicked(every ? new Set() : new Set(batchable.map(({ _id }) => _id)))}
                    />
                    Select all
                  </label>
                </div>
              )}
              <ul aria-label={filter.state === "waiting" ? "Waiting for you" : "Decided"} className="divide-y divide-line overflow-hidden rounded-xl border border-line bg-raised">
                {rows.map((row) => (
                  <InboxRow
                    key={row._id}
                    approval={row}
                    now={now}
                    unread={row.status === "pending" && row.createdAt > seenAt}
                    picked={picked.has(row._id)}
                    onPick={picking ? () => toggle(row._id) : null}
                  />
                ))}
              </ul>
            </>
          )}
          {more !== null && <NearEdge label="Earlier" loadingLabel="Loading…" loading={false} within={400} onReach={more} />}
        </div>
      </div>
      <Batch rows={batch} onDone={() => setPicked(new Set())} />
    </div>
  );
}

interface StateProps {
  here: boolean;
  onClick: () => void;
  children: ReactNode;
}

function State({ here, onClick, children }: StateProps) {
  return (
    <button
      type="button"
      role="radio"
      aria-checked={here}
      onClick={onClick}
      className={`inline-flex h-7 items-center gap-1.5 rounded-full px-3 text-[0.8125rem] font-medium transition-colors ${here ? "bg-hover text-ink" : "text-faint hover:text-ink"}`}
    >
      {children}
    </button>
  );
}

// Those that were pending at some time since the inbox was opened.
function useKept(all: readonly ApprovalView[]): ReadonlySet<string> {
  const kept = useRef(new Set<string>());
  for (const { _id, status } of all) if (status === "pending") kept.current.add(_id);
  return kept.current;
}

// Up to when everything was seen when the inbox was opened; what is on the screen is noted as seen.
function useSeen(all: readonly ApprovalView[] | undefined, seenAt: number | undefined): number {
  const mark = useMarkSeen();
  const [before, setBefore] = useState<number | null>(null);
  if (before === null && seenAt !== undefined) setBefore(seenAt);
  const newest = all?.reduce((latest, { createdAt }) => Math.max(latest, createdAt), 0) ?? 0;
  const unseen = seenAt !== undefined && newest > seenAt;
  useEffect(() => {
    // What is not noted now is noted at the next look.
    if (unseen) mark(newest).catch(() => {});
  }, [mark, newest, unseen]);
  return before ?? Infinity;
}

function Batch({ rows, onDone }: { rows: readonly ApprovalView[]; onDone: () => void }) {
  const decide = useDecideMany();
  const offline = useConnectionState() !== "live";
  const [working, setWorking] = useState(false);
  const [said, setSaid] = useState<string | null>(null);
  const answer = async (decision: "approve" | "reject") => {
    setWorking(true);
    setSaid(null);
    try {
      setSaid(outcome(decision, await decide(rows.map(({ _id }) => ({ approvalId: _id, decision })))));
      onDone();
    } catch (error) {
      setSaid(readFailure(error).message);
    }
    setWorking(false);
  };
  return (
    <div className="mx-auto w-full max-w-read shrink-0 px-4 sm:px-6">
      <p role="status" className="pb-2 text-center text-sm text-soft empty:hidden">
        {rows.length === 0 ? said : null}
      </p>
      {rows.length > 0 && (
        <div role="group" aria-label="Decide about all that are selected" className="mb-4 flex flex-wrap items-center gap-2 rounded-2xl border border-line bg-raised py-2 ps-4 pe-2 shadow-card motion-appear">
          <span className="flex-1 text-sm font-medium tabular-nums">{rows.length} selected</span>
          <Button disabled={working || offline} onClick={() => void answer("reject")}>
            Reject
          </Button>
          <Button look="strong" disabled={working || offline} onClick={() => void answer("approve")}>
            Approve {rows.length}
          </Button>
        </div>
      )}
    </div>
  );
}

function Empty({ filter }: { filter: Filter }) {
  const waiting = filter.state === "waiting";
  return (
    <div className="flex min-h-[50vh] flex-1 flex-col items-center justify-center gap-4 text-center motion-appear">
      <span className="inline-flex size-12 items-center justify-center rounded-2xl bg-accent-soft text-accent">
        <BellIcon size={24} />
      </span>
      <div className="max-w-xs">
        <h2 className="font-semibold tracking-tight">{waiting ? "Nothing waits for you" : "Nothing was decided yet"}</h2>
        <p className="mt-1 text-sm text-pretty text-soft">
          {waiting ? "When an assistant asks before it goes on, in any thread, you can answer it here." : "What you approve and reject is kept here."}
        </p>
      </div>
    </div>
  );
}
