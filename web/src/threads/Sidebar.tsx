// The side of the frame: the product's name, the new chat, the thread list, the state of things. A column on
// wide screens, a drawer on small ones.

import { useEffect, useRef } from "react";
import { AccountBar } from "../account/AccountBar";
import { SettingsButton } from "../account/SettingsButton";
import { CloseIcon, PencilIcon, SpoolMark } from "../icons";
import { openDraft } from "../local/useDrafts";
import { useIsLocal } from "../local/useIsLocal";
import { go, hrefOf } from "../route";
import { ConnectionPill } from "../status/ConnectionPill";
import { IconButton } from "../ui/IconButton";
import { followLink } from "../ui/followLink";
import { ThemeSwitch } from "./ThemeSwitch";
import { SharedWithMe } from "./SharedWithMe";
import { ThreadList } from "./ThreadList";

interface SidebarProps {
  threadId: string | null;
  /** Whether the new chat is on the screen. */
  isNew: boolean;
  open: boolean;
  onClose: () => void;
}

export function Sidebar({ threadId, isNew, open, onClose }: SidebarProps) {
  const side = useRef<HTMLElement>(null);
  const local = useIsLocal();
  useEffect(() => {
    if (!open) return;
    side.current?.focus();
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && onClose();
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [open, onClose]);
  return (
    <>
      <div
        aria-hidden="true"
        onClick={onClose}
        className={`fixed inset-0 z-30 bg-scrim transition-opacity duration-200 md:hidden ${open ? "" : "pointer-events-none opacity-0"}`}
      />
      <aside
        ref={side}
        tabIndex={-1}
        data-quiet-focus
        aria-label="Conversations"
        className={`fixed inset-y-0 start-0 z-40 flex w-[min(19rem,86vw)] flex-col bg-side transition-[translate,visibility] duration-300 ease-calm md:visible md:static md:w-68 md:translate-x-0 md:shadow-none lg:w-72 ${
          open ? "visible translate-x-0 shadow-float" : "invisible -translate-x-full rtl:translate-x-full"
        }`}
      >
        <div className="flex h-14 shrink-0 items-center justify-between ps-5 pe-3">
          <a href="/" onClick={followLink(() => go(null))} className="flex items-center gap-2.5 rounded-md">
            <SpoolMark size={22} />
            <span className="text-[1.0625rem] font-semibold tracking-[-0.02em]">Spool</span>
          </a>
          <IconButton label="Close the thread list" className="md:hidden" onClick={onClose}>
            <CloseIcon size={20} />
          </IconButton>
        </div>
        <div className="px-3 pt-1 pb-3">
          <a
            href={hrefOf(null)}
            aria-current={isNew ? "page" : undefined}
            onClick={followLink(() => {
              go(null);
              openDraft(null);
              onClose();
            })}
            className="flex h-10 items-center gap-2.5 rounded-xl border border-line bg-raised px-3 text-sm font-medium shadow-[0_1px_2px_oklch(0.3_0.03_262/0.04)] transition-colors hover:border-line-strong"
          >
            <PencilIcon size={16} className="text-accent" />
            {local ? "New draft" : "New chat"}
          </a>
        </div>
        <nav data-scroll aria-label="Threads" className="min-h-0 flex-1 overflow-y-auto overscroll-contain px-3 pb-4">
          <ThreadList threadId={threadId} />
          <SharedWithMe />
        </nav>
        <AccountBar />
        <div className="flex shrink-0 items-center justify-between border-t border-line px-3 py-2 pb-[max(0.5rem,env(safe-area-inset-bottom))]">
          <ConnectionPill />
          <span className="flex items-center gap-1.5">
            <SettingsButton />
            <ThemeSwitch />
          </span>
        </div>
      </aside>
    </>
  );
}
