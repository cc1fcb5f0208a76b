// Threads of other people that the caller may read. Nothing at all where there is none.

import { useGuestAuth, useSharedWithMe } from "@spool/client/react";
import { hrefOfShare } from "../shared/ticket";
import { fullTime } from "../time";

export function SharedWithMe() {
  const auth = useGuestAuth();
  const shared = useSharedWithMe(auth.status === "signed_in" ? undefined : "skip");
  if (shared === undefined || shared.length === 0) return null;
  return (
    <section aria-label="Shared with you" className="pt-4">
      <h2 className="px-2.5 pb-1.5 text-xs font-medium text-faint">Shared with you</h2>
      <ul className="space-y-px">
        {shared.map(({ shareId, title, from, sharedAt }) => (
          <li key={shareId}>
            <a
              href={hrefOfShare(shareId)}
              title={`Shared ${fullTime(sharedAt)}`}
              className="flex h-9 items-center gap-2 rounded-lg px-2.5 text-sm text-ink/85 transition-colors hover:bg-hover/55 hover:text-ink"
            >
              <span dir="auto" className="min-w-0 flex-1 truncate text-start">
                {title}
              </span>
              {from !== undefined && <span className="max-w-24 shrink-0 truncate text-xs text-faint">{from}</span>}
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}
