// All there is in a conversation besides its messages: what the agent has to do, and its documents.

import { useArtifacts } from "@spool/client/react";
import { ChevronIcon, FileIcon } from "../icons";
import { sizeOf } from "../size";
import { shortAgo, useNow } from "../time";
import { Button } from "../ui/Button";
import { nameOf, StatusPill } from "../chat/parts/ArtifactName";
import { PanelHead } from "./PanelHead";
import { openPanel } from "./store";
import { TodoCard } from "./TodoCard";

export function Overview({ threadId, headingId }: { threadId: string; headingId: string }) {
  const { items, more } = useArtifacts(threadId);
  const now = useNow(30_000);
  return (
    <>
      <PanelHead headingId={headingId} title="Documents" />
      <div tabIndex={0} role="region" aria-label="Documents of this conversation" data-scroll data-quiet-focus className="min-h-0 flex-1 space-y-6 overflow-y-auto px-5 py-5">
        <TodoCard threadId={threadId} />
        {items === undefined ? (
          <p className="text-sm text-faint motion-late">Loading…</p>
        ) : items.length === 0 ? (
          <div className="text-sm text-faint">
            <div className="stitched mb-3 h-0.5 w-16" aria-hidden="true" />
            <p className="text-pretty">Plans, reports and code that an answer makes are kept here.</p>
          </div>
        ) : (
          <ul className="divide-y divide-line overflow-hidden rounded-xl border border-line bg-raised">
            {items.map((item) => (
              <li key={item._id}>
                <button
                  type="button"
                  onClick={() => openPanel(threadId, item._id)}
                  className="flex w-full items-center gap-3 px-3.5 py-2.5 text-start transition-colors hover:bg-hover focus-visible:-outline-offset-2"
                >
                  <FileIcon size={18} className="shrink-0 text-accent" />
                  <span className="min-w-0 flex-1">
                    <span dir="auto" className="block truncate text-sm font-medium">
                      {item.title}
                    </span>
                    <span className="block truncate text-xs text-faint">
                      {nameOf(item.kind)}, version {item.version}, {sizeOf(item.contentBytes)}
                    </span>
                  </span>
                  <StatusPill status={item.status} />
                  <time dateTime={new Date(item.updatedAt).toISOString()} className="w-8 shrink-0 text-end text-xs text-faint tabular-nums">
                    {shortAgo(item.updatedAt, now)}
                  </time>
                  <ChevronIcon size={14} className="shrink-0 text-faint rtl:rotate-180" />
                </button>
              </li>
            ))}
          </ul>
        )}
        {more !== null && <Button onClick={more}>Earlier documents</Button>}
      </div>
    </>
  );
}
