// One thread of the list: open it, rename it in place, pin it, delete it.

import type { Thread } from "@spool/client";
import { useThreadActions } from "@spool/client/react";
import { memo, useRef, useState, type KeyboardEvent } from "react";
import { MoreIcon, PencilIcon, PinIcon, TrashIcon } from "../icons";
import { go, hrefOf } from "../route";
import { fullTime, shortAgo } from "../time";
import { Confirm } from "../ui/Confirm";
import { followLink } from "../ui/followLink";
import { Menu } from "../ui/Menu";
import { titleOf } from "./groups";

interface ThreadRowProps {
  thread: Thread;
  current: boolean;
  now: number;
}

export const ThreadRow = memo(function ThreadRow({ thread, current, now }: ThreadRowProps) {
  const actions = useThreadActions();
  const [mode, setMode] = useState<"reading" | "renaming" | "deleting">("reading");
  const [menuOpen, setMenuOpen] = useState(false);
  // Shown until the server's list has the new title.
  const [wanted, setWanted] = useState<string | null>(null);
  const title = wanted !== null && wanted !== thread.title ? wanted : titleOf(thread);
  const answering = (thread.activeGenerationId ?? null) !== null;

  const rename = async (next: string) => {
    setMode("reading");
    const name = next.trim();
    if (name === "" || name === thread.title) return;
    setWanted(name);
    await actions.rename(thread._id, name).catch(() => {});
    setWanted(null);
  };
  const remove = async () => {
    await actions.remove(thread._id);
    if (current) go(null);
  };

  if (mode === "renaming") {
    return (
      <li>
        <TitleInput title={titleOf(thread)} onDone={(next) => void rename(next)} onCancel={() => setMode("reading")} />
      </li>
    );
  }
  return (
    <li className="group relative" data-thread={thread._id}>
      <a
        href={hrefOf(thread._id)}
        aria-current={current ? "page" : undefined}
        onClick={followLink(() => go(thread._id))}
        onDoubleClick={() => setMode("renaming")}
        className={`flex h-9 items-center gap-2 rounded-lg ps-2.5 pe-2.5 text-sm transition-colors ${
          current ? "bg-hover font-medium text-ink" : "text-ink/85 hover:bg-hover/55 hover:text-ink"
        }`}
      >
        <span dir="auto" className="min-w-0 flex-1 truncate text-start">
          {title}
        </span>
        {answering ? (
          <span role="img" aria-label="answering" title="Answering" className="me-0.5 size-2 shrink-0 rounded-full bg-accent motion-breathe pointer-coarse:me-8" />
        ) : (
          <time
            dateTime={new Date(thread.lastActivityAt).toISOString()}
            title={fullTime(thread.lastActivityAt)}
            className={`shrink-0 text-xs font-normal text-faint tabular-nums group-focus-within:opacity-0 group-hover:opacity-0 pointer-coarse:me-7 pointer-coarse:opacity-100! ${menuOpen ? "opacity-0" : ""}`}
          >
            {shortAgo(thread.lastActivityAt, now)}
          </time>
        )}
      </a>
      <span
        className={`absolute inset-y-0 end-1 flex items-center group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100 ${
          menuOpen ? "" : "opacity-0"
        }`}
      >
        <Menu
          label={`Options for ${title}`}
          icon={<MoreIcon size={16} />}
          buttonClassName="size-7! bg-hover pointer-coarse:bg-transparent"
          onOpenChange={setMenuOpen}
          items={[
            { label: "Rename", icon: <PencilIcon size={16} />, onSelect: () => setMode("renaming") },
            {
              label: thread.pinned ? "Unpin" : "Pin",
              icon: <PinIcon size={16} />,
              onSelect: () => void actions.pin(thread._id, !thread.pinned).catch(() => {}),
            },
            { label: "Delete", icon: <TrashIcon size={16} />, danger: true, onSelect: () => setMode("deleting") },
          ]}
        />
      </span>
      {mode === "deleting" && (
        <Confirm title="Delete this thread?" action="Delete" onConfirm={remove} onClose={() => setMode("reading")}>
          <bdi className="font-medium text-ink">{title}</bdi> and all its messages will be gone, on every device.
        </Confirm>
      )}
    </li>
  );
});

interface TitleInputProps {
  title: string;
  onDone: (title: string) => void;
  onCancel: () => void;
}

function TitleInput({ title, onDone, onCancel }: TitleInputProps) {
  const done = useRef(false);
  const finish = (next: string | null) => {
    if (done.current) return;
    done.current = true;
    if (next === null) onCancel();
    else onDone(next);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key === "Enter" && !event.nativeEvent.isComposing) finish(event.currentTarget.value);
    if (event.key === "Escape") {
      event.stopPropagation();
      finish(null);
    }
  };
  return (
    <input
      autoFocus
      dir="auto"
      aria-label="Thread title"
      defaultValue={title}
      maxLength={200}
      onFocus={(event) => event.currentTarget.select()}
      onKeyDown={onKeyDown}
      onBlur={(event) => finish(event.currentTarget.value)}
      className="h-9 w-full rounded-lg border border-accent bg-raised px-2.25 text-sm outline-none"
    />
  );
}
