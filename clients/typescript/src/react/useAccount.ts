// Who is here: a guest, or a person with an account, and where else that person is signed in.

import { useAction, useMutation, useQuery } from "convex/react";
import type { FunctionReturnType } from "convex/server";
import { api } from "../api.generated";
import type { Account } from "../account";
import { useSpool } from "./context";
import { useGuestAuth } from "./useGuestAuth";

export type Me = NonNullable<FunctionReturnType<typeof api.users.me>>;
export type SignedInSession = FunctionReturnType<typeof api.sessions.list>[number];

export interface AccountView {
  kind: "guest" | "account";
  /** `undefined` while it is not known, `null` while nobody is signed in. */
  me: Me | null | undefined;
  account: Account;
}

export function useAccount(): AccountView {
  const { session, account } = useSpool();
  const { status } = useGuestAuth();
  const me = useQuery(api.users.me, status === "signed_in" ? {} : "skip");
  return { kind: session.tokens.kind, me: status === "signed_in" ? me : null, account };
}

/** Deletes the account with all it has; `confirm` is its address, or the word `delete`. */
export function useDeleteAccount(): (confirm: string) => Promise<void> {
  const remove = useAction(api.account.deleteMyAccount);
  return (confirm) => remove({ confirm }).then(() => {});
}

/** The caller's sessions, newest first, and how to end them. */
export function useSessions() {
  const sessions: SignedInSession[] | undefined = useQuery(api.sessions.list, {});
  const revoke = useMutation(api.sessions.revoke);
  const revokeOthers = useMutation(api.sessions.revokeOthers);
  return {
    sessions,
    revoke: (sessionId: string) => revoke({ sessionId }).then(() => {}),
    revokeOthers: (sessionId: string) => revokeOthers({ sessionId }).then(() => {}),
  };
}
