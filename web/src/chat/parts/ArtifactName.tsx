// What an artifact is called: its kind, and the state of a version.

import type { ArtifactStatus } from "@spool/client";

const TONES: Record<ArtifactStatus, string> = {
  draft: "border-line text-soft",
  approved: "border-[color-mix(in_oklch,var(--ok)_35%,transparent)] text-ok",
  rejected: "border-danger-line text-danger",
  superseded: "border-line text-faint",
  archived: "border-line text-faint",
};

export function StatusPill({ status }: { status: ArtifactStatus }) {
  return <span className={`inline-flex h-5 shrink-0 items-center rounded-full border px-2 text-2xs font-medium ${TONES[status]}`}>{status}</span>;
}

const SHORT = new Set(["json", "yaml", "toml", "csv", "sql", "html", "svg"]);

/** A kind is a name for programs. */
export function nameOf(kind: string | null): string {
  const words = (kind ?? "").replaceAll(/[_-]+/g, " ").trim();
  return SHORT.has(words) ? words.toUpperCase() : words.charAt(0).toUpperCase() + words.slice(1);
}
