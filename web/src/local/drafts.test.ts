// GU-01: drafts stay in the browser, and reach an account once.

import { describe, expect, it } from "vitest";
import { Drafts, draftTitle, STORAGE_KEY, type Account, type DraftStorage } from "./drafts";

class MapStorage implements DraftStorage {
  readonly values = new Map<string, string>();
  getItem = (key: string) => this.values.get(key) ?? null;
  setItem = (key: string, value: string) => void this.values.set(key, value);
}

function account(failAt = Infinity): Account & { kept: string[] } {
  const kept: string[] = [];
  let calls = 0;
  const count = () => {
    calls += 1;
    if (calls === failAt) throw new Error("offline");
  };
  return {
    kept,
    createThread: async (externalId) => (count(), `thread of ${externalId}`),
    keep: async ({ threadId, text, requestId }) => (count(), void kept.push(`${threadId}/${requestId}/${text}`)),
  };
}

describe("drafts", () => {
  it("outlive the page, the one written to last first", () => {
    const storage = new MapStorage();
    const drafts = new Drafts(storage);
    const first = drafts.write(null, "one\nmore");
    const second = drafts.write(null, "two");
    expect(drafts.write(first, "three")).toBe(first);
    const again = new Drafts(storage).snapshot;
    expect(again.map(({ id }) => id)).toEqual([first, second]);
    expect(again[0]?.messages.map(({ text }) => text)).toEqual(["one\nmore", "three"]);
    expect(again.map(draftTitle)).toEqual(["one", "two"]);
  });

  it("of two tabs do not overwrite each other", () => {
    const storage = new MapStorage();
    const [here, there] = [new Drafts(storage), new Drafts(storage)];
    here.write(null, "here");
    there.write(null, "there");
    here.reload();
    expect(here.snapshot.map(draftTitle)).toEqual(["there", "here"]);
  });

  it("reach an account whole, and once, also when the first try is cut off", async () => {
    const drafts = new Drafts(new MapStorage());
    const id = drafts.write(null, "one");
    drafts.write(id, "two");
    const cut = account(3);
    await expect(drafts.handOver(cut)).rejects.toThrow("offline");
    expect(drafts.snapshot.length).toBe(1);
    const whole = account();
    await drafts.handOver(whole);
    expect(drafts.snapshot).toEqual([]);
    // The second try says everything again under the same names.
    expect(whole.kept[0]).toBe(cut.kept[0]);
    expect(whole.kept.map((one) => one.split("/").at(-1))).toEqual(["one", "two"]);
  });

  it("that are damaged are none, and a full storage is no failure", () => {
    const storage = new MapStorage();
    for (const damaged of ["{", "5", "null", '[{"id":1}]', '[{"id":"x","messages":[5]}]']) {
      storage.values.set(STORAGE_KEY, damaged);
      expect(new Drafts(storage).snapshot).toEqual([]);
    }
    const full = new Drafts({ getItem: () => null, setItem: () => { throw new Error("full"); } });
    full.write(null, "kept for now");
    expect(full.snapshot.length).toBe(1);
  });
});
