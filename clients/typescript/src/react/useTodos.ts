// What the agent of a thread set out to do: `undefined` while loading or skipped, `null` if there is no list.

import { makeFunctionReference } from "convex/server";
import { useFound } from "./useFound";

export interface Todo {
  text: string;
  status: "pending" | "in_progress" | "completed" | "cancelled";
}
export interface TodosView {
  threadId: string;
  version: number;
  todos: Todo[];
  updatedAt: number;
}
const todosGet = makeFunctionReference<"query", { threadId: string }, TodosView | null>("todos:get");

export function useTodos(threadId: string | "skip"): TodosView | null | undefined {
  return useFound(todosGet, threadId === "skip" ? "skip" : { threadId });
}
