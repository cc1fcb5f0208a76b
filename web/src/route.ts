// Where the UI is: the new chat at `/`, or a thread at `/t/<id>`. Plain history, no router.

import { useSyncExternalStore } from "react";

export interface Route {
  threadId: string | null;
  /** Changes whenever another conversation is shown; a draft that becomes a thread keeps it. */
  pane: number;
}

const listeners = new Set<() => void>();
let route: Route = { threadId: read(), pane: 0 };

function read(): string | null {
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

window.addEventListener("popstate", () => show({ threadId: read(), pane: route.pane + 1 }));

export function hrefOf(threadId: string | null): string {
  return threadId === null ? "/" : `/t/${encodeURIComponent(threadId)}`;
}

/** Shows a thread, or the new chat for `null`. */
export function go(threadId: string | null): void {
  if (threadId === route.threadId) return;
  window.history.pushState(null, "", hrefOf(threadId));
  show({ threadId, pane: route.pane + 1 });
}

/** The draft on the screen became a thread: same conversation, new address. */
export function adopt(threadId: string): void {
  if (route.threadId !== null) return;
  window.history.pushState(null, "", hrefOf(threadId));
  show({ threadId, pane: route.pane });
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
