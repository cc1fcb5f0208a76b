// The sign of life while there is nothing to read yet: a thread being pulled, what is going on, and after a
// while how long it has been.

import { useState } from "react";
import { duration, useNow } from "../time";

/** Only a wait longer than this is counted out. */
const COUNTED_MS = 4_000;

export function Waiting({ label, first }: { label: string | null; first: boolean }) {
  const [since] = useState(() => Date.now());
  const waited = useNow(1000) - since;
  return (
    <div className={`flex items-center gap-3 text-sm text-faint motion-late ${first ? "py-1" : "pt-4"}`}>
      <svg width="44" height="12" viewBox="0 0 44 12" fill="none" aria-hidden="true" className="shrink-0 text-accent">
        <path
          d="M2 6c4-5 6-5 10 0s6 5 10 0 6-5 10 0 6 5 10 0"
          stroke="currentColor"
          strokeWidth="2"
          strokeLinecap="round"
          strokeDasharray="7 5"
          className="motion-pull"
        />
      </svg>
      <span role="status" dir="auto">
        {label === null ? (first ? "Waiting for the first words" : "Still working") : sentence(label)}
      </span>
      {waited >= COUNTED_MS && <span aria-hidden="true" className="tabular-nums">{duration(waited)}</span>}
    </div>
  );
}

function sentence(label: string): string {
  return label.charAt(0).toUpperCase() + label.slice(1);
}
