// Who has decided, where several people have to.

import type { ApprovalView } from "@spool/client";
import { useAccount } from "@spool/client/react";
import { CheckIcon } from "../../icons";
import { nearTime } from "../../time";

export function Votes({ approval }: { approval: ApprovalView }) {
  const { me } = useAccount();
  const needed = approval.approversNeeded ?? 1;
  if (needed <= 1) return null;
  const given = (approval.votes ?? []).filter(({ decision }) => decision === "approve");
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-soft" aria-label="Who has approved">
      <span className="inline-flex items-center gap-2">
        <span aria-hidden="true" className="flex gap-1">
          {Array.from({ length: needed }, (_, at) => (
            <span key={at} className={`h-1.5 w-4 rounded-full ${at < given.length ? "bg-ok" : "bg-line-strong"}`} />
          ))}
        </span>
        <span className="font-medium tabular-nums">
          {given.length} of {needed} approvals
        </span>
      </span>
      {given.map((vote) => (
        <span key={vote.userId} className="inline-flex items-center gap-1 text-faint">
          <CheckIcon size={13} className="text-ok" />
          {vote.userId === me?._id ? "You" : (vote.name ?? "Somebody")}, {nearTime(vote.at, Date.now())}
        </span>
      ))}
    </div>
  );
}
