// CL-07 and CL-10 for followers: each generation keeps its own text however often the reader switches, and
// nobody looking means no subscription.

import type { ConvexReactClient } from "convex/react";
import { describe, expect, it, vi } from "vitest";
import type { LogEvent } from "./documents";
import { textOf, units } from "./fold";
import { liveGeneration } from "./live";
import { cut, rng } from "./testing/histories";

// The part of the official client that a follower uses, over logs that the test appends to.
class FakeClient {
  readonly logs = new Map<string, LogEvent[]>();
  private watches = new Set<{ generationId: string; cursor: number; told: () => void }>();

  get subscriptions(): number {
    return this.watches.size;
  }

  watchQuery(_: unknown, { generationId, cursor }: { generationId: string; cursor: number }) {
    return {
      localQueryResult: () => {
        const log = this.logs.get(generationId);
        if (log === undefined) return undefined;
        const end = log.reduce((sum, event) => sum + units(event), 0);
        return { events: cut(log, cursor, end), cursor: end, status: "streaming" };
      },
      onUpdate: (told: () => void) => {
        const watch = { generationId, cursor, told };
        this.watches.add(watch);
        return () => this.watches.delete(watch);
      },
    };
  }

  append(generationId: string, event: LogEvent): void {
    this.logs.set(generationId, [...(this.logs.get(generationId) ?? []), event]);
    for (const watch of [...this.watches]) if (watch.generationId === generationId) watch.told();
  }
}

const follower = (client: FakeClient, id: string) => liveGeneration(client as unknown as ConvexReactClient, id);

describe("a follower", () => {
  it("goes on from where it was after nobody looked", () => {
    const client = new FakeClient();
    const stop = follower(client, "gen_1").subscribe(() => {});
    client.append("gen_1", { type: "text", text: "one " });
    stop();
    expect(client.subscriptions).toBe(0);
    client.append("gen_1", { type: "text", text: "two" });
    expect(textOf(follower(client, "gen_1").snapshot.parts)).toBe("one ");
    follower(client, "gen_1").subscribe(() => {});
    expect(textOf(follower(client, "gen_1").snapshot.parts)).toBe("one two");
  });

  it("stops by itself at the end of the log", () => {
    const client = new FakeClient();
    follower(client, "gen_1").subscribe(() => {});
    client.append("gen_1", { type: "text", text: "done" });
    expect(client.subscriptions).toBe(1);
    client.append("gen_1", { type: "status", status: "complete" });
    expect(client.subscriptions).toBe(0);
    expect(follower(client, "gen_1").snapshot.final?.status).toBe("complete");
  });

  it("tells its listeners once for many tokens", async () => {
    vi.useFakeTimers();
    const client = new FakeClient();
    const told = vi.fn();
    follower(client, "gen_1").subscribe(told);
    for (let at = 0; at < 50; at += 1) client.append("gen_1", { type: "text", text: "x" });
    expect(told).not.toHaveBeenCalled();
    await vi.runAllTimersAsync();
    expect(told).toHaveBeenCalledTimes(1);
    vi.useRealTimers();
  });

  it("mixes nothing up over 1,000 switches, and leaves no subscription behind", () => {
    const random = rng(7);
    const client = new FakeClient();
    const written = new Map([["gen_1", ""], ["gen_2", ""]]);
    let looking = "gen_1";
    let stop = follower(client, looking).subscribe(() => {});
    for (let step = 0; step < 1000; step += 1) {
      const id = random() < 0.5 ? "gen_1" : "gen_2";
      const text = `${id}:${step} `;
      written.set(id, written.get(id) + text);
      client.append(id, { type: "text", text });
      if (random() < 0.6) {
        stop();
        looking = looking === "gen_1" ? "gen_2" : "gen_1";
        stop = follower(client, looking).subscribe(() => {});
      }
      expect(client.subscriptions).toBe(1);
      expect(textOf(follower(client, looking).snapshot.parts)).toBe(written.get(looking));
    }
    stop();
    expect(client.subscriptions).toBe(0);
  });
});
