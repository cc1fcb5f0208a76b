// Drafts of a visitor without an account, kept in this browser and nowhere else. No React, no network.
//
// Each draft is a conversation to be: what its writer wants to say, in order. When somebody signs in, the
// drafts are handed over to the account under names that make a second delivery harmless.

export interface DraftMessage {
  id: string;
  text: string;
  at: number;
}

export interface Draft {
  id: string;
  messages: readonly DraftMessage[];
}

export interface DraftStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** What handing over needs of the server; a seam for tests. */
export interface Account {
  /** Makes the thread of this name, or finds it. */
  createThread(externalId: string): Promise<string>;
  /** Stores a message once, however often it is sent. No answer is made. */
  keep(message: { threadId: string; text: string; requestId: string }): Promise<void>;
}

export const STORAGE_KEY = "spool.local";

export class Drafts {
  private drafts: readonly Draft[];
  private listeners = new Set<() => void>();

  constructor(private readonly storage: DraftStorage | null) {
    this.drafts = read(storage);
  }

  /** The newest first. */
  get snapshot(): readonly Draft[] {
    return this.drafts;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Adds to a draft, or begins one for `null`. Returns its id. */
  write(id: string | null, text: string): string {
    // Another tab may have written meanwhile.
    if (this.storage !== null) this.drafts = read(this.storage);
    const message = { id: crypto.randomUUID(), text, at: Date.now() };
    const known = this.drafts.find((draft) => draft.id === id);
    const draft = known ?? { id: crypto.randomUUID(), messages: [] };
    this.change([{ ...draft, messages: [...draft.messages, message] }, ...this.drafts.filter((other) => other !== known)]);
    return draft.id;
  }

  remove(id: string): void {
    this.change(this.drafts.filter((draft) => draft.id !== id));
  }

  /** Another tab changed the storage. */
  reload(): void {
    this.drafts = read(this.storage);
    for (const listener of [...this.listeners]) listener();
  }

  /** Gives every draft to an account, and forgets each once all of it has arrived. */
  async handOver(account: Account): Promise<void> {
    for (const draft of [...this.drafts].reverse()) {
      const threadId = await account.createThread(`draft-${draft.id}`);
      for (const { id, text } of draft.messages) await account.keep({ threadId, text, requestId: id });
      this.remove(draft.id);
    }
  }

  private change(drafts: readonly Draft[]): void {
    this.drafts = drafts;
    try {
      this.storage?.setItem(STORAGE_KEY, JSON.stringify(drafts));
    } catch {
      // A full storage: the drafts last as long as the page.
    }
    for (const listener of [...this.listeners]) listener();
  }
}

/** A draft has no title of its own: it is called by its beginning. */
export function draftTitle(draft: Draft): string {
  return draft.messages[0]?.text.trim().split("\n", 1)[0]?.slice(0, 80) ?? "";
}

function read(storage: DraftStorage | null): readonly Draft[] {
  try {
    const value: unknown = JSON.parse(storage?.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(value) ? value.filter(isDraft) : [];
  } catch {
    return [];
  }
}

function isDraft(value: unknown): value is Draft {
  const draft = value as Partial<Draft> | null;
  return typeof draft?.id === "string" && Array.isArray(draft.messages) && draft.messages.every((one) => typeof one?.id === "string" && typeof one.text === "string");
}
