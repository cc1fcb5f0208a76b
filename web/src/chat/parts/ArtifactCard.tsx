// A document that an answer made: its name and state, and the way into it.

import type { Part } from "@spool/client";
import { useArtifact } from "@spool/client/react";
import { ChevronIcon, FileIcon } from "../../icons";
import { openPanel, useDraft, usePanel } from "../../panel/store";
import { nameOf, StatusPill } from "./ArtifactName";

type ArtifactPart = Extract<Part, { type: "artifact" }>;

export function ArtifactCard({ part }: { part: ArtifactPart }) {
  const artifact = useArtifact(part.artifactId);
  const [draft] = useDraft(part.artifactId);
  const shown = usePanel(artifact?.threadId ?? null)?.artifactId === part.artifactId;
  const title = artifact?.title ?? part.title ?? "Document";
  const kind = artifact?.kind ?? part.kind ?? null;
  const version = artifact?.current ?? part.version;
  const writing = artifact?.writing !== undefined;
  return (
    <button
      type="button"
      aria-haspopup="dialog"
      aria-expanded={shown}
      disabled={artifact === null || artifact === undefined}
      onClick={() => artifact != null && openPanel(artifact.threadId, part.artifactId)}
      data-artifact={part.artifactId}
      className={`flex w-full max-w-md items-center gap-3 rounded-xl border py-2.5 ps-3.5 pe-3 text-start transition-colors enabled:hover:border-accent-line enabled:hover:bg-accent-soft/60 disabled:opacity-70 ${
        shown ? "border-accent-line bg-accent-soft/60" : "border-line bg-raised"
      }`}
    >
      <FileIcon size={20} className="shrink-0 text-accent" />
      <span className="min-w-0 flex-1">
        <span dir="auto" className="block truncate text-sm font-medium">
          {title}
        </span>
        <span className="flex items-center gap-2 text-xs text-faint">
          {artifact === null ? (
            "Not available any more"
          ) : (
            <>
              <span className="min-w-0 truncate">{[nameOf(kind), writing ? "being written" : `version ${version}`].filter(Boolean).join(", ")}</span>
              {/* Spaces for the name that is read out. */ " "}
              {artifact !== undefined && !writing && <StatusPill status={artifact.status} />}
            </>
          )}
          {draft !== null && <span className="text-warn">unsaved changes</span>}
        </span>
      </span>
      <ChevronIcon size={15} className="shrink-0 text-faint rtl:rotate-180" />
    </button>
  );
}
