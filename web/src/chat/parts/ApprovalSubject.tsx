// What is asked about, as it was frozen: the arguments of a call, or one version of a plan. A question is the
// card's title already.

import type { ApprovalView } from "@spool/client";
import { useArtifact } from "@spool/client/react";
import { ArtifactText } from "./ArtifactText";
import { Value } from "./Value";

export function Subject({ approval }: { approval: ApprovalView }) {
  const edited = approval.editedInput !== undefined;
  return (
    <>
      {approval.question !== undefined && approval.kind !== "question" && (
        <p dir="auto" className="wrap-anywhere whitespace-pre-wrap">
          {approval.question}
        </p>
      )}
      {approval.kind === "tool_call" && <Value label={edited ? "Asked for" : "Input"} value={approval.input} />}
      {edited && <Value label="Approved instead" value={approval.editedInput} />}
      {approval.kind === "plan" && approval.artifactId !== undefined && (
        <Plan artifactId={approval.artifactId} version={approval.editedVersion ?? approval.version} />
      )}
    </>
  );
}

function Plan({ artifactId, version }: { artifactId: string; version: number | undefined }) {
  const plan = useArtifact(artifactId, version);
  if (plan === undefined) return <div className="h-24" />;
  if (plan === null) return <p className="text-soft">The plan is not available any more.</p>;
  return (
    <div>
      <div dir="auto" className="mb-1 text-xs font-medium text-faint wrap-anywhere">
        {plan.title}, version {plan.version}
      </div>
      <div tabIndex={0} role="region" aria-label={plan.title} className="max-h-96 overflow-auto rounded-lg border border-line bg-page px-4 py-3">
        <ArtifactText kind={plan.kind} content={plan.content} />
      </div>
    </div>
  );
}
