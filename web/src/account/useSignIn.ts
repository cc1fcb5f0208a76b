// The way to the sign-in page for whoever is not let in: the session ended, or guests are not taken.

import { useAccount, useGuestAuth, useServerInfo } from "@spool/client/react";
import { useEffect } from "react";

export function useSignIn(): void {
  const { kind, account } = useAccount();
  const { status } = useGuestAuth();
  const info = useServerInfo();
  const ended = kind === "account" && status === "failed" && !account.isSignedIn && !account.isLeaving;
  const closed = kind === "guest" && info?.signIn === true && info.guests === "off";
  useEffect(() => {
    if (!ended && !closed) return;
    const next = encodeURIComponent(window.location.pathname);
    window.location.replace(`/sign-in?next=${next}${ended ? "&ended=1" : ""}`);
  }, [ended, closed]);
}
