// The text of a version while it is written: it grows as its writer goes on, and each piece is asked for once.

import { useQuery } from "convex/react";
import { useState } from "react";
import { api } from "../api.generated";

interface Read {
  of: string;
  text: string;
  cursor: number;
}

/** `undefined` until the first piece is here, or without a version that is being written. */
export function useArtifactText(artifactId: string, version: number | undefined): string | undefined {
  const of = `${artifactId} ${version ?? ""}`;
  const [read, setRead] = useState<Read>({ of, text: "", cursor: 0 });
  const current = read.of === of ? read : { of, text: "", cursor: 0 };
  // It is the answer to exactly this cursor, or nothing yet.
  const page = useQuery(api.artifacts.deltas, version === undefined ? "skip" : { artifactId, version, cursor: current.cursor });
  if (page !== undefined && page.cursor > current.cursor) setRead({ of, text: current.text + page.text, cursor: page.cursor });
  return version === undefined || current.cursor === 0 ? undefined : current.text;
}
