// Sends messages through the outbox: shown at once, delivered once, kept for another try on failure.

import { useMemo } from "react";
import type { FilePart } from "../files";
import type { SendOptions } from "../overlay";
import { useSpool } from "./context";

export interface Send {
  /** Shows the message at once and delivers it; returns its request id. */
  send: (text: string, options?: SendOptions) => string;
  /** The same for a thread that exists, with files that were uploaded to it. */
  sendWith: (threadId: string, text: string, files: readonly FilePart[], options?: SendOptions) => string;
  /** Tries a failed message again under the same request id. */
  resend: (requestId: string) => void;
  /** Gives a failed message up. */
  discard: (requestId: string) => void;
}

/** With `threadId` null the first message makes a thread, and `onThread` hears its id. */
export function useSend(threadId: string | null, onThread: (threadId: string) => void): Send {
  const { outbox } = useSpool();
  return useMemo(
    () => ({
      send: (text, options) => outbox.add(threadId, text, onThread, undefined, options),
      sendWith: (thread, text, files, options) => {
        const requestId = outbox.add(thread, text, onThread, files, options);
        if (threadId === null) onThread(thread);
        return requestId;
      },
      resend: (requestId) => outbox.retry(requestId, onThread),
      discard: (requestId) => outbox.forget(new Set([requestId])),
    }),
    [outbox, threadId, onThread],
  );
}
