// An artifact at full length beside the conversation: every version to read, the newest to change. A native
// modal dialog: it holds the focus and hears Escape.

import { readFailure, type ArtifactView, type Failure } from "@spool/client";
import { useArtifact, useConnectionState, useUpdateArtifact } from "@spool/client/react";
import { useEffect, useId, useRef, useState } from "react";
import { CheckIcon, CloseIcon, CopyIcon, PencilIcon } from "../../icons";
import { fullTime } from "../../time";
import { Button } from "../../ui/Button";
import { Editor } from "../../ui/Editor";
import { IconButton } from "../../ui/IconButton";
import { Note } from "../../ui/Note";
import { useCopy } from "../../ui/useCopy";
import { nameOf, StatusName } from "./ArtifactName";
import { ArtifactText } from "./ArtifactText";

/** A text that is being written, and the version that its writer saw. */
export interface Draft {
  text: string;
  base: number;
}

interface ArtifactPanelProps {
  newest: ArtifactView;
  draft: Draft | null;
  onDraft: (draft: Draft | null) => void;
  onClose: () => void;
}

export function ArtifactPanel({ newest, draft, onDraft, onClose }: ArtifactPanelProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [picked, setPicked] = useState<number | null>(null);
  const [copied, copy] = useCopy();
  const older = useArtifact(picked === null ? "skip" : newest._id, picked ?? undefined);
  const shown = picked === null ? newest : older;
  useEffect(() => {
    if (dialog.current?.open !== false) return;
    dialog.current.showModal();
    // The keys scroll what is read, or write, at once: the browser would choose the first control.
    dialog.current.querySelector<HTMLElement>("textarea, [role=region]")?.focus();
  }, []);
  // The browser gives the focus back to what had it, and then says so.
  const close = () => dialog.current?.close();
  const editable = newest.status === "draft" || newest.status === "approved";
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && close()}
      className="my-0 me-0 ms-auto h-dvh max-h-none w-[min(46rem,100vw)] max-w-none border-s border-line bg-page p-0 text-ink shadow-float backdrop:bg-scrim open:motion-appear"
    >
      <div className="flex h-full flex-col">
        <header className="flex shrink-0 items-start gap-3 border-b border-line py-3 ps-5 pe-3">
          <div className="min-w-0 flex-1">
            <h2 id={id} dir="auto" className="truncate text-base leading-snug font-semibold">
              {shown?.title ?? newest.title}
            </h2>
            <p className="mt-0.5 flex flex-wrap gap-x-1.5 text-xs text-faint">
              <span>{nameOf(newest.kind)}</span>
              {shown !== undefined && shown !== null && (
                <>
                  <StatusName status={shown.status} />
                  <span>
                    {shown.author === "user" ? "written by you" : "written by the assistant"}, {fullTime(shown.createdAt)}
                  </span>
                </>
              )}
            </p>
          </div>
          {draft === null && (
            <select
              aria-label="Version"
              value={picked ?? newest.current}
              onChange={(event) => {
                const version = Number(event.target.value);
                setPicked(version === newest.current ? null : version);
              }}
              className="h-8 shrink-0 rounded-lg border border-line bg-raised px-2 text-sm"
            >
              {Array.from({ length: newest.current }, (_, at) => newest.current - at).map((version) => (
                <option key={version} value={version}>
                  Version {version}
                  {version === newest.current ? " (newest)" : ""}
                </option>
              ))}
            </select>
          )}
          <IconButton label="Close" onClick={close}>
            <CloseIcon />
          </IconButton>
        </header>
        {draft !== null ? (
          <ArtifactEditor newest={newest} draft={draft} onDraft={onDraft} />
        ) : (
          <>
            <div tabIndex={0} role="region" aria-label="Content" data-quiet-focus className="min-h-0 flex-1 overflow-y-auto px-5 py-5">
              {shown !== undefined && shown !== null && <ArtifactText key={shown.version} kind={shown.kind} content={shown.content} />}
            </div>
            <footer className="flex shrink-0 items-center gap-2 border-t border-line px-5 py-3">
              <Button disabled={shown === undefined || shown === null} onClick={() => copy(shown?.content ?? "")}>
                {copied ? <CheckIcon size={15} className="text-ok" /> : <CopyIcon size={15} />}
                {copied ? "Copied" : "Copy"}
              </Button>
              <span className="min-w-0 flex-1 text-end text-xs text-faint">
                {picked !== null ? "Only the newest version can be changed" : !editable && `What is ${newest.status} is not changed any more`}
              </span>
              {editable && picked === null && (
                <Button look="strong" onClick={() => onDraft({ text: newest.content, base: newest.current })}>
                  <PencilIcon size={15} />
                  Edit
                </Button>
              )}
            </footer>
          </>
        )}
      </div>
    </dialog>
  );
}

interface ArtifactEditorProps {
  newest: ArtifactView;
  draft: Draft;
  onDraft: (draft: Draft | null) => void;
}

function ArtifactEditor({ newest, draft, onDraft }: ArtifactEditorProps) {
  const update = useUpdateArtifact();
  const offline = useConnectionState() !== "live";
  const [working, setWorking] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [comparing, setComparing] = useState(false);
  const overtaken = newest.current > draft.base;
  const save = async () => {
    setWorking(true);
    setFailure(null);
    try {
      // The newest version on the screen: if it is not the writer's own, the words above the button said so.
      await update({ artifactId: newest._id, baseVersion: newest.current, content: draft.text });
      onDraft(null);
    } catch (error) {
      setFailure(readFailure(error));
      setWorking(false);
    }
  };
  return (
    <>
      {overtaken && comparing ? (
        <div tabIndex={0} role="region" aria-label={`Version ${newest.current}`} data-quiet-focus className="min-h-0 flex-1 overflow-y-auto px-5 py-5">
          <ArtifactText kind={newest.kind} content={newest.content} />
        </div>
      ) : (
        <div className="min-h-0 flex-1 p-3">
          <Editor
            autoFocus
            aria-label="Content"
            value={draft.text}
            onChange={(event) => onDraft({ ...draft, text: event.target.value })}
            className="h-full"
          />
        </div>
      )}
      <footer className="shrink-0 space-y-3 border-t border-line px-5 py-3">
        {overtaken && (
          <Note role="alert">
            Version {newest.current} was saved while you were writing on version {draft.base}. Your text is still here: save it as
            the next version, or discard it.
          </Note>
        )}
        {failure !== null && (
          <p role="alert" className="text-sm text-danger">
            {failure.code === "history_conflict" ? "There is a newer version, so nothing was saved yet." : failure.message}
          </p>
        )}
        <div className="flex flex-wrap items-center justify-end gap-2">
          {offline && <span className="text-xs text-faint">Offline: save when the connection is back</span>}
          {overtaken && (
            <Button className="me-auto" aria-pressed={comparing} onClick={() => setComparing(!comparing)}>
              {comparing ? "Back to mine" : `Read version ${newest.current}`}
            </Button>
          )}
          <Button disabled={working} onClick={() => onDraft(null)}>
            Discard
          </Button>
          <Button look="strong" disabled={working || offline || draft.text === newest.content} onClick={() => void save()}>
            {overtaken ? "Save mine" : "Save"} as version {newest.current + 1}
          </Button>
        </div>
      </footer>
    </>
  );
}
