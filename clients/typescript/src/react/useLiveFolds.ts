// The folds of some running generations, live. The result changes at most once per frame, and keeps its
// identity while no fold changed.

import type { ConvexReactClient } from "convex/react";
import { useCallback, useRef, useSyncExternalStore } from "react";
import type { Fold } from "../fold";
import { liveGeneration, type LiveGeneration } from "../live";
import { useSpool } from "./context";

type Follow = (client: ConvexReactClient, generationId: string) => LiveGeneration;

/** `follow` says how a generation is read, and must stay the same function; absent, as its owner. */
export function useLiveFolds(generationIds: readonly string[], follow: Follow = liveGeneration): ReadonlyMap<string, Fold> {
  const { client } = useSpool();
  const key = generationIds.join(" ");
  const last = useRef<ReadonlyMap<string, Fold>>(NONE);
  const subscribe = useCallback(
    (listener: () => void) => {
      const offs = split(key).map((id) => follow(client, id).subscribe(listener));
      return () => offs.forEach((off) => off());
    },
    [client, key, follow],
  );
  const snapshot = () => {
    const ids = split(key);
    const folds = ids.map((id) => follow(client, id).snapshot);
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
