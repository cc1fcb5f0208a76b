// What an artifact is called: its kind, and the state of a version.

import type { ArtifactStatus } from "@spool/client";

const TONES: Record<ArtifactStatus, string> = {
  draft: "text-soft",
  approved: "text-ok",
  rejected: "text-danger",
  superseded: "text-faint",
  archived: "text-faint",
};

export function StatusName({ status }: { status: ArtifactStatus }) {
  return <span className={`shrink-0 font-medium ${TONES[status]}`}>{status}</span>;
}

/** A kind is a name for programs. */
export function nameOf(kind: string | null): string {
  const words = (kind ?? "").replaceAll(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
