// How this server lets people in, and the way to the sign-in page for whoever is not let in.

import type { SignInMethods } from "@spool/client";
import { useAccount, useGuestAuth } from "@spool/client/react";
import { useEffect, useState } from "react";

/** The ways to sign in; `null` while they are not known. Leaves for the sign-in page where nothing else is left. */
export function useSignIn(): SignInMethods | null {
  const { kind, account } = useAccount();
  const { status } = useGuestAuth();
  const [methods, setMethods] = useState<SignInMethods | null>(null);
  useEffect(() => {
    account.methods().then(setMethods, () => {});
  }, [account]);

  const ended = kind === "account" && status === "failed" && !account.isSignedIn && !account.isLeaving;
  const possible = methods !== null && (methods.password || methods.providers.length > 0);
  const closed = kind === "guest" && possible && methods.guest === "off";
  useEffect(() => {
    if (!ended && !closed) return;
    const next = encodeURIComponent(window.location.pathname);
    window.location.replace(`/sign-in?next=${next}${ended ? "&ended=1" : ""}`);
  }, [ended, closed]);
  return methods;
}
