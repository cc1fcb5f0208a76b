// The account: who it is, where it is signed in, what assistants know and may, its password and its end.

import type { Account } from "@spool/client";
import { useSessions, type Me } from "@spool/client/react";
import { lazy, Suspense, useId } from "react";
import { CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { Modal } from "../ui/Modal";
import { DeleteAccount } from "./DeleteAccount";
import { PasswordForm } from "./PasswordForm";
import { Section } from "./Section";
import { SessionList } from "./SessionList";

const Memory = lazy(() => import("./Memory"));
const Rules = lazy(() => import("./Rules"));

interface AccountDialogProps {
  me: Me;
  account: Account;
  onClose: () => void;
}

export function AccountDialog({ me, account, onClose }: AccountDialogProps) {
  const id = useId();
  const sessions = useSessions();
  const here = sessions.sessions?.find(({ _id }) => _id === account.sessionId);
  const facts = [me.name === undefined ? undefined : me.email, me.isAdmin === true ? "Administrator" : undefined].filter((fact) => fact !== undefined);
  return (
    <Modal labelledBy={id} className="max-h-[min(44rem,calc(100dvh-2.5rem))] w-[min(33rem,calc(100vw-2rem))] flex-col overflow-hidden open:flex" onClose={onClose}>
      {(close) => (
        <>
          <header className="flex items-center gap-3 border-b border-line px-6 py-4">
            <div className="min-w-0 flex-1">
              <h2 id={id} dir="auto" className="truncate text-lg leading-snug font-semibold tracking-tight">
                {me.name ?? me.email ?? "Your account"}
              </h2>
              {facts.length > 0 && <p className="truncate text-sm text-soft">{facts.join(" · ")}</p>}
            </div>
            <IconButton label="Close" className="-me-2" onClick={close}>
              <CloseIcon size={20} />
            </IconButton>
          </header>
          <div data-scroll className="min-h-0 space-y-8 overflow-y-auto px-6 py-5">
            <Section title="Where you are signed in">
              <SessionList {...sessions} here={account.sessionId} />
            </Section>
            {here?.method === "password" && (
              <Section title="Password">
                <PasswordForm account={account} email={me.email ?? ""} />
              </Section>
            )}
            <Suspense>
              <Memory />
              <Rules />
            </Suspense>
            <Section title="Delete account">
              <DeleteAccount account={account} email={me.email} />
            </Section>
          </div>
        </>
      )}
    </Modal>
  );
}
