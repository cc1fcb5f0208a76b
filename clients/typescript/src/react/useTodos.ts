// What the agent of a thread set out to do: `undefined` while loading or skipped, `null` if the thread is missing.

import { api, type TodosView } from "../api.generated";
import { useFound } from "./useFound";

export function useTodos(threadId: string | "skip"): TodosView | null | undefined {
  return useFound(api.todos.get, threadId === "skip" ? "skip" : { threadId });
}
