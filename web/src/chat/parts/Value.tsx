// A value of a tool: what went in or came out, as text or as JSON. Long ones show their beginning first.

import { useMemo, useState } from "react";
import { CheckIcon, CopyIcon } from "../../icons";
import { useCopy } from "../../ui/useCopy";
import { CodeText } from "../CodeText";
import { cut } from "./cut";

export function Value({ label, value }: { label: string; value: unknown }) {
  const [all, setAll] = useState(false);
  const [copied, copy] = useCopy();
  const { text, language } = useMemo(() => asText(value), [value]);
  const first = useMemo(() => cut(text), [text]);
  const shown = all ? text : first.text;
  return (
    <div className="group/value">
      <div className="mb-1 flex h-6 items-center justify-between gap-2 text-xs font-medium text-faint">
        {label}
        <button
          type="button"
          aria-label={copied ? "Copied" : `Copy: ${label}`}
          title={copied ? "Copied" : "Copy"}
          onClick={() => copy(text)}
          className="inline-flex size-6 items-center justify-center rounded-md opacity-0 transition-[color,opacity] group-focus-within/value:opacity-100 group-hover/value:opacity-100 hover:text-ink pointer-coarse:opacity-100"
        >
          {copied ? <CheckIcon size={14} className="text-ok" /> : <CopyIcon size={14} />}
        </button>
      </div>
      <div className="overflow-hidden rounded-lg border border-line bg-page">
        <pre dir="ltr" tabIndex={0} aria-label={label} className={`overflow-auto px-3 py-2.5 font-mono text-[0.78rem] leading-relaxed wrap-anywhere whitespace-pre-wrap ${all ? "max-h-[70vh]" : "max-h-96"}`}>
          {shown === "" ? <span className="text-faint">empty</span> : <CodeText code={shown} language={language} />}
        </pre>
        {first.rest !== null && (
          <button
            type="button"
            aria-expanded={all}
            onClick={() => setAll(!all)}
            className="flex h-9 w-full items-center gap-1.5 border-t border-line px-3 text-xs font-medium text-accent transition-colors hover:bg-hover"
          >
            {all ? "Show less" : "Show all"}
            {!all && <span className="font-normal text-faint">{first.rest}</span>}
          </button>
        )}
      </div>
    </div>
  );
}

/** Longer text is not read as JSON: it would hold up the page. */
const LONGEST_JSON = 500_000;

// Many tools answer with a text that is JSON.
function asText(value: unknown): { text: string; language: string } {
  if (typeof value !== "string") return { text: asJson(value), language: "json" };
  if (/^\s*[[{]/.test(value) && value.length <= LONGEST_JSON) {
    try {
      return { text: asJson(JSON.parse(value)), language: "json" };
    } catch {
      // It only looked like it.
    }
  }
  return { text: value, language: "text" };
}

export function asJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "nothing";
}
