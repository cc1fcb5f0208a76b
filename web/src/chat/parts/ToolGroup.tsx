// Calls that belong together, in one frame: those that are made at the same time, and those of steps between
// which nothing was said. Of many, the newest are in sight.

import { useId, useState } from "react";
import { ChevronIcon } from "../../icons";
import { isOver, ToolCall, type Call } from "./ToolCall";

/** So many are shown without asking. */
const IN_SIGHT = 4;

export function ToolGroup({ calls }: { calls: readonly Call[] }) {
  const id = useId();
  const [all, setAll] = useState(false);
  const folded = calls.length > IN_SIGHT + 1 ? calls.length - IN_SIGHT : 0;
  return (
    <div
      role="group"
      aria-label={calls.length === 1 ? "Tool call" : `${calls.length} tool calls`}
      className="divide-y divide-line overflow-hidden rounded-xl border border-line bg-sunken text-sm"
    >
      {folded > 0 && (
        <button
          type="button"
          aria-expanded={all}
          aria-controls={id}
          onClick={() => setAll(!all)}
          className="flex h-9 w-full items-center gap-2 px-3.5 text-xs text-soft transition-colors hover:bg-hover focus-visible:-outline-offset-2"
        >
          <ChevronIcon size={13} className={`text-faint transition-transform ${all ? "rotate-90" : "rtl:rotate-180"}`} />
          {all ? `All ${calls.length} calls` : summary(calls.slice(0, folded))}
        </button>
      )}
      <div id={id} className="divide-y divide-line">
        {/* What still runs or waits is in sight, however old it is. */}
        {calls.map((call, at) => (all || at >= folded || !isOver(call) ? <ToolCall key={call.toolCallId} call={call} /> : null))}
      </div>
    </div>
  );
}

/** "8 earlier calls, 1 failed" */
export function summary(calls: readonly Call[]): string {
  const over = calls.filter(isOver);
  const failed = over.filter(({ state }) => state === "error" || state === "denied").length;
  return `${over.length} earlier ${over.length === 1 ? "call" : "calls"}${failed === 0 ? "" : `, ${failed} failed`}`;
}
