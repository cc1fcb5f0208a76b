// Messages that this client made and the server has not shown back yet: in order, persistent, each with the
// request id under which the server takes it once. Delivery is one at a time per thread.
//
// Survives a reload: one tab (the one that gets the lock) takes over what the last page left behind.

import type { Failure } from "./documents";
import { readFailure } from "./errors";
import type { FilePart } from "./files";
import type { SendOptions, Unsent } from "./overlay";

/** What delivery needs of the server; a seam for tests. */
export interface Courier {
  /** Makes the thread that has this name, or finds it if it was made before. */
  createThread(externalId: string): Promise<string>;
  send(entry: { threadId: string; text: string; requestId: string; files?: readonly FilePart[]; options?: SendOptions }): Promise<void>;
  /** Resolves when the thread has no running generation. */
  idle(threadId: string): Promise<void>;
}

export interface OutboxStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Where the messages of a guest wait; those of a person in a place of their own. */
export const OUTBOX_KEY = "spool.outbox";

export class Outbox {
  private entries: readonly Unsent[] = [];
  private listeners = new Set<() => void>();
  private delivering = new Set<string>();

  constructor(
    private readonly courier: Courier,
    private readonly storage: OutboxStorage | null,
    private readonly key: string = OUTBOX_KEY,
  ) {}

  get snapshot(): readonly Unsent[] {
    return this.entries;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Takes over what an earlier page left in storage, and delivers it. */
  restore(): void {
    const left = this.stored().filter((entry) => this.entries.every((own) => own.requestId !== entry.requestId));
    if (left.length === 0) return;
    this.change([...left, ...this.entries]);
    for (const entry of left) if (entry.state === "sending" && entry.threadId !== null) void this.deliver(entry.threadId);
  }

  /** Adds a message; `onThread` hears the thread's id if one had to be made. */
  add(threadId: string | null, text: string, onThread?: (threadId: string) => void, files?: readonly FilePart[], options?: SendOptions): string {
    const entry: Unsent = { requestId: crypto.randomUUID(), threadId, text, files, options, createdAt: Date.now(), state: "sending" };
    this.change([...this.entries, entry]);
    this.dispatch(entry, onThread);
    return entry.requestId;
  }

  /** Tries a failed message again, under the same request id. */
  retry(requestId: string, onThread?: (threadId: string) => void): void {
    const entry = this.entries.find((candidate) => candidate.requestId === requestId);
    if (entry?.state !== "failed") return;
    this.patch(requestId, { state: "sending", error: undefined });
    this.dispatch(entry, onThread);
  }

  /** Drops messages that are shown from the database by now, or that the user gave up. */
  forget(requestIds: ReadonlySet<string>): void {
    const left = this.entries.filter((entry) => !requestIds.has(entry.requestId));
    if (left.length !== this.entries.length) this.change(left);
  }

  private dispatch(entry: Unsent, onThread?: (threadId: string) => void): void {
    if (entry.threadId === null) void this.open(entry.requestId, onThread);
    else void this.deliver(entry.threadId);
  }

  private async open(requestId: string, onThread?: (threadId: string) => void): Promise<void> {
    try {
      const threadId = await this.courier.createThread(requestId);
      this.patch(requestId, { threadId });
      onThread?.(threadId);
      await this.deliver(threadId);
    } catch (error) {
      this.patch(requestId, { state: "failed", error: readFailure(error) });
    }
  }

  private async deliver(threadId: string): Promise<void> {
    if (this.delivering.has(threadId)) return;
    this.delivering.add(threadId);
    try {
      for (;;) {
        const next = this.entries.find((entry) => entry.threadId === threadId && entry.state === "sending");
        if (next === undefined) return;
        await this.deliverOne(threadId, next);
      }
    } finally {
      this.delivering.delete(threadId);
    }
  }

  private async deliverOne(threadId: string, { requestId, text, files, options }: Unsent): Promise<void> {
    try {
      await this.courier.send({ threadId, text, requestId, files, options });
      this.patch(requestId, { state: "sent" });
    } catch (error) {
      const failure: Failure = readFailure(error);
      if (failure.code === "thread_busy") await this.courier.idle(threadId);
      else this.patch(requestId, { state: "failed", error: failure });
    }
  }

  private patch(requestId: string, fields: Partial<Unsent>): void {
    this.change(this.entries.map((entry) => (entry.requestId === requestId ? { ...entry, ...fields } : entry)));
  }

  private change(entries: readonly Unsent[]): void {
    this.entries = entries;
    this.store();
    for (const listener of [...this.listeners]) listener();
  }

  private store(): void {
    const open = this.entries.filter((entry) => entry.state !== "sent");
    try {
      if (open.length === 0) this.storage?.removeItem(this.key);
      else this.storage?.setItem(this.key, JSON.stringify(open));
    } catch {
      // Storage is full or forbidden: the messages are still in memory.
    }
  }

  private stored(): Unsent[] {
    try {
      const value: unknown = JSON.parse(this.storage?.getItem(this.key) ?? "[]");
      if (!Array.isArray(value)) return [];
      // A message whose thread was never made cannot be sent without asking: a thread would appear unasked.
      return value.filter(isUnsent).map((entry) => (entry.threadId === null ? { ...entry, state: "failed" } : entry));
    } catch {
      return [];
    }
  }
}

function isUnsent(value: unknown): value is Unsent {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Partial<Unsent>;
  return typeof entry.requestId === "string" && typeof entry.text === "string" && typeof entry.createdAt === "number";
}
