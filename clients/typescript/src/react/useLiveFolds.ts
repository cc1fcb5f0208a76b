// The folds of some running generations, live. The result changes at most once per frame, and keeps its
// identity while no fold changed.

import { useCallback, useRef, useSyncExternalStore } from "react";
import type { Fold } from "../fold";
import { liveGeneration } from "../live";
import { useSpool } from "./context";

export function useLiveFolds(generationIds: readonly string[]): ReadonlyMap<string, Fold> {
  const { client } = useSpool();
  const key = generationIds.join(" ");
  const last = useRef<ReadonlyMap<string, Fold>>(NONE);
  const subscribe = useCallback(
    (listener: () => void) => {
      const offs = split(key).map((id) => liveGeneration(client, id).subscribe(listener));
      return () => offs.forEach((off) => off());
    },
    [client, key],
  );
  const snapshot = () => {
    const ids = split(key);
    const folds = ids.map((id) => liveGeneration(client, id).snapshot);
    const same = last.current.size === ids.length && ids.every((id, at) => last.current.get(id) === folds[at]);
    if (!same) last.current = new Map(ids.map((id, at) => [id, folds[at] as Fold]));
    return last.current;
  };
  return useSyncExternalStore(subscribe, snapshot);
}

function split(key: string): string[] {
  return key === "" ? [] : key.split(" ");
}

const NONE: ReadonlyMap<string, Fold> = new Map();
