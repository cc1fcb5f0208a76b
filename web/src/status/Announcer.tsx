// Tells screen readers what happens to the answer, politely and in few words: the streamed text itself would
// be read in shreds.

import { isRunning, type LiveMessage } from "@spool/client";
import { useEffect, useRef, useState } from "react";

export function Announcer({ views }: { views: readonly LiveMessage[] }) {
  const last = views.at(-1);
  const running = last !== undefined && isRunning(last);
  const asks = last?.parts.some((part) => part.type === "approval" && part.status === "pending") === true;
  const was = useRef(running);
  const [words, setWords] = useState("");
  useEffect(() => {
    if (asks) setWords("An answer from you is needed");
  }, [asks]);
  useEffect(() => {
    if (running === was.current) return;
    was.current = running;
    if (running) setWords("Answering");
    else if (last?.status === "complete") setWords("Answer complete");
    else if (last?.status === "stopped") setWords("Answer stopped");
    else if (last?.status === "error" || last?.status === "interrupted") setWords("The answer failed");
  }, [running, last?.status]);
  return (
    <div role="status" aria-live="polite" className="sr-only">
      {words}
    </div>
  );
}
