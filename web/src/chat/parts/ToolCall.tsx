// A tool the model used: its name and state at a glance, what went in and what came out on demand.

import type { Part } from "@spool/client";
import { useEffect, useId, useState, type ReactNode } from "react";
import { AlertIcon, CheckIcon, ChevronIcon, PauseIcon, ToolIcon } from "../../icons";
import { precise, useNow } from "../../time";
import { Spinner } from "../../ui/Spinner";
import { Value } from "./Value";

export type Call = Extract<Part, { type: "tool_call" }>;

interface Look {
  label: string;
  icon: ReactNode;
  tone: string;
}

const LOOKS: Record<Call["state"], Look> = {
  pending: { label: "Waiting", icon: <Spinner />, tone: "text-soft" },
  awaiting_approval: { label: "Needs approval", icon: <PauseIcon size={15} />, tone: "text-warn" },
  running: { label: "Running", icon: <Spinner />, tone: "text-accent" },
  completed: { label: "Done", icon: <CheckIcon size={15} />, tone: "text-ok" },
  error: { label: "Failed", icon: <AlertIcon size={15} />, tone: "text-danger" },
  denied: { label: "Denied", icon: <AlertIcon size={15} />, tone: "text-warn" },
  cancelled: { label: "Cancelled", icon: <PauseIcon size={15} />, tone: "text-faint" },
};

export function isOver({ state }: Call): boolean {
  return state === "completed" || state === "error" || state === "denied" || state === "cancelled";
}

/** One row of a group: it brings no frame of its own. */
export function ToolCall({ call }: { call: Call }) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const look: Look = LOOKS[call.state] ?? { label: call.state, icon: null, tone: "text-soft" };
  const failed = call.state === "error" || call.state === "denied";
  const said = call.error ?? null;
  return (
    <div data-tool={call.tool} data-state={call.state}>
      <button
        type="button"
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setOpen(!open)}
        className="flex h-11 w-full items-center gap-2.5 px-3.5 text-start transition-colors hover:bg-hover focus-visible:-outline-offset-2"
      >
        <ToolIcon size={16} className="shrink-0 text-faint" />
        <span className="max-w-[55%] shrink-0 truncate font-mono text-[0.8125rem] font-medium">{call.tool}</span>
        <span dir="auto" className={`min-w-0 flex-1 truncate text-start text-xs ${failed && said !== null ? "text-soft" : "font-mono text-faint"}`}>
          {failed && said !== null ? said : gistOf(call.input)}
        </span>
        <span className={`inline-flex shrink-0 items-center gap-1.5 text-xs font-medium ${look.tone}`}>
          {look.icon}
          <span role="status">{look.label}</span>
          <Took call={call} />
        </span>
        <ChevronIcon size={14} className={`shrink-0 text-faint transition-transform ${open ? "rotate-90" : "rtl:rotate-180"}`} />
      </button>
      {open && (
        <div id={id} className="space-y-2 border-t border-line px-3.5 pt-2 pb-3.5">
          <Value label="Input" value={call.input} />
          {said !== null ? (
            <Value label={call.state === "error" ? "Error" : "Reason"} value={said} />
          ) : call.output !== undefined ? (
            <Value label="Result" value={call.output} />
          ) : null}
        </div>
      )}
    </div>
  );
}

/** Only a call that takes longer than this is counted out. */
const COUNTED_MS = 2_000;

// The server's times where it has told them; until then, what was seen here.
function Took({ call }: { call: Call }) {
  const running = call.state === "running";
  const [since, setSince] = useState(() => (running ? Date.now() : null));
  const [seen, setSeen] = useState<number | null>(null);
  useEffect(() => {
    if (running) setSince((known) => known ?? Date.now());
    else if (since !== null && isOver(call)) setSeen((known) => known ?? Date.now() - since);
  }, [running, since, call]);
  const told = call.startedAt != null && call.endedAt != null ? call.endedAt - call.startedAt : null;
  if (running && since !== null) return <Ticking since={call.startedAt ?? since} />;
  const ms = told ?? seen;
  if (ms === null || call.state === "denied" || call.state === "cancelled") return null;
  return <span className="font-normal text-faint tabular-nums">{precise(ms)}</span>;
}

function Ticking({ since }: { since: number }) {
  const passed = useNow(1000) - since;
  if (passed < COUNTED_MS) return null;
  return (
    <span aria-hidden="true" className="font-normal text-faint tabular-nums">
      {precise(Math.floor(passed / 1000) * 1000).replace(".0", "")}
    </span>
  );
}

// The input in one line: its values if they are plain, else nothing.
function gistOf(input: unknown): string {
  if (typeof input !== "object" || input === null) return input === undefined || input === null ? "" : String(input);
  return Object.entries(input)
    .filter(([, value]) => typeof value !== "object")
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join(", ")
    .slice(0, 160);
}
