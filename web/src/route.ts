// Where the UI is: the new chat at `/`, a thread at `/t/<id>`, or the inbox at `/#/inbox`. Plain history, no router.

import { useSyncExternalStore } from "react";

export interface Route {
  page: "chat" | "inbox";
  /** `null` in the inbox. */
  threadId: string | null;
  /** Changes whenever another conversation is shown; a draft that becomes a thread keeps it. */
  pane: number;
}

const listeners = new Set<() => void>();
let route: Route = { ...read(), pane: 0 };

export const INBOX = "/#/inbox";

function read(): Pick<Route, "page" | "threadId"> {
  if (window.location.hash === "#/inbox") return { page: "inbox", threadId: null };
  return { page: "chat", threadId: threadAt() };
}

function threadAt(): string | null {
  const match = /^\/t\/([^/]+)\/?$/.exec(window.location.pathname);
  try {
    return match?.[1] === undefined ? null : decodeURIComponent(match[1]);
  } catch {
    return null;
  }
}

function show(next: Route): void {
  route = next;
  for (const listener of [...listeners]) listener();
}

window.addEventListener("popstate", () => show({ ...read(), pane: route.pane + 1 }));

export function hrefOf(threadId: string | null): string {
  return threadId === null ? "/" : `/t/${encodeURIComponent(threadId)}`;
}

/** Shows a thread, or the new chat for `null`. */
export function go(threadId: string | null): void {
  if (threadId === route.threadId && route.page === "chat") return;
  window.history.pushState(null, "", hrefOf(threadId));
  show({ page: "chat", threadId, pane: route.pane + 1 });
}

/** Shows what waits for a decision, across threads. */
export function goToInbox(): void {
  if (route.page === "inbox") return;
  window.history.pushState(null, "", INBOX);
  show({ page: "inbox", threadId: null, pane: route.pane + 1 });
}

/** The draft on the screen became a thread: same conversation, new address. */
export function adopt(threadId: string): void {
  if (route.threadId !== null || route.page !== "chat") return;
  window.history.pushState(null, "", hrefOf(threadId));
  show({ page: "chat", threadId, pane: route.pane });
}

export function useRoute(): Route {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => route,
  );
}
