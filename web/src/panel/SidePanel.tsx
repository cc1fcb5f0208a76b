// The frame of the panel: a column beside the conversation where there is room, else the whole screen. What it
// shows is loaded when it is first opened.

import { lazy, Suspense, useEffect, useId, useRef, type ReactNode } from "react";
import { useMedia } from "../ui/useMedia";
import { closePanel, usePanel } from "./store";

const Panel = lazy(() => import("./Panel"));

/** Beside it the conversation keeps the width of a phone, and the thread list its place. */
const ROOM = "(min-width: 68rem)";

export function SidePanel({ of }: { of: string | null | "any" }) {
  const view = usePanel(of);
  const beside = useMedia(ROOM);
  const id = useId();
  if (view === null) return null;
  const Frame = beside ? Column : Sheet;
  return (
    <Frame key={view.threadId} labelledBy={id}>
      <Suspense fallback={<div className="h-full" aria-busy="true" />}>
        <Panel view={view} headingId={id} />
      </Suspense>
    </Frame>
  );
}

interface FrameProps {
  labelledBy: string;
  children: ReactNode;
}

function Column({ labelledBy, children }: FrameProps) {
  return (
    <aside
      aria-labelledby={labelledBy}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        event.stopPropagation();
        closePanel();
      }}
      className="flex w-[clamp(24rem,40vw,46rem)] shrink-0 flex-col border-s border-line bg-page motion-appear"
    >
      {children}
    </aside>
  );
}

function Sheet({ labelledBy, children }: FrameProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={labelledBy}
      onClose={closePanel}
      className="m-0 h-dvh max-h-none w-screen max-w-none flex-col border-0 bg-page p-0 text-ink open:flex open:motion-appear"
    >
      {children}
    </dialog>
  );
}
