// The head of the page: the drawer's button on small screens, the title, the model, trouble with the connection,
// and the ways to share a conversation, to its documents, and to what waits for a decision.

import { useServerInfo } from "@spool/client/react";
import { MenuIcon, PlusIcon } from "../icons";
import { InboxBell } from "../inbox/InboxBell";
import { openDraft } from "../local/useDrafts";
import { PanelButton } from "../panel/PanelButton";
import { go } from "../route";
import { ShareButton } from "../shared/ShareButton";
import { IconButton } from "../ui/IconButton";
import { ConnectionNotice } from "./ConnectionPill";

interface HeaderProps {
  title: string | null;
  inbox: boolean;
  /** The thread that is shown, if there is one that can be shared. */
  threadId: string | null;
  model: string | null;
  onMenu: () => void;
}

export function Header({ title, inbox, threadId, model, onMenu }: HeaderProps) {
  const info = useServerInfo();
  const standard = info?.models.find((candidate) => candidate.isDefault) ?? info?.models[0];
  const name = model ?? standard?.id ?? null;
  return (
    <header className="flex h-14 shrink-0 items-center gap-2 px-3 sm:px-5">
      <IconButton label="Open the thread list" className="md:hidden" onClick={onMenu}>
        <MenuIcon size={20} />
      </IconButton>
      <h1 dir="auto" className="min-w-0 flex-1 truncate text-[0.9375rem] font-semibold tracking-tight">
        {title}
      </h1>
      <ConnectionNotice />
      {name !== null && !inbox && (
        <span
          title={info?.demo === true ? "The built-in demo model" : `Model: ${name}`}
          className="hidden max-w-56 truncate rounded-full border border-line px-2.5 py-0.5 text-xs text-soft sm:block"
        >
          {name}
        </span>
      )}
      {threadId !== null && <ShareButton key={threadId} threadId={threadId} />}
      {threadId !== null && <PanelButton threadId={threadId} />}
      <InboxBell here={inbox} />
      <IconButton
        label="New chat"
        className="md:hidden"
        onClick={() => {
          go(null);
          openDraft(null);
        }}
      >
        <PlusIcon size={20} />
      </IconButton>
    </header>
  );
}
