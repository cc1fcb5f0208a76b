// CL-01 and CL-02 for delivery: in order, one at a time, once per request id, kept over a reload.

import { describe, expect, it, vi } from "vitest";
import { FailureError } from "./errors";
import { Outbox, type Courier, type OutboxStorage } from "./outbox";

class MapStorage implements OutboxStorage {
  private readonly values = new Map<string, string>();
  getItem = (key: string) => this.values.get(key) ?? null;
  setItem = (key: string, value: string) => void this.values.set(key, value);
  removeItem = (key: string) => void this.values.delete(key);
}

function courier(overrides: Partial<Courier> = {}): Courier & { sent: string[] } {
  const sent: string[] = [];
  return {
    sent,
    createThread: async () => "thr_new",
    send: async ({ requestId }) => void sent.push(requestId),
    idle: async () => {},
    ...overrides,
  };
}

const never = () => new Promise<never>(() => {});
const failing = (code: string) => () => Promise.reject(new FailureError({ code, message: code, retryable: true }));

describe("an outbox", () => {
  it("makes the thread with the first message, and says which", async () => {
    const post = courier();
    const outbox = new Outbox(post, null);
    const onThread = vi.fn();
    const requestId = outbox.add(null, "hi", onThread);
    await vi.waitFor(() => expect(outbox.snapshot[0]?.state).toBe("sent"));
    expect(onThread).toHaveBeenCalledWith("thr_new");
    expect(post.sent).toEqual([requestId]);
  });

  it("delivers in order, one at a time", async () => {
    let running = 0;
    const order: string[] = [];
    const outbox = new Outbox(
      courier({
        send: async ({ text }) => {
          running += 1;
          expect(running).toBe(1);
          await Promise.resolve();
          order.push(text);
          running -= 1;
        },
      }),
      null,
    );
    for (const text of ["one", "two", "three"]) outbox.add("thr_1", text);
    await vi.waitFor(() => expect(order).toEqual(["one", "two", "three"]));
  });

  it("waits out a busy thread", async () => {
    let busy = true;
    const post = courier({
      send: async () => {
        if (busy) await failing("thread_busy")();
      },
      idle: async () => {
        busy = false;
      },
    });
    const outbox = new Outbox(post, null);
    outbox.add("thr_1", "hi");
    await vi.waitFor(() => expect(outbox.snapshot[0]?.state).toBe("sent"));
  });

  it("marks what the server refused, and tries it again under the same request id", async () => {
    const requests: string[] = [];
    let refuse = true;
    const outbox = new Outbox(
      courier({
        send: async ({ requestId }) => {
          requests.push(requestId);
          if (refuse) await failing("overloaded")();
        },
      }),
      null,
    );
    const requestId = outbox.add("thr_1", "hi");
    await vi.waitFor(() => expect(outbox.snapshot[0]?.state).toBe("failed"));
    expect(outbox.snapshot[0]?.error?.code).toBe("overloaded");
    refuse = false;
    outbox.retry(requestId);
    await vi.waitFor(() => expect(outbox.snapshot[0]?.state).toBe("sent"));
    expect(requests).toEqual([requestId, requestId]);
  });

  it("delivers after a reload what was made offline, in order and under the same request ids", async () => {
    const storage = new MapStorage();
    const before = new Outbox(courier({ send: never }), storage);
    const made = ["one", "two", "three"].map((text) => before.add("thr_1", text));
    const post = courier();
    const after = new Outbox(post, storage);
    after.restore();
    await vi.waitFor(() => expect(post.sent).toEqual(made));
    after.forget(new Set(made));
    expect(after.snapshot).toEqual([]);
    expect(storage.getItem("spool.outbox")).toBeNull();
  });

  it("asks before it makes a thread for a message of an earlier page", () => {
    const storage = new MapStorage();
    new Outbox(courier({ createThread: never }), storage).add(null, "hi");
    const after = new Outbox(courier(), storage);
    after.restore();
    expect(after.snapshot[0]?.state).toBe("failed");
  });
});
