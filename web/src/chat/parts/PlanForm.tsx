// A plan that waits for a person: its text, the way to where it can be changed, and the answers. A text that is
// being written there is what is approved here.

import type { ApprovalView } from "@spool/client";
import { useArtifact } from "@spool/client/react";
import { useState } from "react";
import { PencilIcon } from "../../icons";
import { openPanel, useDraft } from "../../panel/store";
import { Button } from "../../ui/Button";
import { Note } from "../../ui/Note";
import { Answers, said } from "./Answers";
import { Subject } from "./ApprovalSubject";
import { useDecision } from "./useDecision";
import { Votes } from "./Votes";

interface PlanFormProps {
  approval: ApprovalView;
  onDecided: () => void;
  /** Where the text itself is shown already. */
  bare?: boolean;
}

export function PlanForm({ approval, onDecided, bare = false }: PlanFormProps) {
  const artifactId = approval.artifactId ?? "skip";
  const newest = useArtifact(artifactId);
  const [draft, setDraft] = useDraft(artifactId);
  const deciding = useDecision(approval._id, () => {
    setDraft(null);
    onDecided();
  });
  const single = (approval.approversNeeded ?? 1) <= 1;
  const [reason, setReason] = useState("");
  const changed = draft !== null && newest !== undefined && newest !== null && draft.text !== newest.content;
  // A plan that went on meanwhile is not approved unseen: only the reader's own text can be.
  const newer = newest !== undefined && newest !== null && approval.version !== undefined && newest.current > approval.version ? newest.current : null;
  const approvable = newer === null || changed;
  return (
    <>
      {!bare && <Subject approval={approval} />}
      {newer !== null && (
        <Note>
          The plan is at version {newer} by now; this asks about version {approval.version}. Edit it to approve exactly your text,
          or reject it.
        </Note>
      )}
      {changed && !bare && <Note>You have changed the plan. Approving it approves your text.</Note>}
      <Votes approval={approval} />
      <Answers
        deciding={deciding}
        reason={reason}
        expiresAt={approval.expiresAt}
        onReason={setReason}
        more={
          // What several people approve is what all of them saw.
          !bare && single && newest !== undefined && newest !== null && (
            <Button
              aria-haspopup="dialog"
              onClick={() => openPanel(approval.threadId, newest._id, { edit: newest })}
              className="border-transparent bg-transparent ps-2.5 text-soft hover:border-transparent"
            >
              <PencilIcon size={15} />
              {changed ? "Go on editing" : "Edit"}
            </Button>
          )
        }
      >
        <Button disabled={deciding.blocked} onClick={() => void deciding.decide({ decision: "reject", ...said(reason) })}>
          Reject
        </Button>
        <Button
          look="strong"
          disabled={deciding.blocked || !approvable}
          onClick={() => void deciding.decide({ decision: "approve", ...said(reason), ...(changed ? { edited: draft.text } : {}) })}
        >
          {changed ? "Approve with changes" : "Approve"}
        </Button>
      </Answers>
    </>
  );
}
