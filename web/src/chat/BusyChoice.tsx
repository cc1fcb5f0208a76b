// What becomes of a message that is sent while an answer is being made: it waits for the end, or steers.

import { useState } from "react";

export type BusyMode = "queue" | "steer";

const MODES: readonly { mode: BusyMode; label: string; hint: string }[] = [
  { mode: "queue", label: "Queue", hint: "It is answered after this answer" },
  { mode: "steer", label: "Steer", hint: "This answer takes it up at its next step (Ctrl+Enter)" },
];

// As long as the page: who steers, steers more than once.
let kept: BusyMode = "queue";

export function useBusyMode(): [BusyMode, (mode: BusyMode) => void] {
  const [mode, setMode] = useState<BusyMode>(kept);
  return [
    mode,
    (next) => {
      kept = next;
      setMode(next);
    },
  ];
}

export function BusyChoice({ mode, onChoose }: { mode: BusyMode; onChoose: (mode: BusyMode) => void }) {
  return (
    <div role="radiogroup" aria-label="What becomes of this message" className="flex h-5 items-center justify-center gap-1 text-xs motion-appear">
      <span className="me-1 hidden text-faint sm:inline">While this answer is made:</span>
      {MODES.map((entry) => (
        <button
          key={entry.mode}
          type="button"
          role="radio"
          aria-checked={entry.mode === mode}
          title={entry.hint}
          onClick={() => onChoose(entry.mode)}
          className={`inline-flex h-5 items-center rounded-full px-2 font-medium transition-colors ${
            entry.mode === mode ? "bg-hover text-ink" : "text-faint hover:text-ink"
          }`}
        >
          {entry.label}
        </button>
      ))}
      <span className="ms-1 text-faint">{MODES.find((entry) => entry.mode === mode)?.hint.replace(" (Ctrl+Enter)", "")}</span>
    </div>
  );
}
