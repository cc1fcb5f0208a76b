// The drafts of this browser, and which one is open.

import { useSyncExternalStore } from "react";
import { Drafts, STORAGE_KEY, type Draft } from "./drafts";

export const drafts = new Drafts(window.localStorage);

let open: string | null = null;
const listeners = new Set<() => void>();

window.addEventListener("storage", (event) => {
  if (event.key === STORAGE_KEY) drafts.reload();
});

export function useDrafts(): readonly Draft[] {
  return useSyncExternalStore(drafts.subscribe, () => drafts.snapshot);
}

/** The id of the draft on the screen; `null` is a new one. */
export function useOpenDraft(): string | null {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => open,
  );
}

export function openDraft(id: string | null): void {
  open = id;
  for (const listener of [...listeners]) listener();
}
