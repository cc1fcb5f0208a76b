// A small menu behind a button. The browser's popover gives the top layer, light dismissal and Escape; this
// adds the place, the arrow keys and the focus.

import { useId, useRef, type KeyboardEvent, type ReactNode } from "react";
import { IconButton } from "./IconButton";

export interface MenuItem {
  label: string;
  icon: ReactNode;
  danger?: boolean;
  onSelect: () => void;
}

interface MenuProps {
  label: string;
  icon: ReactNode;
  items: readonly MenuItem[];
  buttonClassName?: string;
  disabled?: boolean;
  onOpenChange?: (open: boolean) => void;
}

const GAP = 6;

export function Menu({ label, icon, items, buttonClassName, disabled, onOpenChange }: MenuProps) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);

  const place = () => {
    const from = button.current?.getBoundingClientRect();
    const box = menu.current;
    if (from === undefined || box === null) return;
    const below = from.bottom + GAP + box.offsetHeight < window.innerHeight;
    box.style.top = `${below ? from.bottom + GAP : from.top - GAP - box.offsetHeight}px`;
    box.style.left = `${Math.max(8, Math.min(from.right - box.offsetWidth, window.innerWidth - box.offsetWidth - 8))}px`;
  };
  const rows = () => [...(menu.current?.querySelectorAll<HTMLButtonElement>("[role=menuitem]") ?? [])];
  const step = (event: KeyboardEvent) => {
    const all = rows();
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all.at(to % all.length)?.focus();
  };

  return (
    <>
      <IconButton
        ref={button}
        label={label}
        className={buttonClassName}
        disabled={disabled}
        aria-haspopup="menu"
        popoverTarget={id}
      >
        {icon}
      </IconButton>
      <div
        ref={menu}
        id={id}
        role="menu"
        aria-label={label}
        popover="auto"
        onKeyDown={step}
        onToggle={(event) => {
          const open = event.newState === "open";
          onOpenChange?.(open);
          if (!open) return;
          place();
          rows()[0]?.focus();
        }}
        className="fixed inset-auto m-0 max-w-[min(24rem,calc(100vw-1rem))] min-w-40 rounded-xl border border-line bg-raised p-1 text-ink shadow-float"
      >
        {items.map((item) => (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            data-quiet-focus
            tabIndex={-1}
            onClick={() => {
              menu.current?.hidePopover();
              item.onSelect();
            }}
            className={`flex w-full items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-start text-sm transition-colors ${
              item.danger === true
                ? "text-danger hover:bg-danger-soft focus-visible:bg-danger-soft"
                : "hover:bg-hover focus-visible:bg-hover"
            }`}
          >
            {item.icon}
            {item.label}
          </button>
        ))}
      </div>
    </>
  );
}
