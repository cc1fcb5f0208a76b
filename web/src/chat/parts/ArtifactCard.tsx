// A document that an answer made: its name and state, and the way into it.

import type { Part } from "@spool/client";
import { useArtifact } from "@spool/client/react";
import { useState } from "react";
import { ChevronIcon, FileIcon } from "../../icons";
import { nameOf, StatusName } from "./ArtifactName";
import { ArtifactPanel, type Draft } from "./ArtifactPanel";

type ArtifactPart = Extract<Part, { type: "artifact" }>;

export function ArtifactCard({ part }: { part: ArtifactPart }) {
  const artifact = useArtifact(part.artifactId);
  const [open, setOpen] = useState(false);
  // Outlives the panel: closing it loses nothing that was written.
  const [draft, setDraft] = useState<Draft | null>(null);
  const title = artifact?.title ?? part.title ?? "Document";
  const kind = artifact?.kind ?? part.kind ?? null;
  const version = artifact?.current ?? part.version;
  return (
    <>
      <button
        type="button"
        aria-haspopup="dialog"
        disabled={artifact === null}
        onClick={() => setOpen(true)}
        data-artifact={part.artifactId}
        className="flex w-full max-w-md items-center gap-3 rounded-xl border border-line bg-raised py-2.5 ps-3.5 pe-3 text-start transition-colors enabled:hover:border-accent-line enabled:hover:bg-accent-soft/60 disabled:opacity-70"
      >
        <FileIcon size={20} className="shrink-0 text-accent" />
        <span className="min-w-0 flex-1">
          <span dir="auto" className="block truncate text-sm font-medium">
            {title}
          </span>
          <span className="flex items-center gap-1.5 text-xs text-faint">
            {artifact === null ? (
              "Not available any more"
            ) : (
              <>
                <span className="min-w-0 truncate">{[nameOf(kind), `version ${version}`].filter(Boolean).join(", ")}</span>
                {/* Spaces for the name that is read out. */ " "}
                {artifact !== undefined && <StatusName status={artifact.status} />}
              </>
            )}
            {draft !== null && <span className="text-warn">unsaved changes</span>}
          </span>
        </span>
        <ChevronIcon size={15} className="shrink-0 text-faint rtl:rotate-180" />
      </button>
      {open && artifact !== null && artifact !== undefined && (
        <ArtifactPanel newest={artifact} draft={draft} onDraft={setDraft} onClose={() => setOpen(false)} />
      )}
    </>
  );
}
