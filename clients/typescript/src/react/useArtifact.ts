// A document of a thread, live, and changes to it. A change names the version that its writer saw; if there is
// a newer one it throws `history_conflict` and changes nothing.

import { useMutation } from "convex/react";
import { useCallback } from "react";
import { api, type ArtifactsUpdateArgs, type ArtifactView } from "../api.generated";
import { useFound } from "./useFound";

/** `undefined` while loading or skipped, `null` if it is missing or someone else's. Without a version, the newest. */
export function useArtifact(artifactId: string | "skip", version?: number): ArtifactView | null | undefined {
  return useFound(api.artifacts.get, artifactId === "skip" ? "skip" : { artifactId, version });
}

export function useUpdateArtifact(): (change: ArtifactsUpdateArgs) => Promise<void> {
  const update = useMutation(api.artifacts.update);
  return useCallback(async (change) => void (await update(change)), [update]);
}
