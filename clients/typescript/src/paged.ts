// Paginated functions in the form that `usePaginatedQuery` wants of them.
//
// The server's schema lets a client leave the cursor out; the hook's type does not know of that. The hook
// always sends one, so the narrower type is true for every call that it makes.

import type { FunctionReference, PaginationOptions, PaginationResult } from "convex/server";
import { api } from "./api.generated";

type Paged<Args, Item> = FunctionReference<
  "query",
  "public",
  Omit<Args, "paginationOpts"> & { paginationOpts: PaginationOptions },
  PaginationResult<Item>
>;

function paged<Args extends { paginationOpts: unknown }, Item>(
  reference: FunctionReference<"query", "public", Args, { page: Item[] }>,
): Paged<Args, Item> {
  return reference as unknown as Paged<Args, Item>;
}

export const threadsPage = paged(api.threads.page);
export const messagesPage = paged(api.messages.page);
export const sharedPage = paged(api.shares.messages);
export const artifactsPage = paged(api.artifacts.listByThread);
export const versionsPage = paged(api.artifacts.versions);
export const approvalsPage = paged(api.approvals.list);
