// Where messages are written and files attached. Enter sends, Shift+Enter breaks the line; while an answer is
// coming it can be stopped, and what is sent waits for its end or steers it. What was half written in a thread is
// there again on return.

import { ComposerPrimitive, useAui, useAuiState } from "@assistant-ui/react";
import type { FilePart, LiveMessage, ApprovalView } from "@spool/client";
import { useStop, type ConnectionState } from "@spool/client/react";
import { useEffect, useRef, useState, type FormEvent, type KeyboardEvent, type ReactNode } from "react";
import { ArrowUpIcon, ClipIcon, StopIcon } from "../icons";
import { DemoNote } from "../status/DemoNote";
import { useAttachments, useFileDrop } from "./attachments";
import { AttachmentTray } from "./AttachmentTray";
import { BusyChoice, useBusyMode, type BusyMode } from "./BusyChoice";
import { useHasChoices } from "./Choices";
import { WaitingMessages } from "./WaitingMessages";

interface ComposerProps {
  /** Which draft this is: a thread's id, or "new". */
  draftKey: string;
  running: boolean;
  /** The generation to stop; `null` until the server has told. */
  generationId: string | null;
  connection: ConnectionState;
  threadId: string | null;
  /** Messages that were sent and wait for their turn. */
  waiting: readonly LiveMessage[];
  /** Who is to answer. */
  choices: ReactNode;
  /** Sends a message while an answer is being made. */
  onSendBusy: (text: string, mode: BusyMode) => void;
  /** Sends a message with files that are in the thread already. */
  onSendWith: (threadId: string, text: string, files: readonly FilePart[]) => void;
}

export function Composer({ draftKey, running, generationId, connection, threadId, waiting, choices, onSendBusy, onSendWith }: ComposerProps) {
  useKeptDraft(draftKey);
  const aui = useAui();
  const attachments = useAttachments();
  const over = useFileDrop(attachments.add);
  const attached = attachments.list.length > 0;
  const hasChoices = useHasChoices();
  const [mode, setMode] = useBusyMode();
  const written = useAuiState((state) => state.composer.text.trim() !== "");
  // The library sends nothing while an answer is being made.
  const sendBusy = (how: BusyMode) => {
    const text = aui.composer.getState().text.trim();
    if (text === "") return;
    aui.composer.setText("");
    onSendBusy(text, how);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!running || attached || event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing || TOUCH) return;
    event.preventDefault();
    sendBusy(event.metaKey || event.ctrlKey ? "steer" : mode);
  };
  // Without files the message goes the usual way.
  const submit = (event: FormEvent) => {
    if (running && !attached) {
      event.preventDefault();
      sendBusy(mode);
      return;
    }
    if (!attached) return;
    event.preventDefault();
    if (running || attachments.uploading) return;
    const text = aui.composer.getState().text.trim();
    void attachments.submit(threadId, (thread, files) => {
      aui.composer.setText("");
      onSendWith(thread, text, files);
    });
  };
  const offline = connection === "offline" || connection === "reconnecting";
  return (
    <div className="mx-auto w-full max-w-read shrink-0 px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-6">
      <WaitingMessages views={waiting} />
      <ComposerPrimitive.Root
        id="composer"
        onSubmit={submit}
        aria-busy={attachments.uploading}
        className={`relative rounded-3xl border bg-raised p-2 shadow-card transition-colors has-[textarea:focus-visible]:border-accent-line ${
          over ? "border-accent-line ring-4 ring-accent-soft" : "border-line"
        }`}
      >
        <AttachmentTray {...attachments} />
        <div className="flex flex-wrap items-end gap-1">
          <AttachButton onFiles={attachments.add} disabled={attachments.uploading} />
          <ComposerPrimitive.Input
            autoFocus={!TOUCH}
            dir="auto"
            rows={1}
            maxRows={10}
            cancelOnEscape={false}
            onKeyDown={onKeyDown}
            addAttachmentOnPaste={false}
            onPaste={(event) => {
              // Spreadsheets put a picture of the cells beside their text: the text is meant.
              const { files } = event.clipboardData;
              if (files.length === 0 || event.clipboardData.getData("text/plain") !== "") return;
              event.preventDefault();
              attachments.add(files);
            }}
            unstable_insertNewlineOnTouchEnter
            aria-label="Message"
            placeholder={over ? "Drop to attach" : offline ? "Write on: it is sent when the connection is back" : "Write a message"}
            className={`max-h-72 min-h-10 resize-none bg-transparent px-2 py-2 leading-6 placeholder:text-faint ${
              hasChoices ? "order-first basis-full" : "min-w-0 flex-1"
            }`}
          />
          {hasChoices && <div className="flex min-h-10 min-w-0 flex-1 items-center">{choices}</div>}
          {running && <StopButton key={generationId} generationId={generationId} quiet={written} />}
          {running ? (
            written && !attached && <BusySendButton mode={mode} />
          ) : attached ? (
            <SubmitButton uploading={attachments.uploading} />
          ) : (
            <SendButton />
          )}
        </div>
      </ComposerPrimitive.Root>
      {/* One over the other: nothing moves when the choice appears. */}
      <div className="mt-2 grid min-h-5 *:col-start-1 *:row-start-1">
        <div className={running && written ? "invisible" : ""}>
          <DemoNote />
        </div>
        {running && written && (attached ? <FilesWait /> : <BusyChoice mode={mode} onChoose={setMode} />)}
      </div>
    </div>
  );
}

// A keyboard that jumps up unasked hides what was opened.
const TOUCH = window.matchMedia("(pointer: coarse)").matches;

const ROUND = "inline-flex size-10 shrink-0 items-center justify-center rounded-full transition-[background-color,color,opacity]";

function AttachButton({ onFiles, disabled }: { onFiles: (files: Iterable<File>) => void; disabled: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          onFiles(event.target.files ?? []);
          event.target.value = ""; // the same file can be chosen again
        }}
      />
      <button
        type="button"
        aria-label="Attach files"
        title="Attach files"
        disabled={disabled}
        onClick={() => input.current?.click()}
        className={`${ROUND} text-soft hover:bg-hover hover:text-ink disabled:opacity-40`}
      >
        <ClipIcon size={20} />
      </button>
    </>
  );
}

const SEND = `${ROUND} bg-accent text-on-accent hover:bg-accent-strong disabled:bg-hover disabled:text-faint`;

// Files make a message even without words, which the library's own button does not know.
function SubmitButton({ uploading }: { uploading: boolean }) {
  return (
    <button type="submit" aria-label={uploading ? "Sending" : "Send"} title={uploading ? "Sending" : "Send (Enter)"} disabled={uploading} className={SEND}>
      <ArrowUpIcon size={19} className={uploading ? "animate-pulse" : ""} />
    </button>
  );
}

function BusySendButton({ mode }: { mode: BusyMode }) {
  const label = mode === "queue" ? "Send after this answer" : "Steer this answer";
  return (
    <button type="submit" aria-label={label} title={`${label} (Enter)`} className={SEND}>
      <ArrowUpIcon size={19} />
    </button>
  );
}

function FilesWait() {
  return <p className="px-2 text-center text-xs text-faint motion-appear">Files can be sent when this answer is over</p>;
}

function SendButton() {
  return (
    <ComposerPrimitive.Send
      aria-label="Send"
      title="Send (Enter)"
      className={SEND}
    >
      <ArrowUpIcon size={19} />
    </ComposerPrimitive.Send>
  );
}

function StopButton({ generationId, quiet }: { generationId: string | null; quiet: boolean }) {
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
      className={`${ROUND} relative disabled:opacity-45 ${quiet ? "bg-hover text-ink hover:bg-line-strong" : "bg-ink text-page hover:opacity-85"}`}
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
