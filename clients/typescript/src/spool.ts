// One connection to a Spool server and what belongs to it: the official client, the identity, the outbox. Owns how the three work together, and nothing of their insides.

import { ConvexReactClient } from "convex/react";
import { api } from "./api.generated";
import { Files } from "./files";
import { Account } from "./account";
import { GuestTokens } from "./guest";
import { Outbox, type Courier } from "./outbox";
import { GuestSession } from "./session";

export interface Spool {
  /** Where the server is, without a slash at the end. */
  readonly origin: string;
  readonly client: ConvexReactClient;
  readonly session: GuestSession;
  readonly outbox: Outbox;
  readonly files: Files;
  readonly account: Account;
}

export function createSpool(origin: string): Spool {
  const client = new ConvexReactClient(origin, { logger: false, unsavedChangesWarning: false });
  const account = new Account(origin);
  const tokens = account.isSignedIn ? account : new GuestTokens(origin);
  const session = new GuestSession(client, tokens);
  const outbox = new Outbox(courier(client, session), typeof localStorage === "undefined" ? null : localStorage, account.outboxKey);
  session.resume();
  takeOver(session, outbox);
  return { origin, client, session, outbox, files: new Files(origin, client, session, tokens), account };
}

function courier(client: ConvexReactClient, session: GuestSession): Courier {
  return {
    async createThread(externalId) {
      await session.ensure();
      return client.mutation(api.threads.create, { externalId });
    },
    async send(entry) {
      await session.ensure();
      const { files = [], options = {}, ...said } = entry;
      await client.mutation(api.turns.send, { ...said, ...options, files: files.map(({ uploadId }) => uploadId) });
    },
    idle: (threadId) => idle(client, threadId),
  };
}

function idle(client: ConvexReactClient, threadId: string): Promise<void> {
  return new Promise((resolve) => {
    const watch = client.watchQuery(api.threads.get, { threadId });
    const check = () => {
      const thread = watch.localQueryResult();
      if (thread === undefined || (thread?.activeGenerationId ?? null) !== null) return;
      off();
      resolve();
    };
    const off = watch.onUpdate(check);
    check();
  });
}

// Of all open tabs the one that holds the lock delivers what the last page left behind.
function takeOver(session: GuestSession, outbox: Outbox): void {
  if (session.snapshot.status === "anonymous" || typeof navigator === "undefined" || navigator.locks === undefined) return;
  void navigator.locks.request("spool.outbox", { mode: "exclusive" }, () => {
    outbox.restore();
    return new Promise<void>(() => {});
  });
}
