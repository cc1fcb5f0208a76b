// The browsers of the caller that are told when something waits, and how to add and to remove one.

import { useMutation, useQuery } from "convex/react";
import { makeFunctionReference } from "convex/server";
import { useMemo } from "react";

export interface PushView {
  _id: string;
  endpoint: string;
}
const list = makeFunctionReference<"query", Record<string, never>, PushView[]>("push:list");
const subscribe = makeFunctionReference<"mutation", { endpoint: string; keys: { p256dh: string; auth: string } }, string>("push:subscribe");
const unsubscribe = makeFunctionReference<"mutation", { subscriptionId: string }, null>("push:unsubscribe");

export interface PushActions {
  subscribe: (subscription: { endpoint: string; keys: { p256dh: string; auth: string } }) => Promise<void>;
  unsubscribe: (subscriptionId: string) => Promise<void>;
}

/** `undefined` while loading or skipped. */
export function usePush(skip?: "skip"): readonly PushView[] | undefined {
  return useQuery(list, skip === "skip" ? "skip" : {});
}

export function usePushActions(): PushActions {
  const add = useMutation(subscribe);
  const remove = useMutation(unsubscribe);
  return useMemo(
    () => ({
      subscribe: async (subscription) => void (await add(subscription)),
      unsubscribe: async (subscriptionId) => void (await remove({ subscriptionId })),
    }),
    [add, remove],
  );
}
