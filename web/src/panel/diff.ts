// What changed between two texts, line by line: the shortest way from one to the other (E. Myers, 1986). Pure.

export interface Line {
  kind: "same" | "gone" | "new";
  text: string;
  /** The number of the line in its text, from 1: in the new one, of a line that is gone in the old one. */
  number: number;
}

/** Lines that are shown, or how many are not because nothing changed around them. */
export type Piece = { lines: readonly Line[] } | { skipped: number };

/** Texts that differ more than this are shown as one put in the place of the other: finding out costs its square. */
const MOST_STEPS = 1_500;
/** Unchanged lines around a change. */
const AROUND = 3;

export function diff(before: string, after: string): Line[] {
  const old = before.split("\n");
  const now = after.split("\n");
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  const changed = shortest(old.slice(head, old.length - tail), now.slice(head, now.length - tail));
  const lines: Line[] = now.slice(0, head).map((text, at) => ({ kind: "same", text, number: at + 1 }));
  for (const line of changed) lines.push({ ...line, number: line.number + head });
  for (let at = now.length - tail; at < now.length; at += 1) lines.push({ kind: "same", text: now[at] ?? "", number: at + 1 });
  return lines;
}

function shortest(old: readonly string[], now: readonly string[]): Line[] {
  const path = trace(old, now);
  if (path === null) {
    return [
      ...old.map((text, at): Line => ({ kind: "gone", text, number: at + 1 })),
      ...now.map((text, at): Line => ({ kind: "new", text, number: at + 1 })),
    ];
  }
  const lines: Line[] = [];
  let x = old.length;
  let y = now.length;
  // Back from the end: at each step the furthest point that one step less had reached.
  for (let step = path.length - 1; step >= 0 && (x > 0 || y > 0); step -= 1) {
    const reached = path[step] ?? new Map<number, number>();
    const diagonal = x - y;
    const down = step > 0 && (diagonal === -step || (diagonal !== step && (reached.get(diagonal - 1) ?? -1) < (reached.get(diagonal + 1) ?? -1)));
    const from = down ? diagonal + 1 : diagonal - 1;
    const fromX = step === 0 ? 0 : (reached.get(from) ?? 0);
    const fromY = step === 0 ? 0 : fromX - from;
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      lines.push({ kind: "same", text: now[y] ?? "", number: y + 1 });
    }
    if (step === 0) break;
    if (down) {
      y -= 1;
      lines.push({ kind: "new", text: now[y] ?? "", number: y + 1 });
    } else {
      x -= 1;
      lines.push({ kind: "gone", text: old[x] ?? "", number: x + 1 });
    }
  }
  return lines.reverse();
}

// For every number of steps the furthest point on each diagonal before it; `null` if it takes too many.
function trace(old: readonly string[], now: readonly string[]): Map<number, number>[] | null {
  const reached = new Map<number, number>([[1, 0]]);
  const path: Map<number, number>[] = [];
  for (let step = 0; step <= Math.min(old.length + now.length, MOST_STEPS); step += 1) {
    path.push(new Map(reached));
    for (let diagonal = -step; diagonal <= step; diagonal += 2) {
      const down = diagonal === -step || (diagonal !== step && (reached.get(diagonal - 1) ?? -1) < (reached.get(diagonal + 1) ?? -1));
      let x = down ? (reached.get(diagonal + 1) ?? 0) : (reached.get(diagonal - 1) ?? 0) + 1;
      let y = x - diagonal;
      while (x < old.length && y < now.length && old[x] === now[y]) {
        x += 1;
        y += 1;
      }
      reached.set(diagonal, x);
      if (x >= old.length && y >= now.length) return path;
    }
  }
  return null;
}

/** Leaves out what did not change, but for a little around each change. */
export function pieces(lines: readonly Line[], around = AROUND): Piece[] {
  const shown = new Set<number>();
  lines.forEach(({ kind }, at) => {
    if (kind === "same") return;
    for (let near = Math.max(0, at - around); near <= Math.min(lines.length - 1, at + around); near += 1) shown.add(near);
  });
  const found: Piece[] = [];
  for (let at = 0; at < lines.length; ) {
    const start = at;
    const visible = shown.has(at);
    while (at < lines.length && shown.has(at) === visible) at += 1;
    found.push(visible ? { lines: lines.slice(start, at) } : { skipped: at - start });
  }
  return found;
}
