// What the user wrote, and whether it got through.

import { MessagePrimitive } from "@assistant-ui/react";
import type { FilePart, Part } from "@spool/client";
import { useConnectionState } from "@spool/client/react";
import { memo } from "react";
import { AlertIcon } from "../icons";
import { fullTime } from "../time";
import { useChatActions } from "./actions";
import { FileView } from "./parts/FileView";
import { useMessageView } from "./runtime";

export const UserMessage = memo(function UserMessage() {
  const view = useMessageView();
  if (view === undefined) return null;
  return (
    <MessagePrimitive.Root
      data-key={view.key}
      data-role="user"
      data-status={view.status}
      className="flex flex-col items-end pt-6 first:pt-0 motion-settle"
    >
      <h2 className="sr-only">You said</h2>
      <Attached parts={view.parts} />
      {view.text !== "" && (
        <div
          dir="auto"
          title={fullTime(view.createdAt)}
          className={`max-w-[min(86%,36rem)] rounded-[1.25rem] rounded-ee-md bg-accent-soft px-4 py-2.5 text-start leading-relaxed wrap-anywhere whitespace-pre-wrap ${
            view.status === "failed" || view.status === "stopped" ? "opacity-70" : ""
          }`}
        >
          {view.text}
        </div>
      )}
      {(view.status === "sending" || view.status === "queued") && <Pending queued={view.status === "queued"} />}
      {view.status === "stopped" && <p className="mt-1.5 text-xs text-faint">Taken back before it was answered</p>}
      {view.status === "failed" && view.requestId !== null && (
        <NotSent requestId={view.requestId} reason={view.error?.message ?? "The server could not be reached."} />
      )}
    </MessagePrimitive.Root>
  );
});

function Attached({ parts }: { parts: readonly Part[] }) {
  const files = parts.filter((part): part is FilePart => part.type === "file");
  if (files.length === 0) return null;
  return (
    <ul aria-label="Attached files" className="mb-2 flex max-w-[min(86%,36rem)] flex-wrap items-end justify-end gap-2">
      {files.map((file, at) => (
        <li key={at} className="flex max-w-full min-w-0">
          <FileView file={file} />
        </li>
      ))}
    </ul>
  );
}

// Said only when there is something to wait for; a message that is simply on its way is shown as sent.
function Pending({ queued }: { queued: boolean }) {
  const connection = useConnectionState();
  if (connection === "live" && !queued) return null;
  return (
    <p className="mt-1.5 text-xs text-faint motion-late">
      {connection === "live" ? "Goes out after the answer before it" : "Goes out when the connection is back"}
    </p>
  );
}

function NotSent({ requestId, reason }: { requestId: string; reason: string }) {
  const { resend, discard } = useChatActions();
  return (
    <div role="alert" className="mt-2 flex max-w-full flex-wrap items-center justify-end gap-x-3 gap-y-1 text-sm">
      <span className="flex min-w-0 items-center gap-1.5 text-danger">
        <AlertIcon size={15} className="shrink-0" />
        <span className="min-w-0">Not sent. {reason}</span>
      </span>
      <span className="flex gap-3">
        <button type="button" onClick={() => resend(requestId)} className="font-medium text-accent hover:text-accent-strong">
          Try again
        </button>
        <button type="button" onClick={() => discard(requestId)} className="text-soft hover:text-ink">
          Discard
        </button>
      </span>
    </div>
  );
}
