// Parts this UI has no view of its own for: named plainly, never dropped.

import type { Part } from "@spool/client";

const NAMES: Partial<Record<Part["type"], string>> = {
  data: "Data",
};

export function OtherPart({ part }: { part: Part }) {
  return (
    <div data-part={part.type} className="inline-flex rounded-lg border border-dashed border-line-strong px-3 py-1.5 text-sm text-soft">
      {NAMES[part.type] ?? part.type}
    </div>
  );
}
