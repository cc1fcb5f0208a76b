// The shares of a thread as its owner sees them, and what can be done with them.

import { useMutation } from "convex/react";
import { useCallback, useMemo } from "react";
import { api, type SharesCreateArgs, type SharesGrantArgs, type ShareView } from "../api.generated";
import { useSpool } from "./context";
import { useFound } from "./useFound";

/** `undefined` while loading, `null` if the thread is missing; newest first. */
export function useShares(threadId: string): readonly ShareView[] | null | undefined {
  return useFound(api.shares.list, { threadId });
}

export interface ShareActions {
  /** Makes a link and resolves with its address. */
  create: (args: SharesCreateArgs) => Promise<string>;
  grant: (args: SharesGrantArgs) => Promise<void>;
  revoke: (shareId: string) => Promise<void>;
  /** The whole address of a link. */
  addressOf: (share: ShareView) => string | null;
}

export function useShareActions(): ShareActions {
  const { client, origin } = useSpool();
  const make = useMutation(api.shares.create);
  const name = useMutation(api.shares.grant);
  const end = useMutation(api.shares.revoke);
  const addressOf = useCallback((share: ShareView) => (share.path === undefined ? null : origin + share.path), [origin]);
  return useMemo(
    () => ({
      create: async (args) => {
        const shareId = await make(args);
        return addressOf(await client.query(api.shares.get, { shareId })) ?? "";
      },
      grant: async (args) => void (await name(args)),
      revoke: async (shareId) => void (await end({ shareId })),
      addressOf,
    }),
    [client, make, name, end, addressOf],
  );
}
