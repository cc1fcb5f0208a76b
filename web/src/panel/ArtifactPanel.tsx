// An artifact at full length: every version to read and to compare, the newest to change, and the answer where
// somebody waits for one.

import type { ArtifactView } from "@spool/client";
import { useArtifact, useArtifacts, useArtifactText, useThreadApprovals, useTodos, useVersions } from "@spool/client/react";
import { useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import { nameOf, StatusPill } from "../chat/parts/ArtifactName";
import { ArtifactText } from "../chat/parts/ArtifactText";
import { ApprovalForm } from "../chat/parts/ApprovalForm";
import { CheckIcon, CompareIcon, CopyIcon, DownloadIcon, PencilIcon } from "../icons";
import { nearTime } from "../time";
import { Button } from "../ui/Button";
import { IconButton } from "../ui/IconButton";
import { Spinner } from "../ui/Spinner";
import { Picker } from "../ui/Picker";
import { useCopy } from "../ui/useCopy";
import { ArtifactEditor } from "./ArtifactEditor";
import { DiffView } from "./DiffView";
import { fileName } from "./fileName";
import { PanelHead } from "./PanelHead";
import { openPanel, useDraft } from "./store";

interface ArtifactPanelProps {
  threadId: string;
  artifactId: string;
  headingId: string;
}

export function ArtifactPanel({ threadId, artifactId, headingId }: ArtifactPanelProps) {
  const newest = useArtifact(artifactId);
  const others = (useArtifacts(threadId).items?.length ?? 0) > 1;
  const todos = (useTodos(threadId)?.todos.length ?? 0) > 0;
  const onBack = others || todos ? () => openPanel(threadId) : undefined;
  if (newest === undefined || newest === null) {
    return (
      <>
        <PanelHead headingId={headingId} title={newest === null ? "Not here any more" : "Loading…"} onBack={onBack} />
        {newest === null && <p className="px-5 py-5 text-sm text-soft">It was removed, or belongs to a conversation of somebody else.</p>}
      </>
    );
  }
  return <Shown newest={newest} headingId={headingId} onBack={onBack} />;
}

function Shown({ newest, headingId, onBack }: { newest: ArtifactView; headingId: string; onBack: (() => void) | undefined }) {
  const [draft, setDraft] = useDraft(newest._id);
  const [picked, setPicked] = useState<number | null>(null);
  const [comparing, setComparing] = useState(false);
  const [copied, copy] = useCopy();
  const older = useArtifact(picked === null ? "skip" : newest._id, picked ?? undefined);
  const shown = picked === null ? newest : older;
  const version = picked ?? Math.max(1, newest.current);
  const before = useArtifact(comparing && version > 1 ? newest._id : "skip", version - 1);
  const asked = useThreadApprovals(newest.threadId)?.find(({ status, artifactId }) => status === "pending" && artifactId === newest._id);
  const options = useVersionNames(newest);
  const content = useRef<HTMLDivElement>(null);
  // The keys scroll what is read at once; an editor takes the focus by itself.
  useEffect(() => content.current?.focus(), []);
  const reading = draft === null;
  const writing = reading && picked === null ? newest.writing : undefined;
  const growing = useArtifactText(newest._id, writing);
  useFollowedEnd(content, growing);
  const editable = (newest.status === "draft" || newest.status === "approved") && newest.writing === undefined;
  return (
    <>
      <PanelHead
        headingId={headingId}
        title={shown?.title ?? newest.title}
        onBack={onBack}
        note={
          <p className="mt-1 flex min-h-5 flex-wrap items-center gap-x-2 gap-y-1 text-xs text-faint">
            <span>{nameOf(newest.kind)}</span>
            {writing !== undefined ? (
              <span role="status" className="inline-flex items-center gap-1.5 font-medium text-accent">
                <Spinner />
                Version {writing} is being written
              </span>
            ) : shown !== undefined && shown !== null ? (
              <>
                <StatusPill status={shown.status} />
                <span>
                  {shown.author === "user" ? "by you" : "by the assistant"}, {nearTime(shown.createdAt, Date.now())}
                </span>
              </>
            ) : null}
          </p>
        }
      />
      {reading && (
        <div className="flex h-11 shrink-0 items-center gap-0.5 border-b border-line ps-2.5 pe-3">
          <Picker
            label="Version"
            value={String(version)}
            options={options}
            shown={newest.current > 1 ? `Version ${version} of ${newest.current}` : `Version ${version}`}
            className="rounded-lg!"
            onPick={(value) => setPicked(Number(value) === newest.current ? null : Number(value))}
          />
          <span className="flex-1" />
          {newest.current > 1 && (
            <IconButton
              label={comparing ? "Read this version" : "What changed in this version"}
              aria-pressed={comparing}
              disabled={version === 1}
              onClick={() => setComparing(!comparing)}
              className={comparing && version > 1 ? "bg-accent-soft text-accent!" : ""}
            >
              <CompareIcon size={17} />
            </IconButton>
          )}
          <IconButton label={copied ? "Copied" : "Copy"} disabled={shown == null} onClick={() => copy(shown?.content ?? "")}>
            {copied ? <CheckIcon size={17} className="text-ok" /> : <CopyIcon size={17} />}
          </IconButton>
          <IconButton label="Download" disabled={shown == null} onClick={() => shown != null && download(shown)}>
            <DownloadIcon size={17} />
          </IconButton>
          {editable && picked === null && (
            <Button className="ms-1.5 h-8!" onClick={() => setDraft({ text: newest.content, base: newest.current })}>
              <PencilIcon size={15} />
              Edit
            </Button>
          )}
        </div>
      )}
      {reading ? (
        <div ref={content} tabIndex={0} role="region" aria-label="Content" data-quiet-focus className="min-h-0 flex-1 overflow-y-auto px-5 py-5">
          {growing !== undefined ? (
            <ArtifactText kind={newest.kind} content={growing} growing />
          ) : shown == null ? null : comparing && version > 1 ? (
            before == null ? null : <DiffView before={before.content} after={shown.content} label={`What changed in version ${version}`} />
          ) : (
            <ArtifactText key={shown.version} kind={shown.kind} content={shown.content} />
          )}
        </div>
      ) : (
        <ArtifactEditor newest={newest} draft={draft} asked={asked !== undefined && (asked.approversNeeded ?? 1) <= 1} onDraft={setDraft} />
      )}
      {asked !== undefined && (
        <section aria-label="Decide" className="shrink-0 border-t border-warn-line bg-raised">
          <h3 className="bg-warn-soft px-3.5 py-1.5 text-xs font-medium text-warn">
            {version === asked.version || draft !== null ? "This plan waits for your answer" : `Version ${asked.version} waits for your answer`}
          </h3>
          <ApprovalForm approval={asked} bare onDecided={() => content.current?.focus()} />
        </section>
      )}
      {!editable && reading && newest.writing === undefined && (
        <p className="shrink-0 border-t border-line px-5 py-2.5 text-xs text-faint">What is {newest.status} is not changed any more</p>
      )}
    </>
  );
}

// While text is added the end stays in sight, unless the reader has left it.
function useFollowedEnd(box: RefObject<HTMLDivElement | null>, text: string | undefined): void {
  const height = useRef(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || text === undefined) return;
    const wasAtEnd = element.scrollTop + element.clientHeight >= height.current - 48;
    if (wasAtEnd && height.current > 0) element.scrollTop = element.scrollHeight;
    height.current = element.scrollHeight;
  }, [box, text]);
}

// Newest first; of those whose page is not loaded the number alone.
function useVersionNames(newest: ArtifactView): { value: string; label: string }[] {
  const known = new Map(useVersions(newest._id).items?.map((item) => [item.version, item]));
  // Of one whose first version is being written, that one.
  const last = Math.max(1, newest.current);
  return Array.from({ length: last }, (_, at) => {
    const version = last - at;
    const item = known.get(version);
    const said = [
      version === newest.current ? "newest" : null,
      item === undefined ? null : item.author === "user" ? "by you" : "by the assistant",
      item === undefined ? null : nearTime(item.createdAt, Date.now()),
    ].filter((word) => word !== null);
    return { value: String(version), label: `Version ${version}${said.length === 0 ? "" : ` (${said.join(", ")})`}` };
  });
}

function download({ title, kind, content }: ArtifactView): void {
  const address = URL.createObjectURL(new Blob([content], { type: "text/plain;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = fileName(title, kind);
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
