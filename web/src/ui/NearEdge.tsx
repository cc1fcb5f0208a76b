// A mark at the edge of a scrolling list: asks for more when it comes near, and is a button for those who do
// not scroll. The list is the nearest ancestor with `data-scroll`.

import { useEffect, useRef } from "react";

interface NearEdgeProps {
  label: string;
  loadingLabel: string;
  loading: boolean;
  /** How near counts, in pixels. */
  within: number;
  onReach: () => void;
}

/** A list may open at one end and jump to the other: only after that does being near mean anything. */
const SETTLED_MS = 400;

export function NearEdge({ label, loadingLabel, loading, within, onReach }: NearEdgeProps) {
  const mark = useRef<HTMLDivElement>(null);
  const born = useRef(Date.now());
  useEffect(() => {
    const element = mark.current;
    if (element === null || loading) return;
    const watcher = new IntersectionObserver(([entry]) => entry?.isIntersecting === true && onReach(), {
      root: element.closest("[data-scroll]"),
      rootMargin: `${within}px 0px`,
    });
    const timer = setTimeout(() => watcher.observe(element), Math.max(0, born.current + SETTLED_MS - Date.now()));
    return () => {
      clearTimeout(timer);
      watcher.disconnect();
    };
  }, [loading, within, onReach]);
  return (
    <div ref={mark} className="flex h-12 items-center justify-center">
      <button
        type="button"
        disabled={loading}
        onClick={onReach}
        className="rounded-md px-2 py-1 text-xs text-faint transition-colors hover:text-ink"
      >
        {loading ? loadingLabel : label}
      </button>
    </div>
  );
}
