// The frame: thread list at the side (a drawer on small screens), the conversation beside it.

import { useGuestAuth, useThread } from "@spool/client/react";
import { lazy, Suspense, useCallback, useEffect, useState } from "react";
import { useSignIn } from "./account/useSignIn";
import { Chat } from "./chat/Chat";
import { LocalChat } from "./local/LocalChat";
import { useHandOver } from "./local/useHandOver";
import { useIsLocal } from "./local/useIsLocal";
import { SidePanel } from "./panel/SidePanel";
import { go, useRoute } from "./route";
import { Fallback } from "./status/Fallback";
import { Header } from "./status/Header";
import { Sidebar } from "./threads/Sidebar";

const Inbox = lazy(() => import("./inbox/Inbox"));

export function App() {
  const { page, threadId, pane } = useRoute();
  const inbox = page === "inbox";
  const [drawer, setDrawer] = useState(false);
  const auth = useGuestAuth();
  useSignIn();
  const thread = useThread(threadId !== null && auth.status === "signed_in" ? threadId : "skip");
  const title = thread?.title ?? null;
  const local = useIsLocal();
  useHandOver();

  useEffect(() => {
    const name = inbox ? "Inbox" : title;
    document.title = name === null || name === "" ? "Spool" : `${name} · Spool`;
  }, [inbox, title]);
  useEffect(() => setDrawer(false), [pane, threadId]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.shiftKey && event.key.toLowerCase() === "o") {
        event.preventDefault();
        go(null);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  const openDrawer = useCallback(() => setDrawer(true), []);
  const closeDrawer = useCallback(() => setDrawer(false), []);
  return (
    <div className="flex h-full overflow-hidden">
      <a
        href="#composer"
        className="sr-only z-50 rounded-lg bg-raised px-3 py-2 text-sm shadow-float focus:not-sr-only focus:fixed focus:top-3 focus:left-3"
      >
        Skip to the message box
      </a>
      <Sidebar threadId={threadId} isNew={!inbox && threadId === null} open={drawer} onClose={closeDrawer} />
      <main className="relative flex min-w-0 flex-1 flex-col bg-page">
        <Header
          title={inbox ? "Inbox" : threadId === null ? null : title}
          inbox={inbox}
          threadId={thread?._id ?? null}
          model={thread?.model ?? null}
          onMenu={openDrawer}
        />
        <Fallback key={pane}>
          {inbox ? (
            <Suspense fallback={<div className="flex-1" aria-busy="true" />}>
              <Inbox />
            </Suspense>
          ) : local ? (
            <LocalChat />
          ) : (
            <Chat key={pane} threadId={threadId} />
          )}
        </Fallback>
      </main>
      <SidePanel of={inbox ? "any" : threadId} />
    </div>
  );
}
