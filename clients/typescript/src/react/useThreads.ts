// The caller's threads, page by page, and what can be done to one of them.

import { useMutation, usePaginatedQuery } from "convex/react";
import { useCallback, useMemo } from "react";
import { api } from "../api.generated";
import type { Thread } from "../documents";
import { threadsPage } from "../paged";

const FIRST_PAGE = 40;
const NEXT_PAGE = 40;

export interface Threads {
  /** `undefined` while the first page is loading or when skipped; pinned first, then by last activity. */
  threads: readonly Thread[] | undefined;
  more: "none" | "available" | "loading";
  loadMore: () => void;
}

export function useThreads(skip?: "skip"): Threads {
  const page = usePaginatedQuery(threadsPage, skip === "skip" ? "skip" : { pinnedFirst: true }, {
    initialNumItems: FIRST_PAGE,
  });
  const { loadMore: load, status, results } = page;
  const loadMore = useCallback(() => load(NEXT_PAGE), [load]);
  return useMemo(
    () => ({
      threads: status === "LoadingFirstPage" ? undefined : results,
      more: status === "CanLoadMore" ? "available" : status === "LoadingMore" ? "loading" : "none",
      loadMore,
    }),
    [status, results, loadMore],
  );
}

export interface ThreadActions {
  rename: (threadId: string, title: string) => Promise<void>;
  pin: (threadId: string, pinned: boolean) => Promise<void>;
  remove: (threadId: string) => Promise<void>;
}

export function useThreadActions(): ThreadActions {
  const update = useMutation(api.threads.update);
  const remove = useMutation(api.threads.remove);
  return useMemo(
    () => ({
      rename: async (threadId, title) => void (await update({ threadId, title })),
      pin: async (threadId, pinned) => void (await update({ threadId, pinned })),
      remove: async (threadId) => void (await remove({ threadId })),
    }),
    [update, remove],
  );
}
