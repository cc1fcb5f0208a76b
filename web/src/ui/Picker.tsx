// A quiet choice of one among a few: the browser's own list behind a small label.

import type { ReactNode } from "react";
import { ChevronIcon } from "../icons";

interface PickerProps {
  label: string;
  /** What is chosen; must be one of the options. */
  value: string;
  options: readonly { value: string; label: string }[];
  /** What is on the screen while the list is not, where it is not the option's own label. */
  shown?: string;
  icon?: ReactNode;
  title?: string;
  className?: string;
  onPick: (value: string) => void;
}

export function Picker({ label, value, options, shown, icon, title, className = "", onPick }: PickerProps) {
  return (
    <span
      title={title}
      className={`relative inline-flex h-8 max-w-full min-w-0 items-center gap-1.5 rounded-full ps-2.5 pe-2 text-[0.8125rem] text-soft transition-colors hover:bg-hover hover:text-ink has-[select:focus-visible]:outline-2 has-[select:focus-visible]:outline-accent ${className}`}
    >
      {icon}
      <span className="min-w-0 truncate" aria-hidden="true">
        {shown ?? options.find((option) => option.value === value)?.label ?? value}
      </span>
      <ChevronIcon size={12} className="shrink-0 rotate-90 text-faint" />
      <select
        aria-label={label}
        value={value}
        onChange={(event) => onPick(event.target.value)}
        className="absolute inset-0 w-full cursor-pointer appearance-none rounded-full bg-raised text-ink opacity-0"
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </span>
  );
}
