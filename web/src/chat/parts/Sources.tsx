// Where an answer got its facts from.

import type { Part } from "@spool/client";
import { LinkIcon } from "../../icons";

export type SourcePart = Extract<Part, { type: "source" }>;

export function Sources({ sources }: { sources: readonly SourcePart[] }) {
  return (
    <div>
      <h3 className="mb-2 text-xs font-medium text-faint">{sources.length === 1 ? "Source" : `${sources.length} sources`}</h3>
      <ul className="flex flex-wrap gap-2">
        {sources.map((source, at) => {
          const host = hostOf(source.url);
          const content = (
            <>
              <LinkIcon size={15} className="shrink-0 text-faint" />
              <span dir="auto" className="min-w-0 truncate font-medium">
                {source.title || host || source.url}
              </span>
              {host !== null && <span className="shrink-0 text-xs text-faint">{host}</span>}
            </>
          );
          const look = "flex h-9 max-w-full items-center gap-2 rounded-full border border-line bg-raised ps-3 pe-3.5 text-sm";
          return (
            <li key={at} className="max-w-[min(100%,22rem)]">
              {host === null ? (
                <span className={look}>{content}</span>
              ) : (
                <a
                  href={source.url}
                  title={source.snippet ?? source.url}
                  target="_blank"
                  rel="noopener noreferrer"
                  className={`${look} transition-colors hover:border-accent-line hover:bg-accent-soft/60`}
                >
                  {content}
                </a>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}

// Only web addresses become links.
function hostOf(url: string): string | null {
  try {
    const { protocol, host } = new URL(url);
    return protocol === "https:" || protocol === "http:" ? host.replace(/^www\./, "") : null;
  } catch {
    return null;
  }
}
