// A button with words on it, in three weights.

import type { ComponentProps } from "react";

const LOOKS = {
  quiet: "border border-line bg-raised text-ink hover:border-line-strong hover:bg-hover",
  strong: "bg-accent text-on-accent hover:bg-accent-strong",
  danger: "bg-danger text-page hover:opacity-90",
} as const;

type ButtonProps = ComponentProps<"button"> & { look?: keyof typeof LOOKS };

export function Button({ look = "quiet", className = "", ...props }: ButtonProps) {
  return (
    <button
      type="button"
      className={`inline-flex h-9 items-center justify-center gap-2 rounded-lg px-3.5 text-sm font-medium transition-colors disabled:opacity-50 ${LOOKS[look]} ${className}`}
      {...props}
    />
  );
}
