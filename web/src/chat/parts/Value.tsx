// A value of a tool: what went in or came out, as text or as JSON.

import { CodeText } from "../CodeText";

export function Value({ label, value }: { label: string; value: unknown }) {
  const text = typeof value === "string" ? value : asJson(value);
  return (
    <div>
      <div className="mb-1 text-xs font-medium text-faint">{label}</div>
      <pre dir="ltr" tabIndex={0} className="max-h-72 overflow-auto rounded-lg border border-line bg-page px-3 py-2.5 font-mono text-[0.78rem] leading-relaxed">
        <CodeText code={text} language={typeof value === "string" ? "text" : "json"} />
      </pre>
    </div>
  );
}

export function asJson(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "nothing";
}
