// The arguments of a call for somebody who is to judge them: name by name where they are plain, else as JSON.

import { Value } from "./Value";

const MOST = 12;

export function Arguments({ label, input }: { label: string; input: unknown }) {
  const rows = plainRows(input);
  if (rows === null) return <Value label={label} value={input} />;
  return (
    <div>
      <div className="mb-1 text-xs font-medium text-faint">{label}</div>
      <dl className="grid max-h-96 grid-cols-[fit-content(40%)_minmax(0,1fr)] gap-x-4 gap-y-1.5 overflow-auto rounded-lg border border-line bg-page px-3 py-2.5">
        {rows.map(([name, value]) => (
          <div key={name} className="col-span-2 grid grid-cols-subgrid items-baseline">
            <dt dir="ltr" className="font-mono text-[0.78rem] wrap-anywhere text-faint">
              {name}
            </dt>
            <dd dir="auto" className={`wrap-anywhere whitespace-pre-wrap ${typeof value === "string" ? "" : "font-mono text-[0.78rem]"}`}>
              {value === "" ? <span className="text-faint">empty text</span> : String(value)}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

type Plain = string | number | boolean | null;

/** Names and values if all of them fit on a line of their own; `null` if JSON says it better. */
export function plainRows(input: unknown): [string, Plain][] | null {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return null;
  const rows = Object.entries(input);
  const plain = rows.every((row): row is [string, Plain] => row[1] === null || ["string", "number", "boolean"].includes(typeof row[1]));
  return plain && rows.length > 0 && rows.length <= MOST ? rows : null;
}
