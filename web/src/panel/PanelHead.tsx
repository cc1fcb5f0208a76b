// The head of the panel: the way back, what is shown, the way out.

import type { ReactNode } from "react";
import { ChevronIcon, CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { closePanel } from "./store";

interface PanelHeadProps {
  headingId: string;
  title: string;
  /** Under the title. */
  note?: ReactNode;
  onBack?: (() => void) | undefined;
}

export function PanelHead({ headingId, title, note, onBack }: PanelHeadProps) {
  return (
    <header className="flex shrink-0 items-start gap-2 border-b border-line py-3 ps-5 pe-3">
      {onBack !== undefined && (
        <IconButton label="All documents" onClick={onBack} className="-ms-2.5">
          <ChevronIcon size={16} className="rotate-180 rtl:rotate-0" />
        </IconButton>
      )}
      <div className="min-w-0 flex-1 pt-1">
        <h2 id={headingId} dir="auto" className="truncate text-base leading-snug font-semibold tracking-tight">
          {title}
        </h2>
        {note}
      </div>
      <IconButton label="Close" onClick={closePanel}>
        <CloseIcon />
      </IconButton>
    </header>
  );
}
