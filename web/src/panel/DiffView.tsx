// What changed between two texts, line under line.

import { useMemo } from "react";
import { diff, pieces, type Line } from "./diff";

interface DiffViewProps {
  before: string;
  after: string;
  label: string;
}

/** Longer texts are not compared here: it would hold up the page. */
const LONGEST = 2_000_000;

const LOOKS: Record<Line["kind"], { mark: string; name: string; look: string }> = {
  same: { mark: "", name: "", look: "" },
  gone: { mark: "−", name: "removed: ", look: "bg-danger-soft text-danger" },
  new: { mark: "+", name: "added: ", look: "bg-[color-mix(in_oklch,var(--ok)_12%,transparent)]" },
};

export function DiffView({ before, after, label }: DiffViewProps) {
  const tooLong = before.length + after.length > LONGEST;
  const found = useMemo(() => (tooLong ? [] : pieces(diff(...withoutLastBreak(before, after)))), [before, after, tooLong]);
  if (tooLong) return <p className="text-sm text-soft">These texts are too long to be compared here.</p>;
  if (before === after) return <p className="text-sm text-soft">Nothing is different.</p>;
  return (
    <div dir="ltr" role="group" aria-label={label} className="overflow-hidden rounded-lg border border-line font-mono text-[0.78rem] leading-relaxed">
      {found.map((piece, at) =>
        "skipped" in piece ? (
          <p key={at} className="border-line bg-sunken px-3 py-1 text-xs text-faint not-first:border-t not-last:border-b">
            {piece.skipped} unchanged {piece.skipped === 1 ? "line" : "lines"}
          </p>
        ) : (
          piece.lines.map((line, near) => <Row key={`${at}.${near}`} line={line} />)
        ),
      )}
    </div>
  );
}

// The break that ends both of them is no line of its own.
function withoutLastBreak(before: string, after: string): [string, string] {
  return before.endsWith("\n") && after.endsWith("\n") ? [before.slice(0, -1), after.slice(0, -1)] : [before, after];
}

function Row({ line: { kind, text, number } }: { line: Line }) {
  const { mark, name, look } = LOOKS[kind];
  return (
    <div className={`grid grid-cols-[3.25rem_1.25rem_minmax(0,1fr)] ${look}`}>
      <span aria-hidden="true" className="pe-2 text-end text-faint tabular-nums select-none">
        {number}
      </span>
      <span aria-hidden="true" className="select-none">
        {mark}
      </span>
      <span dir="auto" className="pe-3 wrap-anywhere whitespace-pre-wrap">
        {name !== "" && <span className="sr-only">{name}</span>}
        {text === "" ? " " : text}
      </span>
    </div>
  );
}
