// Opens the dialog in which a thread is shared.

import { useState } from "react";
import { ShareIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { ShareDialog } from "./ShareDialog";

export function ShareButton({ threadId }: { threadId: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <IconButton label="Share" aria-haspopup="dialog" onClick={() => setOpen(true)}>
        <ShareIcon />
      </IconButton>
      {open && <ShareDialog threadId={threadId} onClose={() => setOpen(false)} />}
    </>
  );
}
