// One document of a live query: `undefined` while loading or skipped, `null` if it is missing or someone else's.

import { useQueries, type RequestForQueries } from "convex/react";
import type { FunctionArgs, FunctionReference, FunctionReturnType } from "convex/server";
import type { Value } from "convex/values";
import { useMemo } from "react";
import { saysMissing } from "../errors";

export function useFound<Query extends FunctionReference<"query">>(
  query: Query,
  args: FunctionArgs<Query> | "skip",
): FunctionReturnType<Query> | null | undefined {
  // By their text: arguments are written anew at every render, and a new object would be a new subscription.
  const key = args === "skip" ? null : JSON.stringify(args);
  const queries = useMemo((): RequestForQueries => {
    if (key === null) return {};
    return { found: { query, args: JSON.parse(key) as Record<string, Value> } };
  }, [query, key]);
  const result: FunctionReturnType<Query> | Error | undefined = useQueries(queries).found;
  if (!(result instanceof Error)) return result;
  if (saysMissing(result)) return null;
  throw result;
}
