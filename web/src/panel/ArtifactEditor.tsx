// A version that is being written by hand. One that was overtaken is never lost and never wins by itself: what
// differs is shown, and its writer chooses.

import { readFailure, type ArtifactView, type Failure } from "@spool/client";
import { useConnectionState, useUpdateArtifact } from "@spool/client/react";
import { useState } from "react";
import { Button } from "../ui/Button";
import { Editor } from "../ui/Editor";
import { Note } from "../ui/Note";
import { DiffView } from "./DiffView";
import type { Draft } from "./store";

interface ArtifactEditorProps {
  newest: ArtifactView;
  draft: Draft;
  /** Somebody waits for an answer about it: the text goes with the answer, not before it. */
  asked: boolean;
  onDraft: (draft: Draft | null) => void;
}

export function ArtifactEditor({ newest, draft, asked, onDraft }: ArtifactEditorProps) {
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
      {comparing ? (
        <div tabIndex={0} role="region" aria-label="What is different" data-quiet-focus className="min-h-0 flex-1 overflow-y-auto px-5 py-5">
          <DiffView before={newest.content} after={draft.text} label={`From version ${newest.current} to yours`} />
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
            Version {newest.current} was saved while you were writing on version {draft.base}. Your text is still here: keep it as
            the next version, or keep theirs.
          </Note>
        )}
        {failure !== null && (
          <p role="alert" className="text-sm text-danger">
            {failure.code === "history_conflict" ? "There is a newer version, so nothing was saved yet." : failure.message}
          </p>
        )}
        <div className="flex flex-wrap items-center justify-end gap-2">
          <Button
            className="-ms-2.5 me-auto border-transparent! bg-transparent! px-2.5! text-soft"
            aria-pressed={comparing}
            disabled={!comparing && draft.text === newest.content}
            onClick={() => setComparing(!comparing)}
          >
            {comparing ? "Back to the text" : "Show the difference"}
          </Button>
          {offline && <span className="text-xs text-faint">Offline: save when the connection is back</span>}
          <Button disabled={working} onClick={() => onDraft(null)}>
            {overtaken ? "Keep theirs" : "Discard"}
          </Button>
          {!asked && (
            <Button look="strong" disabled={working || offline || draft.text === newest.content} onClick={() => void save()}>
              {overtaken ? "Keep mine" : "Save"} as version {newest.current + 1}
            </Button>
          )}
        </div>
      </footer>
    </>
  );
}
