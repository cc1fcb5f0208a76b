// The browsers of the caller that are told when something waits, and how to add and to remove one.

import { useMutation, useQuery } from "convex/react";
import { useMemo } from "react";
import { api, type PushSubscribeArgs, type PushView } from "../api.generated";

export interface PushActions {
  subscribe: (subscription: PushSubscribeArgs) => Promise<void>;
  unsubscribe: (subscriptionId: string) => Promise<void>;
}

/** `undefined` while loading or skipped. */
export function usePush(skip?: "skip"): readonly PushView[] | undefined {
  return useQuery(api.push.list, skip === "skip" ? "skip" : {});
}

export function usePushActions(): PushActions {
  const add = useMutation(api.push.subscribe);
  const remove = useMutation(api.push.unsubscribe);
  return useMemo(
    () => ({
      subscribe: async (subscription) => void (await add(subscription)),
      unsubscribe: async (subscriptionId) => void (await remove({ subscriptionId })),
    }),
    [add, remove],
  );
}
