// What is attached to the message that is being written, each with a way to take it off again.

import { CloseIcon, FileIcon } from "../icons";
import { sizeOf } from "../size";
import type { Attachment, Attachments } from "./attachments";

export function AttachmentTray({ list, fault, uploading, remove }: Attachments) {
  return (
    <>
      {list.length > 0 && (
        <ul aria-label="Attached files" className="flex max-h-48 flex-wrap gap-2 overflow-y-auto px-1 pt-1 pb-2">
          {list.map((entry) => (
            <Item key={entry.key} entry={entry} uploading={uploading} onRemove={() => remove(entry.key)} />
          ))}
        </ul>
      )}
      {fault !== null && (
        <p role="alert" className="px-3 pt-1 pb-2 text-sm wrap-anywhere text-danger">
          {fault}
        </p>
      )}
    </>
  );
}

interface ItemProps {
  entry: Attachment;
  uploading: boolean;
  onRemove: () => void;
}

function Item({ entry: { file, preview, failed }, uploading, onRemove }: ItemProps) {
  const edge = failed ? "border-danger-line bg-danger-soft" : "border-line bg-sunken";
  return (
    <li className={`group/file relative motion-appear ${uploading ? "opacity-60" : ""}`}>
      {preview !== null ? (
        <img src={preview} alt={file.name} title={file.name} className={`size-16 rounded-xl border object-cover ${edge}`} />
      ) : (
        <span title={file.name} className={`flex h-16 max-w-56 items-center gap-2.5 rounded-xl border ps-3 pe-8 ${edge}`}>
          <FileIcon size={18} className="shrink-0 text-faint" />
          <span className="min-w-0">
            <span dir="auto" className="block truncate text-sm font-medium">
              {file.name}
            </span>
            <span className="block text-xs text-faint">{sizeOf(file.size)}</span>
          </span>
        </span>
      )}
      {!uploading && (
        <button
          type="button"
          aria-label={`Remove ${file.name}`}
          title="Remove"
          onClick={onRemove}
          className="absolute end-1 top-1 inline-flex size-6 items-center justify-center rounded-full border border-line bg-raised text-soft shadow-card transition-colors hover:text-ink"
        >
          <CloseIcon size={13} />
        </button>
      )}
    </li>
  );
}
