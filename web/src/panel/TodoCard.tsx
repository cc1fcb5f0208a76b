// What the agent set out to do, and how far it is. Nothing where it keeps no list.

import type { Todo } from "@spool/client";
import { useTodos } from "@spool/client/react";
import { CheckIcon, CloseIcon } from "../icons";
import { Spinner } from "../ui/Spinner";

export function TodoCard({ threadId }: { threadId: string }) {
  const list = useTodos(threadId);
  const todos = list?.todos ?? [];
  if (todos.length === 0) return null;
  const done = todos.filter(({ status }) => status === "completed").length;
  return (
    <section aria-label="To do" className="rounded-xl border border-line bg-sunken px-4 py-3.5">
      <div className="flex items-baseline justify-between">
        <h3 className="text-sm font-semibold">To do</h3>
        <span className="text-xs text-faint tabular-nums">
          {done} of {todos.length} done
        </span>
      </div>
      <div aria-hidden="true" className="mt-2.5 h-1 overflow-hidden rounded-full bg-line">
        <div className="h-full rounded-full bg-ok transition-[width] duration-300" style={{ width: `${(done / todos.length) * 100}%` }} />
      </div>
      <ul className="mt-3 space-y-1.5 text-sm">
        {todos.map((todo, at) => (
          <li key={at} data-todo={todo.status} className="flex gap-2.5">
            <Mark status={todo.status} />
            <span dir="auto" className={`min-w-0 wrap-anywhere ${LOOKS[todo.status]}`}>
              {todo.text}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const LOOKS: Record<Todo["status"], string> = {
  pending: "",
  in_progress: "font-medium",
  completed: "text-faint",
  cancelled: "text-faint line-through",
};

const WORDS: Record<Todo["status"], string> = { pending: "To do", in_progress: "Being done", completed: "Done", cancelled: "Given up" };

function Mark({ status }: { status: Todo["status"] }) {
  return (
    <span className="mt-[0.2rem] inline-flex size-4 shrink-0 items-center justify-center">
      <span className="sr-only">{WORDS[status]}:</span>
      {status === "completed" ? (
        <CheckIcon size={15} className="text-ok" />
      ) : status === "in_progress" ? (
        <span className="text-accent">
          <Spinner />
        </span>
      ) : status === "cancelled" ? (
        <CloseIcon size={13} className="text-faint" />
      ) : (
        <span aria-hidden="true" className="size-2.5 rounded-full border-[1.5px] border-line-strong" />
      )}
    </span>
  );
}
