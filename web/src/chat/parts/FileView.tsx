// A file of a message: an image shows itself, any other is a chip to open or save. Only this server's own
// uploads have an address here.

import type { FilePart } from "@spool/client";
import { useFileAddress } from "@spool/client/react";
import { useState } from "react";
import { FileIcon } from "../../icons";
import { sizeOf } from "../../size";

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);

export function isImage(mediaType: string | null | undefined): boolean {
  return IMAGES.has(mediaType ?? "");
}

export function FileView({ file }: { file: FilePart }) {
  const url = useFileAddress(file.uploadId);
  const [broken, setBroken] = useState(false);
  const name = file.name ?? "File";
  if (!isImage(file.mediaType) || url === null || broken) return <FileChip file={file} url={broken ? null : url} />;
  // A fixed height: what is below must not jump when the image arrives.
  return (
    <a
      href={url}
      target="_blank"
      rel="noopener noreferrer"
      title={name}
      data-file={name}
      className="inline-flex h-44 max-w-full min-w-24 overflow-hidden rounded-2xl border border-line bg-sunken transition-colors hover:border-accent-line"
    >
      {url !== undefined && (
        <img src={url} alt={name} onError={() => setBroken(true)} className="h-full w-auto max-w-full object-cover motion-appear" />
      )}
    </a>
  );
}

function FileChip({ file, url }: { file: FilePart; url: string | null | undefined }) {
  const name = file.name ?? "File";
  // A share may show the name of a file and nothing else.
  const nameOnly = file.uploadId === "";
  const content = (
    <>
      <FileIcon size={18} className="shrink-0 text-faint" />
      <span className="min-w-0">
        <span dir="auto" className="block truncate text-sm font-medium">
          {name}
        </span>
        <span className="block text-xs text-faint">{url === null && !nameOnly ? "Not available any more" : detail(file)}</span>
      </span>
    </>
  );
  const look = "inline-flex max-w-full min-w-0 items-center gap-2.5 rounded-xl border border-line bg-raised py-2 ps-3 pe-4 text-start";
  if (url === null || url === undefined) return <span className={`${look} ${url === null && !nameOnly ? "opacity-70" : ""}`}>{content}</span>;
  return (
    <a
      href={url}
      target="_blank"
      rel="noopener noreferrer"
      title={`Open ${name}`}
      data-file={name}
      className={`${look} transition-colors hover:border-accent-line hover:bg-accent-soft/60`}
    >
      {content}
    </a>
  );
}

function detail({ mediaType, size, name }: FilePart): string {
  const ending = /\.([a-z0-9]{1,8})$/i.exec(name ?? "")?.[1];
  const kind = (ending ?? mediaType?.split("/")[1] ?? "file").toUpperCase();
  return size === null || size === undefined ? kind : `${kind}, ${sizeOf(size)}`;
}
