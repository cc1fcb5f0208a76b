// The files that wait in the composer: chosen, pasted or dropped, checked, and uploaded when the message is
// sent. Nothing leaves the browser before that.

import { readFailure, type FilePart } from "@spool/client";
import { useServerInfo, useSpool } from "@spool/client/react";
import { useCallback, useEffect, useRef, useState } from "react";
import { sizeOf } from "../size";
import { isImage } from "./parts/FileView";

/** The server takes no more in one message. */
const MOST = 50;

export interface Attachment {
  /** Also the name under which the file is uploaded once. */
  key: string;
  file: File;
  /** An image, as the browser shows it. */
  preview: string | null;
  failed: boolean;
}

export interface Attachments {
  list: readonly Attachment[];
  /** What was wrong with the last choice or the last try, in words. */
  fault: string | null;
  uploading: boolean;
  add: (files: Iterable<File>) => void;
  remove: (key: string) => void;
  /** Uploads all and hands them over; on a failure they stay, and `fault` says why. */
  submit: (threadId: string | null, then: (threadId: string, parts: readonly FilePart[]) => void) => Promise<void>;
}

const tooLarge = (file: File, limit: number): string => `${file.name} is too large: a file may have ${sizeOf(limit)}.`;

export function useAttachments(): Attachments {
  const { files } = useSpool();
  const limit = useServerInfo()?.maxUploadBytes ?? Infinity;
  const [list, setList] = useState<readonly Attachment[]>([]);
  const [fault, setFault] = useState<string | null>(null);
  const [uploading, setUploading] = useState(false);
  // A new chat has no thread yet. Under this name it is made once, however often sending is tried.
  const draft = useRef(crypto.randomUUID());
  const now = useRef(list);
  now.current = list;
  useEffect(() => () => now.current.forEach(forget), []);

  // What was chosen before the server had named its limit.
  useEffect(() => {
    const large = now.current.filter(({ file }) => file.size > limit);
    if (large[0] === undefined) return;
    large.forEach(forget);
    setFault(tooLarge(large[0].file, limit));
    setList((before) => before.filter(({ file }) => file.size <= limit));
  }, [limit]);

  const add = useCallback(
    (chosen: Iterable<File>) => {
      const all = [...chosen];
      const fitting = all.filter((file) => file.size <= limit).slice(0, MOST - now.current.length);
      const large = all.find((file) => file.size > limit);
      setFault(
        large !== undefined
          ? tooLarge(large, limit)
          : fitting.length < all.length
            ? `A message takes ${MOST} files.`
            : null,
      );
      setList((before) => [...before, ...fitting.map(attachment)]);
    },
    [limit],
  );
  const remove = useCallback((key: string) => {
    setFault(null);
    setList((before) => {
      before.filter((entry) => entry.key === key).forEach(forget);
      return before.filter((entry) => entry.key !== key);
    });
  }, []);
  const submit = useCallback<Attachments["submit"]>(
    async (threadId, then) => {
      const sent = now.current;
      setUploading(true);
      setFault(null);
      try {
        const thread = threadId ?? (await files.thread(draft.current));
        const results = await Promise.allSettled(sent.map(({ file, key }) => files.upload(thread, file, key)));
        const parts = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
        const refused = results.findIndex(({ status }) => status === "rejected");
        if (refused >= 0) {
          setList((before) => before.map((entry, at) => ({ ...entry, failed: results[at]?.status === "rejected" })));
          const { reason } = results[refused] as PromiseRejectedResult;
          throw new Error(`${sent[refused]?.file.name}: ${wordsOf(reason)}`);
        }
        sent.forEach(forget);
        setList([]);
        draft.current = crypto.randomUUID();
        then(thread, parts);
      } catch (error) {
        setFault(`Not sent. ${error instanceof Error ? error.message : wordsOf(error)}`);
      } finally {
        setUploading(false);
      }
    },
    [files],
  );
  return { list, fault, uploading, add, remove, submit };
}

// A request that did not arrive has only the browser's own words for it.
function wordsOf(error: unknown): string {
  return error instanceof TypeError ? "The server could not be reached." : readFailure(error).message;
}

function attachment(file: File): Attachment {
  return { key: crypto.randomUUID(), file, preview: isImage(file.type) ? URL.createObjectURL(file) : null, failed: false };
}

function forget({ preview }: Attachment): void {
  if (preview !== null) URL.revokeObjectURL(preview);
}

/** Takes files that are dropped anywhere in the window; says whether some are held over it. */
export function useFileDrop(onFiles: (files: Iterable<File>) => void): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    // Entering a child is announced before leaving its parent.
    let depth = 0;
    const holds = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true;
    const on: Partial<Record<string, (event: DragEvent) => void>> = {
      dragenter: () => {
        depth += 1;
        setOver(true);
      },
      dragover: () => {},
      dragleave: () => {
        depth -= 1;
        if (depth <= 0) setOver(false);
      },
      drop: (event) => {
        depth = 0;
        setOver(false);
        onFiles(event.dataTransfer?.files ?? []);
      },
    };
    const listener = (event: Event) => {
      if (!(event instanceof DragEvent) || !holds(event)) return;
      event.preventDefault(); // else the browser leaves for the file
      on[event.type]?.(event);
    };
    const names = Object.keys(on);
    names.forEach((name) => window.addEventListener(name, listener));
    return () => names.forEach((name) => window.removeEventListener(name, listener));
  }, [onFiles]);
  return over;
}
