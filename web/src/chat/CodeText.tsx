// Code with its colours. While the code grows, finished lines keep the colours they have and the rest is
// plain: what is on the screen never waits for the highlighter, and never loses its colours to new text.

import { memo, useEffect, useRef, useState } from "react";
import type { ColouredLine } from "./highlighter";

/** The least time between two colourings of code that grows. */
const PAUSE_MS = 150;
/** Longer code stays plain: colouring it would hold up the page. */
const LONGEST = 60_000;

interface Coloured {
  code: string;
  lines: readonly ColouredLine[];
}

export const CodeText = memo(function CodeText({ code, language }: { code: string; language: string }) {
  const coloured = useColours(code, language);
  const kept = coloured === null ? 0 : commonLines(coloured.code, code);
  const rest = kept === 0 ? code : code.split("\n").slice(kept).join("\n");
  return (
    <code>
      {coloured?.lines.slice(0, kept).map((line, at) => (
        <Line key={at} line={line} last={at === kept - 1 && rest === ""} />
      ))}
      {rest}
    </code>
  );
});

const Line = memo(function Line({ line, last }: { line: ColouredLine; last: boolean }) {
  return (
    <>
      {line.map((token, at) => (
        <span key={at} style={token.colour === null ? undefined : { color: token.colour }}>
          {token.text}
        </span>
      ))}
      {last ? "" : "\n"}
    </>
  );
});

function useColours(code: string, language: string): Coloured | null {
  const [coloured, setColoured] = useState<Coloured | null>(null);
  const lastRun = useRef(0);
  useEffect(() => {
    if (code.length > LONGEST) return;
    let live = true;
    const timer = setTimeout(
      () => {
        lastRun.current = Date.now();
        void import("./highlighter")
          .then(({ colour }) => colour(code, language))
          .then((lines) => live && lines !== null && setColoured({ code, lines }))
          .catch(() => {});
      },
      Math.max(0, lastRun.current + PAUSE_MS - Date.now()),
    );
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, [code, language]);
  return coloured;
}

// How many lines from the start are finished and the same in both.
function commonLines(old: string, now: string): number {
  if (old === now) return now.split("\n").length;
  const was = old.split("\n");
  const is = now.split("\n");
  let same = 0;
  while (same < was.length - 1 && same < is.length && was[same] === is[same]) same += 1;
  return same;
}
