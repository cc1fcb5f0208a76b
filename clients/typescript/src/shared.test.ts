// SH-02 for readers: what is left out of a shared log changes nothing in what is shown, and a file without
// bytes is a name.

import type { ConvexReactClient } from "convex/react";
import { describe, expect, it } from "vitest";
import type { SharedEvent } from "./api.generated";
import { textOf } from "./fold";
import { followShared, messageOf, type Ticket } from "./shared";

interface Page {
  events: SharedEvent[];
  cursor: number;
}

// Pages by the cursor that they were asked for, as the server cuts them.
class FakeClient {
  readonly pages = new Map<number, Page>();
  readonly asked: unknown[] = [];
  private told = new Map<number, () => void>();

  watchQuery(_: unknown, args: Ticket & { cursor: number }) {
    this.asked.push(args);
    return {
      localQueryResult: () => this.pages.get(args.cursor),
      onUpdate: (told: () => void) => {
        this.told.set(args.cursor, told);
        return () => this.told.delete(args.cursor);
      },
    };
  }

  say(at: number, page: Page): void {
    this.pages.set(at, page);
    this.told.get(at)?.();
  }
}

const text = (words: string): SharedEvent => ({ type: "text", text: words });

describe("a follower of a share", () => {
  it("goes on at the server's cursors, whatever was left out between them", () => {
    const client = new FakeClient();
    const follower = followShared(client as unknown as ConvexReactClient, { token: "t" }, "gen_1");
    follower.subscribe(() => {});
    client.say(0, { events: [], cursor: 900 }); // a thought that is not shown
    client.say(900, { events: [text("Hello ")], cursor: 1206 });
    client.say(1206, { events: [text("wörld")], cursor: 1212 });
    expect(textOf(follower.snapshot.parts)).toBe("Hello wörld");
    expect(client.asked).toEqual([0, 900, 1206, 1212].map((cursor) => ({ token: "t", generationId: "gen_1", cursor })));
    client.say(1212, { events: [{ type: "status", status: "complete" }], cursor: 1213 });
    expect(follower.snapshot.final?.status).toBe("complete");
  });

  it("takes nothing of a page at another cursor: its events do not add up", () => {
    const client = new FakeClient();
    const follower = followShared(client as unknown as ConvexReactClient, { shareId: "shr_1" }, "gen_1");
    client.pages.set(0, { events: [text("one ")], cursor: 400 });
    const stop = follower.subscribe(() => {});
    stop();
    client.pages.set(0, { events: [text("one "), text("two")], cursor: 800 });
    client.pages.set(400, { events: [text("two")], cursor: 800 });
    follower.subscribe(() => {});
    expect(textOf(follower.snapshot.parts)).toBe("one two");
  });
});

describe("a shared message", () => {
  it("keeps the name of a file whose bytes are not shared", () => {
    const file = { type: "file" as const, name: "plan.pdf", mediaType: "application/pdf", size: 3 };
    const row = { seq: 4, role: "user" as const, status: "complete" as const, text: "", createdAt: 5, parts: [file, { ...file, uploadId: "upl_1" }] };
    expect(messageOf(row).parts).toEqual([{ ...file, uploadId: "" }, { ...file, uploadId: "upl_1" }]);
    expect(messageOf(row)._id).not.toBe(messageOf({ ...row, seq: 5 })._id);
  });
});
