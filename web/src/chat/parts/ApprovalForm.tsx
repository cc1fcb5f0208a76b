// The open question: what it is about, changes to it, a word to the asker, and the two answers.

import { readFailure, type ApprovalView, type Failure } from "@spool/client";
import { useArtifact, useConnectionState, useDecide } from "@spool/client/react";
import { useId, useState } from "react";
import { PencilIcon } from "../../icons";
import { nearTime } from "../../time";
import { Button } from "../../ui/Button";
import { Editor } from "../../ui/Editor";
import { Note } from "../../ui/Note";
import { Subject } from "./ApprovalSubject";
import { asJson } from "./Value";

interface ApprovalFormProps {
  approval: ApprovalView;
  onDecided: () => void;
}

export function ApprovalForm({ approval, onDecided }: ApprovalFormProps) {
  const decide = useDecide();
  const offline = useConnectionState() !== "live";
  const id = useId();
  const [text, setText] = useState<string | null>(null);
  const [reason, setReason] = useState("");
  const [working, setWorking] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);

  const isPlan = approval.kind === "plan";
  const plan = useArtifact(isPlan && approval.artifactId !== undefined ? approval.artifactId : "skip", approval.version);
  const original = isPlan ? (plan?.content ?? null) : approval.kind === "tool_call" ? asJson(approval.input) : null;
  const newer = plan !== undefined && plan !== null && plan.current > plan.version ? plan.current : null;
  const changed = text !== null && text !== original;
  const edit = changed ? readEdit(text, isPlan) : {};
  // A plan that went on meanwhile is not approved unseen: only the reader's own text can be.
  const approvable = edit !== null && (newer === null || changed);

  const answer = async (approve: boolean) => {
    setWorking(true);
    setFailure(null);
    const said = reason.trim() === "" ? {} : { reason: reason.trim() };
    try {
      await decide({ approvalId: approval._id, decision: approve ? "approve" : "reject", ...said, ...(approve ? edit : {}) });
      onDecided();
    } catch (error) {
      setFailure(readFailure(error));
      setWorking(false);
    }
  };

  return (
    <form className="space-y-3 px-3.5 pt-3 pb-3.5" onSubmit={(event) => event.preventDefault()}>
      {text === null ? (
        <Subject approval={approval} />
      ) : (
        <div>
          <label htmlFor={`${id}-edit`} className="mb-1 block text-xs font-medium text-faint">
            {isPlan ? "Your version of the plan" : "Input, as it shall run"}
          </label>
          <Editor
            id={`${id}-edit`}
            autoFocus
            dir={isPlan ? "auto" : "ltr"}
            value={text}
            aria-invalid={edit === null}
            aria-describedby={edit === null ? `${id}-fault` : undefined}
            onChange={(event) => setText(event.target.value)}
            className="max-h-96"
          />
          {edit === null && (
            <p id={`${id}-fault`} role="alert" className="mt-1.5 text-danger">
              This is not JSON yet.
            </p>
          )}
        </div>
      )}
      {newer !== null && (
        <Note>
          The plan is at version {newer} by now; this asks about version {approval.version}. Edit it to approve exactly your text,
          or reject it.
        </Note>
      )}
      <input
        type="text"
        dir="auto"
        aria-label="Reason"
        placeholder="Reason (optional)"
        maxLength={1000}
        value={reason}
        onChange={(event) => setReason(event.target.value)}
        className="h-9 w-full rounded-lg border border-line bg-page px-3 transition-colors placeholder:text-faint focus-visible:border-accent focus-visible:outline-none"
      />
      {failure !== null && (
        <p role="alert" className="text-danger">
          {wordsFor(failure)}
        </p>
      )}
      <div className="flex flex-wrap items-center gap-2">
        {original !== null && (
          <Button
            disabled={working}
            onClick={() => setText(text === null ? original : null)}
            className="border-transparent bg-transparent ps-2.5 text-soft hover:border-transparent"
          >
            {text === null && <PencilIcon size={15} />}
            {text === null ? "Edit" : "Discard changes"}
          </Button>
        )}
        <span className="order-first basis-full text-xs text-faint empty:hidden sm:order-none sm:min-w-0 sm:flex-1 sm:basis-0 sm:text-end">
          {offline
            ? "Offline: decide when the connection is back"
            : approval.expiresAt !== undefined && `Open until ${nearTime(approval.expiresAt, Date.now())}`}
        </span>
        <div className="ms-auto flex gap-2">
          <Button disabled={working || offline} onClick={() => void answer(false)}>
            Reject
          </Button>
          <Button look="strong" disabled={working || offline || !approvable} onClick={() => void answer(true)}>
            {changed ? "Approve with changes" : "Approve"}
          </Button>
        </div>
      </div>
    </form>
  );
}

/** What the decision carries; `null` if the text is none. */
function readEdit(text: string, isPlan: boolean): { edited: unknown } | null {
  if (isPlan) return { edited: text };
  try {
    return { edited: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
}

function wordsFor({ code, message }: Failure): string {
  if (code === "already_resolved") return "It was decided before, or its time is over.";
  if (code === "history_conflict") return "The plan was changed meanwhile. Edit it to approve exactly your text, or reject it.";
  return message;
}
