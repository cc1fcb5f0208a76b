// Who else can read a thread: links and people, made and ended here.

import { readFailure, type Failure } from "@spool/client";
import { useServerInfo, useShareActions, useShares } from "@spool/client/react";
import { useId, useState } from "react";
import { CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { Modal } from "../ui/Modal";
import { LinkForm } from "./LinkForm";
import { PersonForm } from "./PersonForm";
import { ShareRow } from "./ShareRow";

export function ShareDialog({ threadId, onClose }: { threadId: string; onClose: () => void }) {
  const id = useId();
  const info = useServerInfo();
  const shares = useShares(threadId);
  const { addressOf, revoke } = useShareActions();
  const [failure, setFailure] = useState<Failure | null>(null);
  const attempt = async (step: () => Promise<void>) => {
    setFailure(null);
    await step().catch((error: unknown) => setFailure(readFailure(error)));
  };
  return (
    <Modal labelledBy={id} className="max-h-[min(44rem,calc(100dvh-2rem))] w-[min(31rem,calc(100vw-1.5rem))]" onClose={onClose}>
      {(close) => (
        <>
          <header className="sticky top-0 z-10 flex items-center gap-3 border-b border-line bg-raised py-3 ps-5 pe-3">
            <h2 id={id} className="flex-1 text-base font-semibold tracking-tight">
              Share this conversation
            </h2>
            <IconButton label="Close" onClick={close}>
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
        </>
      )}
    </Modal>
  );
}
