// What the panel shows: one document, or all there is in a conversation.

import { ArtifactPanel } from "./ArtifactPanel";
import { Overview } from "./Overview";
import type { PanelView } from "./store";

export default function Panel({ view, headingId }: { view: PanelView; headingId: string }) {
  return view.artifactId === null ? (
    <Overview threadId={view.threadId} headingId={headingId} />
  ) : (
    <ArtifactPanel key={view.artifactId} threadId={view.threadId} artifactId={view.artifactId} headingId={headingId} />
  );
}
