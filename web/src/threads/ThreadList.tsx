// The caller's threads under their headings, page by page, with their own empty and loading states.

import { useGuestAuth, useThreads } from "@spool/client/react";
import { LocalList } from "../local/LocalList";
import { useIsLocal } from "../local/useIsLocal";
import { useNow } from "../time";
import { Button } from "../ui/Button";
import { NearEdge } from "../ui/NearEdge";
import { groupThreads } from "./groups";
import { ThreadRow } from "./ThreadRow";

export function ThreadList({ threadId }: { threadId: string | null }) {
  return useIsLocal() ? <LocalList /> : <KeptThreads threadId={threadId} />;
}

function KeptThreads({ threadId }: { threadId: string | null }) {
  const auth = useGuestAuth();
  const signedIn = auth.status === "signed_in";
  const { threads, more, loadMore } = useThreads(signedIn ? undefined : "skip");
  const now = useNow(30_000);

  if (auth.status === "failed") {
    return (
      <div className="px-2 pt-2 text-sm text-soft">
        <p>{auth.failure.message}</p>
        <Button className="mt-3" onClick={auth.signIn}>
          Try again
        </Button>
      </div>
    );
  }
  if (auth.status === "anonymous" || threads?.length === 0) return <Empty />;
  if (threads === undefined) return <Loading />;
  return (
    <>
      {groupThreads(threads, now).map(({ heading, threads: rows }) => (
        <section key={heading} aria-label={heading} className="pt-4 first:pt-1">
          <h2 className="px-2.5 pb-1.5 text-xs font-medium text-faint">{heading}</h2>
          <ul className="space-y-px">
            {rows.map((thread) => (
              <ThreadRow key={thread._id} thread={thread} current={thread._id === threadId} now={now} />
            ))}
          </ul>
        </section>
      ))}
      {more !== "none" && (
        <NearEdge label="Older threads" loadingLabel="Loading…" loading={more === "loading"} within={240} onReach={loadMore} />
      )}
    </>
  );
}

function Empty() {
  return (
    <div className="px-2.5 pt-3 text-sm text-faint motion-appear">
      <div className="stitched mb-3 h-0.5 w-16" aria-hidden="true" />
      <p className="text-pretty">Your conversations will be listed here, the latest first.</p>
    </div>
  );
}

const WIDTHS = ["72%", "54%", "83%", "61%", "76%", "48%"];

function Loading() {
  return (
    <div className="motion-late px-2.5 pt-3" aria-busy="true">
      <span className="sr-only">Loading threads</span>
      {WIDTHS.map((width) => (
        <div key={width} className="flex h-9 items-center">
          <div className="h-3 rounded-full bg-hover motion-breathe" style={{ width }} />
        </div>
      ))}
    </div>
  );
}
