// In the place of the composer: what kind of page this is, and the way to go on with a copy of it.

import { readFailure, type Failure, type SharedThread, type Ticket } from "@spool/client";
import { useCopyShared } from "@spool/client/react";
import { useState } from "react";
import { CopyIcon } from "../icons";
import { ThemeSwitch } from "../threads/ThemeSwitch";
import { hrefOf } from "../route";
import { fullTime, nearTime, useNow } from "../time";
import { Button } from "../ui/Button";

interface CopyBarProps {
  ticket: Ticket;
  thread: SharedThread;
  empty: boolean;
}

export function CopyBar({ ticket, thread, empty }: CopyBarProps) {
  const copy = useCopyShared(ticket);
  const now = useNow(60_000);
  const [working, setWorking] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const take = async () => {
    setWorking(true);
    setFailure(null);
    try {
      window.location.assign(hrefOf(await copy()));
    } catch (error) {
      setFailure(readFailure(error));
      setWorking(false);
    }
  };
  return (
    <div className="shrink-0 px-4 pb-[max(1rem,env(safe-area-inset-bottom))] sm:px-6">
      <div className="mx-auto flex w-full max-w-read flex-wrap items-center gap-x-4 gap-y-2.5 rounded-2xl border border-line bg-raised px-4 py-3 shadow-card">
        <div className="min-w-[min(100%,13rem)] flex-1 text-sm">
          <p className="font-medium">
            {thread.mode === "live" ? "You are reading along" : `As it was, ${nearTime(thread.sharedAt, now)}`}
          </p>
          {failure === null ? (
            <p className="text-xs text-pretty text-faint">
              {thread.expiresAt === undefined ? "Only its owner can write here." : `Open until ${fullTime(thread.expiresAt)}.`}
            </p>
          ) : (
            <p role="alert" className="text-xs text-pretty text-danger">
              {failure.message}
            </p>
          )}
        </div>
        <ThemeSwitch />
        <Button look="strong" className="max-sm:w-full" disabled={working || empty} onClick={() => void take()}>
          <CopyIcon size={15} />
          Copy into my chats
        </Button>
      </div>
    </div>
  );
}
