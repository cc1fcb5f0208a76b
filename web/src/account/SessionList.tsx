// The devices of a person: which is this one, when each was last used, and how to sign it out.

import { readFailure } from "@spool/client";
import type { SignedInSession } from "@spool/client/react";
import { useState } from "react";
import { useNow } from "../time";
import { Button } from "../ui/Button";
import { deviceOf } from "./device";
import { lastUse } from "./lastUse";

interface SessionListProps {
  sessions: SignedInSession[] | undefined;
  /** The session of this browser. */
  here: string | null;
  revoke: (sessionId: string) => Promise<void>;
  revokeOthers: (sessionId: string) => Promise<void>;
}

export function SessionList({ sessions, here, revoke, revokeOthers }: SessionListProps) {
  const now = useNow(30_000);
  const [refusal, setRefusal] = useState<string | null>(null);
  const attempt = (work: Promise<void>) => {
    setRefusal(null);
    work.catch((error: unknown) => setRefusal(readFailure(error).message));
  };
  if (sessions === undefined) return <p className="text-sm text-faint">Loading…</p>;
  const shown = sessions.toSorted((a, b) => Number(b._id === here) - Number(a._id === here));
  return (
    <>
      <ul className="divide-y divide-line rounded-xl border border-line">
        {shown.map((session) => {
          const own = session._id === here;
          const device = deviceOf(session.userAgent);
          const used = lastUse(session.lastUsedAt ?? session.createdAt, now);
          return (
            <li key={session._id} className="flex items-center gap-3 px-4 py-3">
              <div className="min-w-0 flex-1">
                <p className="truncate text-sm font-medium">{device}</p>
                <p className="truncate text-xs text-faint">
                  {own ? "This device" : `Last used ${used}`}
                  {session.address !== undefined && ` · ${session.address}`}
                </p>
              </div>
              {own ? (
                <span className="rounded-full bg-accent-soft px-2.5 py-0.5 text-xs font-medium text-accent">Here</span>
              ) : (
                <Button aria-label={`Sign out ${device}`} className="h-8" onClick={() => attempt(revoke(session._id))}>
                  Sign out
                </Button>
              )}
            </li>
          );
        })}
      </ul>
      {refusal !== null && (
        <p role="alert" className="mt-2 text-sm text-danger">
          {refusal}
        </p>
      )}
      {here !== null && shown.length > 1 && (
        <Button className="mt-3" onClick={() => attempt(revokeOthers(here))}>
          Sign out everywhere else
        </Button>
      )}
    </>
  );
}
