// What waits for a decision of the caller, across threads, and what was decided before.

import { useMutation, usePaginatedQuery, useQuery } from "convex/react";
import { useCallback } from "react";
import { api, type ApprovalView } from "../api.generated";
import { approvalsPage } from "../paged";
import { listing, type Listing } from "./useArtifacts";

export interface InboxCount {
  /** Counted to 100: then it is that or more. */
  pending: number;
  /** What of that was asked after the inbox was looked at last. */
  unread: number;
  /** Of threads of others, for the caller's vote. */
  votes: readonly ApprovalView[];
  /** Up to when everything was seen, in milliseconds since the Unix epoch. */
  seenAt: number;
}

/** The caller's own: the pending first, then the newest. */
export function useInbox(skip?: "skip"): Listing<ApprovalView> {
  return listing(usePaginatedQuery(approvalsPage, skip === "skip" ? "skip" : {}, { initialNumItems: 50 }));
}

/** How much waits; `undefined` while loading or skipped. */
export function useInboxCount(skip?: "skip"): InboxCount | undefined {
  const found = useQuery(api.approvals.list, skip === "skip" ? "skip" : COUNT_ONLY);
  return found && { pending: found.pendingCount, unread: found.unreadCount, votes: found.awaitingMyVote, seenAt: found.seenAt };
}

const COUNT_ONLY = { paginationOpts: { numItems: 0, cursor: null } };

/** Notes that everything up to a moment was seen, on this device for all of them. */
export function useMarkSeen(): (upTo: number) => Promise<void> {
  const mark = useMutation(api.approvals.markSeen);
  return useCallback(async (upTo) => void (await mark({ upTo })), [mark]);
}

/** Those of one thread, the pending first. */
export function useThreadApprovals(threadId: string | "skip"): readonly ApprovalView[] | undefined {
  return useQuery(api.approvals.listByThread, threadId === "skip" ? "skip" : { threadId, paginationOpts: { numItems: 50, cursor: null } })?.page;
}
