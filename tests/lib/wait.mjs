// Bounded waiting: every wait of these tests ends, and says what it waited for. Never a fixed sleep as
// synchronisation: `until` looks at a condition, `within` bounds a promise.

import { setTimeout as sleep } from "node:timers/promises";

/** The longest any single wait takes unless it says otherwise. Generous: two cores, a debug build. */
export const PATIENCE_MS = 15_000;

/** Resolves with the first truthy result of `condition`; its exceptions count as "not yet". */
export async function until(condition, { timeout = PATIENCE_MS, every = 15, what = condition.toString() } = {}) {
  const deadline = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms for ${what}`, { cause: last });
    await sleep(every);
  }
}

/** `promise`, or an error naming `what` after `timeout` milliseconds. */
export async function within(promise, what, timeout = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeout} ms for ${what}`)), timeout);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise with its handles; `open()` is the word for gates. */
export function gate() {
  let open, fail;
  const opened = new Promise((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { opened, open, fail };
}

/** Holds for `ms` that `condition` stays false: only for "this must not happen". */
export async function never(condition, ms, what) {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (await condition()) throw new Error(`this must not happen: ${what}`);
    await sleep(15);
  }
}

/** A small seeded generator, so that a failing history can be run again: mulberry32. */
export function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return { next, below, pick: (list) => list[below(list.length)] };
}
