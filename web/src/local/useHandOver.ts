// Gives the drafts of this browser to the account that has signed in here.

import { api } from "@spool/client";
import { useAccount, useSpool } from "@spool/client/react";
import { useEffect } from "react";
import { drafts, useDrafts } from "./useDrafts";

export function useHandOver(): void {
  const { client } = useSpool();
  const { kind, me } = useAccount();
  const waiting = useDrafts().length > 0;
  const ready = kind === "account" && me != null && waiting;
  useEffect(() => {
    if (!ready) return;
    const account = {
      createThread: (externalId: string) => client.mutation(api.threads.create, { externalId }),
      keep: async (message: { threadId: string; text: string; requestId: string }) => {
        await client.mutation(api.messages.append, { ...message, role: "user" });
      },
    };
    // What did not arrive stays here, and goes with the next visit.
    drafts.handOver(account).catch(() => {});
  }, [client, ready]);
}
