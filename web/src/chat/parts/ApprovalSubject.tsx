// What is asked about, as it was frozen: the arguments of a call, or one version of a plan. A question is the
// card's title already.

import type { ApprovalView } from "@spool/client";
import { useArtifact } from "@spool/client/react";
import { openPanel } from "../../panel/store";
import { Arguments } from "./Arguments";
import { ArtifactText } from "./ArtifactText";

export function Subject({ approval }: { approval: ApprovalView }) {
  const edited = approval.editedInput !== undefined;
  return (
    <>
      {approval.question !== undefined && approval.kind !== "question" && (
        <p dir="auto" className="wrap-anywhere whitespace-pre-wrap">
          {approval.question}
        </p>
      )}
      {approval.kind === "tool_call" && <Arguments label={edited ? "ApprovalView for" : "Input"} input={approval.input} />}
      {edited && <Arguments label="Approved instead" input={approval.editedInput} />}
      {approval.kind === "plan" && approval.artifactId !== undefined && (
        <Plan threadId={approval.threadId} artifactId={approval.artifactId} version={approval.editedVersion ?? approval.version} content={approval.content} />
      )}
    </>
  );
}

interface PlanProps {
  threadId: string;
  artifactId: string;
  version: number | undefined;
  /** For those who decide about it and do not see its thread. */
  content: string | undefined;
}

function Plan({ threadId, artifactId, version, content }: PlanProps) {
  const plan = useArtifact(artifactId, version);
  if (plan === undefined) return <div className="h-24" />;
  if (plan === null && content === undefined) return <p className="text-soft">The plan is not available any more.</p>;
  const title = plan === null ? "The plan" : `${plan.title}, version ${plan.version}`;
  return (
    <div>
      <div className="mb-1 flex items-baseline justify-between gap-3 text-xs">
        <span dir="auto" className="min-w-0 font-medium wrap-anywhere text-faint">
          {title}
        </span>
        {plan !== null && (
          <button type="button" aria-haspopup="dialog" onClick={() => openPanel(threadId, artifactId)} className="shrink-0 font-medium text-accent hover:text-accent-strong">
            Open
          </button>
        )}
      </div>
      <div tabIndex={0} role="region" aria-label={title} className="max-h-80 overflow-auto rounded-lg border border-line bg-page px-4 py-3">
        <ArtifactText kind={plan?.kind ?? "plan"} content={plan?.content ?? content ?? ""} />
      </div>
    </div>
  );
}
