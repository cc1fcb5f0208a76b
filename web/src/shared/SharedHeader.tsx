// The head of a shared conversation: whose page this is, what it is about, and whether it goes on.

import type { SharedThread } from "@spool/client";
import { useConnectionState } from "@spool/client/react";
import { SpoolMark } from "../icons";
import { ConnectionNotice } from "../status/ConnectionPill";
import { fullTime } from "../time";

export function SharedHeader({ thread }: { thread: SharedThread | null }) {
  const connection = useConnectionState();
  return (
    <header className="flex h-14 shrink-0 items-center gap-3 border-b border-line px-4 sm:px-5">
      <a href="/" aria-label="Spool" title="Spool" className="shrink-0 rounded-md">
        <SpoolMark size={22} />
      </a>
      <h1 dir="auto" className="min-w-0 flex-1 truncate text-[0.9375rem] font-semibold tracking-tight">
        {thread?.title}
      </h1>
      <ConnectionNotice />
      {thread?.mode === "live" && connection === "live" && (
        <span
          title="New messages show up here as they are written"
          className="flex shrink-0 items-center gap-1.5 rounded-full border border-line px-2.5 py-0.5 text-xs text-soft"
        >
          <span className="size-1.5 rounded-full bg-ok motion-breathe" aria-hidden="true" />
          Live
        </span>
      )}
      {thread?.mode === "snapshot" && (
        <span
          title={`As it was on ${fullTime(thread.sharedAt)}`}
          className="shrink-0 rounded-full border border-line px-2.5 py-0.5 text-xs text-soft"
        >
          Snapshot
        </span>
      )}
    </header>
  );
}
