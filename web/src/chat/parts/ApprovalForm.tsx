// The open question in the shape of its kind. Who has answered already waits for the others.

import type { ApprovalView } from "@spool/client";
import { useAccount } from "@spool/client/react";
import { CallForm } from "./CallForm";
import { Countdown } from "./Countdown";
import { PlanForm } from "./PlanForm";
import { QuestionForm } from "./QuestionForm";
import { Subject } from "./ApprovalSubject";
import { Votes } from "./Votes";

interface ApprovalFormProps {
  approval: ApprovalView;
  onDecided: () => void;
  /** Where what is asked about is shown already. */
  bare?: boolean;
}

export function ApprovalForm({ approval, onDecided, bare = false }: ApprovalFormProps) {
  const { me } = useAccount();
  const voted = me != null && approval.votes?.some(({ userId }) => userId === me._id) === true;
  return (
    <form className="space-y-3 px-3.5 pt-3 pb-3.5" onSubmit={(event) => event.preventDefault()}>
      {voted ? (
        <>
          {!bare && <Subject approval={approval} />}
          <Votes approval={approval} />
          <p className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1 text-soft">
            You have approved. Others have to, too.
            {approval.expiresAt !== undefined && <Countdown until={approval.expiresAt} />}
          </p>
        </>
      ) : approval.kind === "plan" ? (
        <PlanForm approval={approval} onDecided={onDecided} bare={bare} />
      ) : approval.kind === "question" ? (
        <QuestionForm approval={approval} onDecided={onDecided} />
      ) : (
        <CallForm approval={approval} onDecided={onDecided} />
      )}
    </form>
  );
}
