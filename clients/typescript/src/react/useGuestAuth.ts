// Shows the guest identity: anonymous, signing in, signed in or refused, and a way to ask for one.

import { useSyncExternalStore } from "react";
import type { GuestState } from "../session";
import { useSpool } from "./context";

export type GuestAuth = GuestState & { signIn: () => void };

export function useGuestAuth(): GuestAuth {
  const { session } = useSpool();
  const state = useSyncExternalStore(session.subscribe, () => session.snapshot);
  return { ...state, signIn: session.signIn };
}
