// How far a run is that plans, asks and carries out. Nothing in a conversation that has no such run.

import type { Phase } from "@spool/client";
import { usePlanSession, useServerInfo } from "@spool/client/react";
import { CheckIcon } from "../icons";
import { openPanel } from "../panel/store";

const STEPS: readonly Phase[] = ["planning", "awaiting_approval", "executing", "done"];

export function PhaseSteps({ threadId }: { threadId: string }) {
  const session = usePlanSession(threadId);
  const names = useServerInfo()?.phases;
  const phase = session?.phase;
  if (session == null || phase === undefined || names === undefined) return null;
  const here = STEPS.indexOf(phase);
  const plan = session.planArtifactId;
  return (
    <div className="mx-auto w-full max-w-read shrink-0 px-4 pb-2 motion-appear sm:px-6" data-phase={phase}>
      <div className="flex items-center gap-3">
        <ol aria-label="How far the run is" className="flex min-w-0 flex-1 items-center gap-2 text-xs">
          {STEPS.map((name, at) => {
            const over = at < here || phase === "done";
            const now = at === here && phase !== "done";
            return (
              <li key={name} aria-current={now ? "step" : undefined} className="flex min-w-0 flex-auto items-center gap-2 last:flex-none">
                <span className={`inline-flex shrink-0 items-center gap-1.5 font-medium ${now ? (name === "awaiting_approval" ? "text-warn" : "text-accent") : over ? "text-soft" : "text-faint"}`}>
                  {over ? (
                    <CheckIcon size={14} className="text-ok" />
                  ) : (
                    <span
                      aria-hidden="true"
                      className={`size-2 rounded-full ${now ? (name === "awaiting_approval" ? "bg-warn" : "bg-accent motion-breathe") : "bg-line-strong"}`}
                    />
                  )}
                  <span className={now ? "" : "max-sm:sr-only"}>{names[name]}</span>
                </span>
                {at < STEPS.length - 1 && <span aria-hidden="true" className={`h-px min-w-3 flex-1 ${at < here ? "bg-line-strong" : "bg-line"}`} />}
              </li>
            );
          })}
        </ol>
        {plan !== undefined && (
          <button type="button" aria-haspopup="dialog" onClick={() => openPanel(threadId, plan)} className="shrink-0 rounded-sm text-xs font-medium text-accent hover:text-accent-strong">
            Open the plan
          </button>
        )}
      </div>
      {phase === "planning" && session.rejection !== undefined && (
        <p dir="auto" className="mt-1.5 text-xs wrap-anywhere text-soft">
          The last plan was rejected: <q>{session.rejection}</q>
        </p>
      )}
    </div>
  );
}
