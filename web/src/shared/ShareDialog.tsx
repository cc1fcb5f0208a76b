// Who else can read a thread: links and people, made and ended here. A native modal dialog: it holds the
// focus and hears Escape.

import { readFailure, type Failure } from "@spool/client";
import { useServerInfo, useShareActions, useShares } from "@spool/client/react";
import { useEffect, useId, useRef, useState } from "react";
import { CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { LinkForm } from "./LinkForm";
import { PersonForm } from "./PersonForm";
import { ShareRow } from "./ShareRow";

export function ShareDialog({ threadId, onClose }: { threadId: string; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const info = useServerInfo();
  const shares = useShares(threadId);
  const { addressOf, revoke } = useShareActions();
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
  }, []);
  const attempt = async (step: () => Promise<void>) => {
    setFailure(null);
    await step().catch((error: unknown) => setFailure(readFailure(error)));
  };
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
      className="max-h-[min(44rem,calc(100dvh-2rem))] w-[min(31rem,calc(100vw-1.5rem))] rounded-2xl border border-line bg-raised p-0 text-ink shadow-float backdrop:bg-scrim open:motion-settle"
    >
      <header className="sticky top-0 z-10 flex items-center gap-3 border-b border-line bg-raised py-3 ps-5 pe-3">
        <h2 id={id} className="flex-1 text-base font-semibold tracking-tight">
          Share this conversation
        </h2>
        <IconButton label="Close" onClick={() => dialog.current?.close()}>
          <CloseIcon />
        </IconButton>
      </header>
      <div className="space-y-6 px-5 pt-4 pb-5">
        {info?.shareLinks === false ? (
          <p className="text-sm text-soft">Links are switched off on this server. People with an account here can still be named.</p>
        ) : (
          <LinkForm threadId={threadId} maxDays={info?.shareMaxDays ?? 0} attempt={attempt} />
        )}
        <PersonForm threadId={threadId} attempt={attempt} />
        {failure !== null && (
          <p role="alert" className="text-sm text-danger">
            {failure.message}
          </p>
        )}
        {shares !== undefined && shares !== null && shares.length > 0 && (
          <section aria-label="Who can read this">
            <h3 className="mb-1 text-xs font-medium text-faint">Who can read this</h3>
            <ul className="divide-y divide-line">
              {shares.map((share) => (
                <ShareRow key={share._id} share={share} address={addressOf(share)} onEnd={() => attempt(() => revoke(share._id))} />
              ))}
            </ul>
          </section>
        )}
      </div>
    </dialog>
  );
}
