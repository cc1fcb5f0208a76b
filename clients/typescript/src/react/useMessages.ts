// The messages of a thread, oldest first: stored pages, the live text of running answers, and what is on
// its way out, merged into one list whose content only grows.

import { usePaginatedQuery } from "convex/react";
import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { Message } from "../documents";
import { liveGeneration as liveGenerationOf, overlay, type LiveMessage, type Unsent } from "../overlay";
import { messagesPage } from "../paged";
import { useSpool } from "./context";
import { useLiveFolds } from "./useLiveFolds";
import { useThread } from "./useThread";

const FIRST_PAGE = 30;
const NEXT_PAGE = 40;
/** How long a delivered message may wait for its row to show up before it is dropped. */
const GRACE_MS = 2_000;

export interface Messages {
  /** `undefined` while loading, `null` if the thread is missing, `[]` if it is empty. */
  messages: readonly LiveMessage[] | undefined | null;
  /** Earlier messages than those in `messages`. */
  earlier: "none" | "available" | "loading";
  loadEarlier: () => void;
}

/** `null` shows the messages whose thread is yet to be made; "skip" asks for nothing. */
export function useMessages(threadId: string | null | "skip"): Messages {
  const thread = useThread(threadId ?? "skip");
  const wanted = threadId !== null && threadId !== "skip" && thread !== undefined && thread !== null;
  const { results, status, loadMore } = usePaginatedQuery(
    messagesPage,
    wanted ? { threadId, order: "desc" } : "skip",
    { initialNumItems: FIRST_PAGE },
  );
  const loaded = wanted && status !== "LoadingFirstPage";
  const rows = useMemo(() => (loaded ? [...results].reverse() : NO_ROWS), [loaded, results]);
  const folds = useLiveFolds(useMemo(() => running(rows), [rows]));
  const unsent = useUnsent(threadId, rows);

  const last = useRef<{ threadId: string | null; views: readonly LiveMessage[] }>({ threadId, views: [] });
  const views = useMemo(() => {
    const { threadId: lastThread, views: lastViews } = last.current;
    // A thread that was just made keeps the views of the draft it came from.
    const previous = lastThread === threadId || lastThread === null ? lastViews : [];
    return overlay({ rows, folds, unsent, previous });
  }, [threadId, rows, folds, unsent]);
  useEffect(() => {
    last.current = { threadId, views };
  }, [threadId, views]);

  const loadEarlier = useCallback(() => loadMore(NEXT_PAGE), [loadMore]);
  const ready = threadId === null || loaded || views.length > 0;
  return {
    messages: thread === null ? null : ready ? views : undefined,
    earlier: !loaded ? "none" : status === "CanLoadMore" ? "available" : status === "LoadingMore" ? "loading" : "none",
    loadEarlier,
  };
}

function useUnsent(threadId: string | null, rows: readonly Message[]): readonly Unsent[] {
  const { outbox } = useSpool();
  const all = useSyncExternalStore(outbox.subscribe, () => outbox.snapshot);
  const unsent = useMemo(() => all.filter((entry) => entry.threadId === threadId), [all, threadId]);
  useEffect(() => {
    const shown = new Set<string>();
    for (const row of rows) if (row.role === "user" && row.requestId) shown.add(row.requestId);
    outbox.forget(shown);
    const late = unsent.filter((entry) => entry.state === "sent" && !shown.has(entry.requestId));
    if (late.length === 0 || rows.length === 0) return;
    const timer = setTimeout(() => outbox.forget(new Set(late.map((entry) => entry.requestId))), GRACE_MS);
    return () => clearTimeout(timer);
  }, [outbox, rows, unsent]);
  return unsent;
}

function running(rows: readonly Message[]): readonly string[] {
  const ids: string[] = [];
  for (const row of rows) {
    const generation = liveGenerationOf(row);
    if (generation !== null) ids.push(generation);
  }
  return ids;
}

const NO_ROWS: readonly Message[] = [];
