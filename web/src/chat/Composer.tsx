// Where messages are written. Enter sends, Shift+Enter breaks the line, stop takes the place of send while an
// answer is coming; what was half written in a thread is there again on return.

import { ComposerPrimitive, useAui, useAuiState } from "@assistant-ui/react";
import { useStop, type ConnectionState } from "@spool/client/react";
import { useEffect, useRef, useState } from "react";
import { ArrowUpIcon, StopIcon } from "../icons";
import { DemoNote } from "../status/DemoNote";

interface ComposerProps {
  /** Which draft this is: a thread's id, or "new". */
  draftKey: string;
  running: boolean;
  /** The generation to stop; `null` until the server has told. */
  generationId: string | null;
  connection: ConnectionState;
}

export function Composer({ draftKey, running, generationId, connection }: ComposerProps) {
  useKeptDraft(draftKey);
  const offline = connection === "offline" || connection === "reconnecting";
  return (
    <div className="mx-auto w-full max-w-read shrink-0 px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-6">
      <ComposerPrimitive.Root
        id="composer"
        className="relative flex items-end gap-2 rounded-3xl border border-line bg-raised p-2 shadow-card transition-colors has-[textarea:focus-visible]:border-accent-line"
      >
        <ComposerPrimitive.Input
          autoFocus={!TOUCH}
          dir="auto"
          rows={1}
          maxRows={10}
          cancelOnEscape={false}
          addAttachmentOnPaste={false}
          unstable_insertNewlineOnTouchEnter
          aria-label="Message"
          placeholder={offline ? "Write on: it is sent when the connection is back" : "Write a message"}
          className="max-h-72 min-h-10 flex-1 resize-none bg-transparent px-3 py-2 leading-6 placeholder:text-faint"
        />
        {running ? <StopButton key={generationId} generationId={generationId} /> : <SendButton />}
      </ComposerPrimitive.Root>
      <div className="mt-2 min-h-4">
        <DemoNote />
      </div>
    </div>
  );
}

// A keyboard that jumps up unasked hides what was opened.
const TOUCH = window.matchMedia("(pointer: coarse)").matches;

const ROUND = "inline-flex size-10 shrink-0 items-center justify-center rounded-full transition-[background-color,color,opacity]";

function SendButton() {
  return (
    <ComposerPrimitive.Send
      aria-label="Send"
      title="Send (Enter)"
      className={`${ROUND} bg-accent text-on-accent hover:bg-accent-strong disabled:bg-hover disabled:text-faint`}
    >
      <ArrowUpIcon size={19} />
    </ComposerPrimitive.Send>
  );
}

function StopButton({ generationId }: { generationId: string | null }) {
  const stop = useStop();
  const [asked, setAsked] = useState(false);
  return (
    <button
      type="button"
      aria-label={asked ? "Stopping" : "Stop answering"}
      title={asked ? "Stopping" : "Stop answering"}
      disabled={generationId === null || asked}
      onClick={() => {
        if (generationId === null) return;
        setAsked(true);
        void stop(generationId).catch(() => setAsked(false));
      }}
      className={`${ROUND} relative bg-ink text-page hover:opacity-85 disabled:opacity-45`}
    >
      <StopIcon size={20} />
    </button>
  );
}

const drafts = new Map<string, string>();

function useKeptDraft(key: string) {
  const aui = useAui();
  const text = useAuiState((state) => state.composer.text);
  const restored = useRef(false);
  useEffect(() => {
    if (!restored.current) {
      restored.current = true;
      const kept = drafts.get(key);
      if (kept !== undefined && text === "") {
        aui.composer.setText(kept);
        return;
      }
    }
    if (text === "") drafts.delete(key);
    else drafts.set(key, text);
  }, [aui, key, text]);
}
