// A tool the model used: its name and state at a glance, what went in and what came out on demand.

import type { Part } from "@spool/client";
import { useId, useState, type ReactNode } from "react";
import { AlertIcon, CheckIcon, ChevronIcon, PauseIcon, ToolIcon } from "../../icons";
import { precise } from "../../time";
import { Value } from "./Value";

type Call = Extract<Part, { type: "tool_call" }>;

const STATES: Record<string, { label: string; icon: ReactNode; tone: string }> = {
  pending: { label: "Waiting", icon: <Spinner />, tone: "text-soft" },
  awaiting_approval: { label: "Needs approval", icon: <PauseIcon size={15} />, tone: "text-warn" },
  running: { label: "Running", icon: <Spinner />, tone: "text-accent" },
  completed: { label: "Done", icon: <CheckIcon size={15} />, tone: "text-ok" },
  error: { label: "Failed", icon: <AlertIcon size={15} />, tone: "text-danger" },
  denied: { label: "Denied", icon: <AlertIcon size={15} />, tone: "text-warn" },
  cancelled: { label: "Cancelled", icon: <PauseIcon size={15} />, tone: "text-faint" },
};

export function ToolCall({ call }: { call: Call }) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const state = STATES[call.state] ?? { label: call.state, icon: null, tone: "text-soft" };
  const gist = gistOf(call.input);
  const took = call.startedAt && call.endedAt ? precise(call.endedAt - call.startedAt) : null;
  return (
    <div data-tool={call.tool} data-state={call.state} className="overflow-hidden rounded-xl border border-line bg-sunken text-sm">
      <button
        type="button"
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setOpen(!open)}
        className="flex h-11 w-full items-center gap-2.5 px-3.5 text-start transition-colors hover:bg-hover"
      >
        <ToolIcon size={16} className="shrink-0 text-faint" />
        <span className="shrink-0 font-mono text-[0.8125rem] font-medium">{call.tool}</span>
        <span dir="auto" className="min-w-0 flex-1 truncate text-start font-mono text-xs text-faint">
          {gist}
        </span>
        <span role="status" className={`inline-flex shrink-0 items-center gap-1.5 text-xs font-medium ${state.tone}`}>
          {state.icon}
          {state.label}
          {took !== null && <span className="font-normal text-faint tabular-nums">{took}</span>}
        </span>
        <ChevronIcon size={14} className={`shrink-0 text-faint transition-transform ${open ? "rotate-90" : "rtl:rotate-180"}`} />
      </button>
      {open && (
        <div id={id} className="space-y-3 border-t border-line px-3.5 pt-3 pb-3.5">
          <Value label="Input" value={call.input} />
          {call.error !== undefined && call.error !== null ? (
            <Value label="Error" value={call.error} />
          ) : call.output !== undefined ? (
            <Value label="Result" value={call.output} />
          ) : null}
        </div>
      )}
    </div>
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

function Spinner() {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" fill="none" aria-hidden="true" className="motion-turn">
      <circle cx="7" cy="7" r="5.25" stroke="currentColor" strokeWidth="1.75" strokeDasharray="20 13" strokeLinecap="round" />
    </svg>
  );
}
