// One thread: `undefined` while loading or skipped, `null` if it is missing or someone else's.

import { useQueries } from "convex/react";
import { useMemo } from "react";
import { api } from "../api.generated";
import type { Thread } from "../documents";
import { saysMissing } from "../errors";

export function useThread(threadId: string | "skip"): Thread | null | undefined {
  const queries = useMemo(
    () => (threadId === "skip" ? NOTHING : { thread: { query: api.threads.get, args: { threadId } } }),
    [threadId],
  );
  const result: Thread | null | Error | undefined = useQueries(queries).thread;
  if (!(result instanceof Error)) return result;
  if (saysMissing(result)) return null;
  throw result;
}

const NOTHING = {};
