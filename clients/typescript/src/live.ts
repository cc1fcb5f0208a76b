// Follows the logs of running generations: one follower per generation and client, shared by all who look.
//
// A follower subscribes to `generations:deltas` (or to what a share shows of it) at its cursor, folds what comes, and subscribes again where
// the result ended. It tells its listeners at most once per frame. Without listeners it holds no
// subscription, only its fold: coming back to a thread shows at once what was there and goes on from it.

import type { ConvexReactClient } from "convex/react";
import { api } from "./api.generated";
import type { LogEvent } from "./documents";
import { applyDeltas, EMPTY_FOLD, type Fold } from "./fold";

/** Folds kept for generations that nobody looks at. */
const IDLE_FOLDS = 24;

type Listener = () => void;

/** The log from a cursor on, live. */
export interface LogSource {
  watch(cursor: number): {
    localQueryResult(): { events: readonly LogEvent[]; cursor: number } | undefined;
    onUpdate(callback: () => void): () => void;
  };
  /** Whether events may be missing between cursors: then a page says nothing but at its own cursor. */
  readonly sparse: boolean;
}

export class LiveGeneration {
  private fold: Fold = EMPTY_FOLD;
  private listeners = new Set<Listener>();
  private unwatch: (() => void) | null = null;
  private cancelFrame: (() => void) | null = null;

  constructor(
    private readonly source: LogSource,
    private readonly onIdle: () => void,
  ) {}

  get snapshot(): Fold {
    return this.fold;
  }

  get idle(): boolean {
    return this.listeners.size === 0;
  }

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    if (this.unwatch === null && this.fold.final === null) this.watch();
    return () => {
      if (!this.listeners.delete(listener) || this.listeners.size > 0) return;
      this.unwatch?.();
      this.unwatch = null;
      this.cancelFrame?.();
      this.cancelFrame = null;
      this.onIdle();
    };
  }

  // The new subscription is made before the old one is dropped, so the client never sees none.
  private watch(): void {
    const from = this.fold.cursor;
    const watch = this.source.watch(from);
    const read = () => {
      try {
        const result = watch.localQueryResult();
        if (result !== undefined) this.take(from, result.events, result.cursor);
      } catch {
        // The generation is gone or not the caller's: the message row says so, and has the last word.
      }
    };
    const drop = this.unwatch;
    this.unwatch = watch.onUpdate(read);
    drop?.();
    read();
  }

  private take(from: number, events: readonly LogEvent[], to: number): void {
    if (this.source.sparse && from !== this.fold.cursor) return;
    const next = applyDeltas(this.fold, from, events, to);
    if (next === this.fold) return;
    this.fold = next;
    this.announce();
    if (this.unwatch === null) return;
    if (next.final === null) {
      this.watch();
    } else {
      this.unwatch();
      this.unwatch = null;
    }
  }

  private announce(): void {
    if (this.cancelFrame !== null) return;
    this.cancelFrame = nextFrame(() => {
      this.cancelFrame = null;
      for (const listener of [...this.listeners]) listener();
    });
  }
}

// Hidden pages get no animation frames, but their titles and counts should still move.
function nextFrame(run: () => void): () => void {
  if (typeof requestAnimationFrame === "undefined" || document.hidden) {
    const timer = setTimeout(run, 100);
    return () => clearTimeout(timer);
  }
  const frame = requestAnimationFrame(run);
  return () => cancelAnimationFrame(frame);
}

const registries = new WeakMap<ConvexReactClient, Map<string, LiveGeneration>>();

/** The follower of a generation; made on first use. */
export function liveGeneration(client: ConvexReactClient, generationId: string): LiveGeneration {
  return follower(client, generationId, {
    sparse: false,
    watch: (cursor) => client.watchQuery(api.generations.deltas, { generationId, cursor }),
  });
}

/** The follower that this client has under a name; made with `source` on first use. */
export function follower(client: ConvexReactClient, name: string, source: LogSource): LiveGeneration {
  let registry = registries.get(client);
  if (registry === undefined) {
    registry = new Map();
    registries.set(client, registry);
  }
  const followers = registry;
  let known = followers.get(name);
  if (known === undefined) {
    known = new LiveGeneration(source, () => forgetIdle(followers));
    followers.set(name, known);
  }
  return known;
}

function forgetIdle(followers: Map<string, LiveGeneration>): void {
  const idle = [...followers].filter(([, follower]) => follower.idle);
  for (const [generationId] of idle.slice(0, Math.max(0, idle.length - IDLE_FOLDS))) followers.delete(generationId);
}
