// How much waits for the reader, and the way to it.

import { useGuestAuth, useInboxCount } from "@spool/client/react";
import { BellIcon } from "../icons";
import { goToInbox, INBOX } from "../route";
import { followLink } from "../ui/followLink";

export function InboxBell({ here }: { here: boolean }) {
  const auth = useGuestAuth();
  const count = useInboxCount(auth.status === "signed_in" ? undefined : "skip");
  if (auth.status !== "signed_in") return null;
  const waiting = count?.pending ?? 0;
  const unread = (count?.unread ?? 0) > 0;
  const label = waiting === 0 ? "Inbox" : `Inbox, ${waiting} waiting${unread ? ", new" : ""}`;
  return (
    <a
      href={INBOX}
      aria-label={label}
      aria-current={here ? "page" : undefined}
      title={label}
      onClick={followLink(goToInbox)}
      className={`relative inline-flex size-8 shrink-0 items-center justify-center rounded-lg transition-colors hover:bg-hover hover:text-ink ${
        here ? "bg-hover text-ink" : "text-soft"
      }`}
    >
      <BellIcon size={19} />
      {waiting > 0 && (
        <span
          aria-hidden="true"
          className={`absolute -end-0.5 -top-0.5 inline-flex h-4 min-w-4 items-center justify-center rounded-full px-1 text-[0.625rem] leading-none font-semibold tabular-nums ring-2 ring-page ${
            unread ? "bg-accent text-on-accent" : "bg-line-strong text-ink"
          }`}
        >
          {waiting > 99 ? "99+" : waiting}
        </span>
      )}
    </a>
  );
}
