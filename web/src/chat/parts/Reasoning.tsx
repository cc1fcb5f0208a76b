// What the model thought before it answered: a glimpse while it thinks, folded away after.

import { useEffect, useId, useRef, useState } from "react";
import { ChevronIcon, ThoughtIcon } from "../../icons";
import { duration } from "../../time";

export function Reasoning({ text, growing }: { text: string; growing: boolean }) {
  const id = useId();
  const [chosen, setChosen] = useState<boolean | null>(null);
  const [started] = useState(() => (growing ? Date.now() : null));
  const [took, setTook] = useState<number | null>(null);
  useEffect(() => {
    if (!growing && started !== null) setTook((known) => known ?? Date.now() - started);
  }, [growing, started]);
  const glimpse = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (growing && chosen === null && glimpse.current !== null) glimpse.current.scrollTop = glimpse.current.scrollHeight;
  }, [text, growing, chosen]);

  const open = chosen ?? growing;
  const glimpsing = growing && chosen === null;
  const label = growing ? "Thinking" : took !== null && took >= 1000 ? `Thought for ${duration(took)}` : "Thought it through";
  return (
    <div className="text-sm">
      <button
        type="button"
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setChosen(chosen === null && growing ? true : !open)}
        className="-ms-1 inline-flex h-8 items-center gap-2 rounded-lg px-1 pe-2 text-soft transition-colors hover:text-ink"
      >
        <ThoughtIcon size={17} className={growing ? "text-accent motion-breathe" : "text-faint"} />
        <span className="font-medium">{label}</span>
        <ChevronIcon size={14} className={`text-faint transition-transform ${open && !glimpsing ? "rotate-90" : "rtl:rotate-180"}`} />
      </button>
      {open && (
        <div
          id={id}
          ref={glimpse}
          dir="auto"
          className={`ms-[0.45rem] mt-1 border-s-[1.5px] border-dashed border-line-strong ps-4 leading-relaxed wrap-anywhere whitespace-pre-wrap text-soft ${
            glimpsing ? "max-h-28 overflow-hidden mask-t-from-60%" : ""
          }`}
        >
          {text.trim()}
        </div>
      )}
    </div>
  );
}
