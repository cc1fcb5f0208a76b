// Sorts threads under headings: pinned ones first, then by the day of their last activity. Pure.

import type { Thread } from "@spool/client";
import { periodOf } from "../time";

export interface ThreadGroup {
  heading: string;
  threads: Thread[];
}

export function groupThreads(threads: readonly Thread[], now: number): ThreadGroup[] {
  const groups: ThreadGroup[] = [];
  const put = (heading: string, thread: Thread) => {
    const last = groups.find((group) => group.heading === heading);
    if (last === undefined) groups.push({ heading, threads: [thread] });
    else last.threads.push(thread);
  };
  for (const thread of threads) if (thread.pinned) put("Pinned", thread);
  for (const thread of threads) if (!thread.pinned) put(periodOf(thread.lastActivityAt, now), thread);
  return groups;
}

/** A thread has a title before it has a name of its own. */
export function titleOf(thread: Thread): string {
  const title = thread.title.trim();
  return title === "" ? "Untitled" : title;
}
