// Opens the dialog in which a thread is shared, and shows whether it is.

import { useShares } from "@spool/client/react";
import { useState } from "react";
import { ShareIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { ShareDialog } from "./ShareDialog";

export function ShareButton({ threadId }: { threadId: string }) {
  const [open, setOpen] = useState(false);
  const ways = useShares(threadId)?.length ?? 0;
  const state = ways === 0 ? undefined : `Others can read this in ${ways === 1 ? "one way" : `${ways} ways`}`;
  return (
    <>
      <IconButton label="Share" title={state ?? "Share"} aria-description={state} aria-haspopup="dialog" className="relative" onClick={() => setOpen(true)}>
        <ShareIcon />
        {ways > 0 && <span className="absolute end-1 top-1 size-2 rounded-full border border-page bg-accent" aria-hidden="true" />}
      </IconButton>
      {open && <ShareDialog threadId={threadId} onClose={() => setOpen(false)} />}
    </>
  );
}
