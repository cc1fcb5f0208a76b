// Addresses of what others share: a link is `/s/<token>`, a share with the caller `/shared/<id>`.

import type { Ticket } from "@spool/client";

/** What the address of this page opens; `null` for a page of the caller's own. */
export function ticketAt(path: string): Ticket | null {
  const [, kind, secret] = /^\/(s|shared)\/([^/]+)\/?$/.exec(path) ?? [];
  if (secret === undefined) return null;
  return kind === "s" ? { token: secret } : { shareId: secret };
}

export function hrefOfShare(shareId: string): string {
  return `/shared/${encodeURIComponent(shareId)}`;
}
