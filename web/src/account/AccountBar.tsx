// Who is here, at the foot of the thread list: a guest with a way to sign in, or a person with a menu.

import { useAccount, useServerInfo } from "@spool/client/react";
import { useState } from "react";
import { LeaveIcon, MoreIcon, PersonIcon } from "../icons";
import { Menu } from "../ui/Menu";
import { AccountDialog } from "./AccountDialog";

export function AccountBar() {
  const info = useServerInfo();
  const { kind, me, account } = useAccount();
  const [open, setOpen] = useState(false);
  const [failed, setFailed] = useState(false);
  const signOut = () => {
    account.signOut().then(
      () => window.location.assign("/"),
      () => setFailed(true),
    );
  };
  if (kind === "guest") {
    if (info?.signIn !== true) return null;
    return (
      <Row initial={null} name="Guest">
        <a
          href="/sign-in"
          className="inline-flex h-8 items-center rounded-lg px-2.5 text-sm font-medium text-accent transition-colors hover:bg-hover"
        >
          Sign in
        </a>
      </Row>
    );
  }
  const name = me?.name ?? me?.email ?? "";
  return (
    <Row initial={name.slice(0, 1)} name={name} note={failed ? "Signing out failed; try again." : me?.isAdmin === true ? "Administrator" : null}>
      <Menu
        label="Account"
        icon={<MoreIcon />}
        items={[
          { label: "Account and devices", icon: <PersonIcon size={16} />, onSelect: () => setOpen(true) },
          { label: "Sign out", icon: <LeaveIcon size={16} />, onSelect: signOut },
        ]}
      />
      {open && me != null && <AccountDialog me={me} account={account} onClose={() => setOpen(false)} />}
    </Row>
  );
}

interface RowProps {
  initial: string | null;
  name: string;
  note?: string | null;
  children: React.ReactNode;
}

function Row({ initial, name, note = null, children }: RowProps) {
  return (
    <section aria-label="You" className="flex h-13 shrink-0 items-center gap-2.5 border-t border-line ps-4 pe-3">
      <span
        aria-hidden="true"
        className="inline-flex size-7.5 shrink-0 items-center justify-center rounded-full bg-accent-soft text-sm font-semibold text-accent uppercase"
      >
        {initial === null || initial === "" ? <PersonIcon size={16} /> : initial}
      </span>
      <span className="min-w-0 flex-1 leading-tight">
        <span dir="auto" className="block truncate text-sm font-medium">
          {name}
        </span>
        {note !== null && <span className="block text-xs text-faint">{note}</span>}
      </span>
      {children}
    </section>
  );
}
