// A text to change, in the type of code, as high as what is in it.

import type { ComponentProps } from "react";

export function Editor({ className = "", ...props }: ComponentProps<"textarea">) {
  return (
    <textarea
      dir="auto"
      spellCheck={false}
      className={`block field-sizing-content min-h-24 w-full resize-none rounded-lg border border-line-strong bg-page px-3 py-2.5 font-mono text-[0.78rem] leading-relaxed transition-colors focus-visible:border-accent aria-invalid:border-danger ${className}`}
      {...props}
    />
  );
}
