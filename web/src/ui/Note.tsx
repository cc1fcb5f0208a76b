// Something to know before the next step.

import type { ComponentProps } from "react";

export function Note(props: ComponentProps<"p">) {
  return <p className="rounded-lg border border-warn-line bg-warn-soft px-3 py-2 text-sm" {...props} />;
}
