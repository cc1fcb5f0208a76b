// A thread that somebody shares, in the shapes that a thread of one's own has. No React.
//
// A share leaves out what is not its reader's business: ids, models, causes of failures, and every kind of
// part that is not on the server's list. What is missing is empty here.

import type { ConvexReactClient } from "convex/react";
import { api, type SharedEvent, type SharedMessage, type SharedPart } from "./api.generated";
import type { LogEvent, Message, Part } from "./documents";
import { follower, type LiveGeneration } from "./live";

/** What lets its holder read: the token of a link, or the id of a share with the caller. */
export type Ticket = { token: string } | { shareId: string };

/** The same message with a name of its own in place of its id. */
export function messageOf(shared: SharedMessage): Message {
  return {
    _id: `shared:${shared.seq}`,
    _creationTime: shared.createdAt,
    threadId: "",
    seq: shared.seq,
    role: shared.role,
    status: shared.status,
    parts: shared.parts.map(partOf),
    text: shared.text,
    origin: "import",
    createdAt: shared.createdAt,
    ...(shared.generationId === undefined ? {} : { generationId: shared.generationId }),
  };
}

// A file whose bytes are not shared is a name without an id.
function partOf(part: SharedPart): Part {
  return part.type === "file" ? { ...part, uploadId: part.uploadId ?? "" } : part;
}

function eventOf(event: SharedEvent): LogEvent {
  return event.type === "file" ? { ...event, uploadId: "" } : event;
}

/** The follower of a running answer through a share. */
export function followShared(client: ConvexReactClient, ticket: Ticket, generationId: string): LiveGeneration {
  return follower(client, `${JSON.stringify(ticket)} ${generationId}`, {
    sparse: true,
    watch: (cursor) => {
      const watch = client.watchQuery(api.shares.deltas, { ...ticket, generationId, cursor });
      const read = () => {
        const result = watch.localQueryResult();
        return result === undefined ? undefined : { events: result.events.map(eventOf), cursor: result.cursor };
      };
      return { onUpdate: (callback) => watch.onUpdate(callback), localQueryResult: read };
    },
  });
}
