// What the panel beside a conversation shows, and the texts that are being written in it. Both outlive the panel:
// closing it loses nothing.

import { useSyncExternalStore } from "react";

/** A text that is being written, and the version that its writer saw. */
export interface Draft {
  text: string;
  base: number;
}

export interface PanelView {
  /** Of which conversation; another one has another panel. */
  threadId: string;
  /** `null` is the list of all there is. */
  artifactId: string | null;
}

let view: PanelView | null = null;
/** What had the focus before. */
let opener: Element | null = null;
let drafts: ReadonlyMap<string, Draft> = new Map();
const listeners = new Set<() => void>();

interface Newest {
  content: string;
  current: number;
}

/** Opens it, with `edit` in the middle of a change to that version unless one is under way. */
export function openPanel(threadId: string, artifactId: string | null = null, { edit }: { edit?: Newest } = {}): void {
  if (view === null) opener = document.activeElement;
  view = { threadId, artifactId };
  if (artifactId !== null && edit !== undefined && !drafts.has(artifactId)) {
    drafts = new Map(drafts).set(artifactId, { text: edit.content, base: edit.current });
  }
  tell();
}

export function closePanel(): void {
  if (view === null) return;
  view = null;
  tell();
  const back = opener;
  opener = null;
  // Once it is gone: what has the focus in it takes the focus along.
  if (back instanceof HTMLElement) requestAnimationFrame(() => back.isConnected && back.focus());
}

/** What it shows beside this conversation; with "any", beside what belongs to none. */
export function usePanel(threadId: string | null | "any"): PanelView | null {
  const shown = useSyncExternalStore(subscribe, () => view);
  return threadId === "any" || shown?.threadId === threadId ? shown : null;
}

export function useDraft(artifactId: string): [Draft | null, (draft: Draft | null) => void] {
  const draft = useSyncExternalStore(subscribe, () => drafts.get(artifactId) ?? null);
  return [draft, (next) => putDraft(artifactId, next)];
}

function putDraft(artifactId: string, draft: Draft | null): void {
  const next = new Map(drafts);
  if (draft === null) next.delete(artifactId);
  else next.set(artifactId, draft);
  drafts = next;
  tell();
}

function tell(): void {
  for (const listener of [...listeners]) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
