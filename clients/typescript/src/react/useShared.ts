// Reading what somebody shares: its head, its messages with the running answer, a copy of it; and the list
// of what others share with the caller.

import { useQuery, usePaginatedQuery, type ConvexReactClient } from "convex/react";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { api, type SharedMessage, type SharedThread, type SharedWithMe } from "../api.generated";
import { liveGeneration as liveGenerationOf, overlay, type LiveMessage } from "../overlay";
import { sharedPage } from "../paged";
import { followShared, messageOf, type Ticket } from "../shared";
import { useSpool } from "./context";
import type { AddressBook } from "./useFileAddress";
import { useFound } from "./useFound";
import { useLiveFolds } from "./useLiveFolds";

const FIRST_PAGE = 30;
const NEXT_PAGE = 40;

/** `undefined` while loading, `null` if there is nothing to read, or not any more. */
export function useSharedThread(ticket: Ticket | "skip"): SharedThread | null | undefined {
  return useFound(api.shares.view, ticket);
}

export interface SharedMessages {
  /** `undefined` while loading; oldest first. */
  messages: readonly LiveMessage[] | undefined;
  earlier: "none" | "available" | "loading";
  loadEarlier: () => void;
  /** Where the files of these messages are read. */
  files: AddressBook;
}

/** `ticket` must stay the same object. Throws when the share ends: ask for it under `useSharedThread`. */
export function useSharedMessages(ticket: Ticket): SharedMessages {
  const { client, origin } = useSpool();
  const { results, status, loadMore } = usePaginatedQuery(sharedPage, { ...ticket, order: "desc" }, { initialNumItems: FIRST_PAGE });
  const loaded = status !== "LoadingFirstPage";
  const rows = useMemo(() => (loaded ? results.map(messageOf).reverse() : []), [loaded, results]);
  const running = useMemo(() => rows.map(liveGenerationOf).filter((id) => id !== null), [rows]);
  const follow = useCallback((by: ConvexReactClient, id: string) => followShared(by, ticket, id), [ticket]);
  const folds = useLiveFolds(running, follow);

  const last = useRef<readonly LiveMessage[]>([]);
  const views = useMemo(() => overlay({ rows, folds, unsent: [], previous: last.current }), [rows, folds]);
  useEffect(() => {
    last.current = views;
  }, [views]);

  // Which message shows a file: only such files have an address.
  const shown = useRef<readonly SharedMessage[]>([]);
  shown.current = results;
  const files = useMemo<AddressBook>(
    () => ({
      address: async (uploadId) => {
        const seq = shown.current.find((row) => row.parts.some((part) => part.type === "file" && part.uploadId === uploadId))?.seq;
        if (uploadId === "" || seq === undefined) throw new Error("The share does not include this file.");
        const signed = await client.mutation(api.shares.fileUrl, { ...ticket, seq, uploadId });
        return origin + signed.url;
      },
    }),
    [client, origin, ticket],
  );
  return {
    messages: loaded ? views : undefined,
    earlier: status === "CanLoadMore" ? "available" : status === "LoadingMore" ? "loading" : "none",
    loadEarlier: useCallback(() => loadMore(NEXT_PAGE), [loadMore]),
    files,
  };
}

/** Copies what is shared into a thread of the caller, who becomes a guest if nobody; resolves with its id. */
export function useCopyShared(ticket: Ticket): () => Promise<string> {
  const { client, session } = useSpool();
  return useCallback(async () => {
    await session.ensure();
    return (await client.mutation(api.shares.copy, ticket)).threadId;
  }, [client, session, ticket]);
}

/** What others share with the caller, newest first; `undefined` while loading or when skipped. */
export function useSharedWithMe(skip?: "skip"): readonly SharedWithMe[] | undefined {
  return useQuery(api.shares.withMe, skip === "skip" ? "skip" : {});
}
