// Which agent and which role the next message asks for: remembered per thread, in this browser.

import { useCallback, useSyncExternalStore } from "react";

export interface Choice {
  agent?: string;
  role?: string;
}

const KEY = "spool.choices";
/** The threads that were chosen for last; a conversation that is older starts from the standard again. */
const KEPT = 100;
const NEW = "new";

const listeners = new Set<() => void>();
let choices: ReadonlyMap<string, Choice> = read();

/** `null` is the thread that is yet to be made. */
export function useChoice(threadId: string | null): [Choice, (choice: Choice) => void] {
  const choice = useSyncExternalStore(subscribe, () => choices.get(threadId ?? NEW) ?? NONE);
  const choose = useCallback((next: Choice) => put(threadId ?? NEW, next), [threadId]);
  return [choice, choose];
}

/** The new thread has a name now; the next new one starts from the standard. */
export function adoptChoice(threadId: string): void {
  const choice = choices.get(NEW);
  if (choice === undefined) return;
  put(NEW, NONE);
  put(threadId, choice);
}

function put(key: string, choice: Choice): void {
  choices = remember(choices, key, choice);
  try {
    localStorage.setItem(KEY, JSON.stringify([...choices]));
  } catch {
    // The choice lasts as long as the page.
  }
  for (const listener of [...listeners]) listener();
}

/** The newest last, and only so many. */
export function remember(all: ReadonlyMap<string, Choice>, key: string, choice: Choice): Map<string, Choice> {
  const next = new Map([...all].filter(([other]) => other !== key).slice(-(KEPT - 1)));
  if (choice.agent !== undefined || choice.role !== undefined) next.set(key, choice);
  return next;
}

const NONE: Choice = {};

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function read(): Map<string, Choice> {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return new Map(Array.isArray(value) ? value.filter(isEntry) : []);
  } catch {
    return new Map();
  }
}

function isEntry(value: unknown): value is [string, Choice] {
  if (!Array.isArray(value) || typeof value[0] !== "string") return false;
  const choice: unknown = value[1];
  return typeof choice === "object" && choice !== null && Object.values(choice).every((name) => typeof name === "string");
}
