// The documents of a thread, newest first, and the history of one of them, page by page.

import { usePaginatedQuery } from "convex/react";
import type { ArtifactSummary, VersionView } from "../api.generated";
import { artifactsPage, versionsPage } from "../paged";

const PAGE = 50;

export interface Listing<Item> {
  /** `undefined` while the first page is loading or when skipped. */
  items: readonly Item[] | undefined;
  /** Asks for the next page; `null` if there is none, or it is on its way. */
  more: (() => void) | null;
}

export function useArtifacts(threadId: string | "skip"): Listing<ArtifactSummary> {
  const page = usePaginatedQuery(artifactsPage, threadId === "skip" ? "skip" : { threadId }, { initialNumItems: PAGE });
  return listing(page);
}

export function useVersions(artifactId: string | "skip"): Listing<VersionView> {
  const page = usePaginatedQuery(versionsPage, artifactId === "skip" ? "skip" : { artifactId }, { initialNumItems: PAGE });
  return listing(page);
}

interface Page<Item> {
  results: Item[];
  status: string;
  loadMore: (count: number) => void;
}

export function listing<Item>({ results, status, loadMore }: Page<Item>): Listing<Item> {
  return {
    items: status === "LoadingFirstPage" ? undefined : results,
    more: status === "CanLoadMore" ? () => loadMore(PAGE) : null,
  };
}
