// The way of a guest to what assistants know and may; people with an account find it there.

import { useAccount } from "@spool/client/react";
import { lazy, Suspense, useState } from "react";
import { SlidersIcon } from "../icons";
import { IconButton } from "../ui/IconButton";

const SettingsDialog = lazy(() => import("./SettingsDialog"));

export function SettingsButton() {
  const { kind, me } = useAccount();
  const [open, setOpen] = useState(false);
  if (kind !== "guest" || me == null) return null;
  return (
    <>
      <IconButton label="Memory and instructions" aria-haspopup="dialog" onClick={() => setOpen(true)}>
        <SlidersIcon size={17} />
      </IconButton>
      {open && (
        <Suspense>
          <SettingsDialog onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}
