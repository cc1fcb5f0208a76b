// Whether this browser tells its person when something waits, and how that is switched on and off.
//
// The browser's own subscription and the server's row must both be there: the endpoint says which belongs to
// which.

import type { PushView } from "@spool/client";
import { useGuestAuth, useServerInfo, usePush, usePushActions } from "@spool/client/react";
import { useCallback, useEffect, useState } from "react";

export interface PushState {
  /** `absent` where the server or the browser cannot; `blocked` where the person has said no to the browser. */
  state: "absent" | "loading" | "blocked" | "off" | "on";
  /** Why the last try failed. */
  fault: string | null;
  turn: (on: boolean) => Promise<void>;
}

const WORKER = "/sw.js";

const possible = () => "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

export function usePushState(): PushState {
  const key = useServerInfo()?.pushKey ?? "";
  const signedIn = useGuestAuth().status === "signed_in";
  const able = key !== "" && signedIn && possible();
  const known = usePush(able ? undefined : "skip");
  const { subscribe, unsubscribe } = usePushActions();
  // `undefined` until the browser has said which subscription it has.
  const [own, setOwn] = useState<string | null>();
  const [fault, setFault] = useState<string | null>(null);
  useEffect(() => {
    if (!able) return;
    current().then((subscription) => setOwn(subscription?.endpoint ?? null), () => setOwn(null));
  }, [able]);
  const turn = useCallback(
    async (on: boolean) => {
      setFault(null);
      try {
        if (on) {
          const subscription = await begin(key);
          if (subscription === null) return;
          await subscribe(subscription);
          setOwn(subscription.endpoint);
        } else {
          const subscription = await current();
          const row = rowOf(known, subscription?.endpoint);
          if (row !== undefined) await unsubscribe(row._id);
          await subscription?.unsubscribe();
          setOwn(null);
        }
      } catch {
        setFault(on ? "This browser could not be subscribed. Its push service may be out of reach." : "That did not work. Try again.");
      }
    },
    [key, known, subscribe, unsubscribe],
  );
  if (!able) return { state: "absent", fault, turn };
  if (Notification.permission === "denied") return { state: "blocked", fault, turn };
  if (known === undefined || own === undefined) return { state: "loading", fault, turn };
  return { state: rowOf(known, own) === undefined ? "off" : "on", fault, turn };
}

function rowOf(known: readonly PushView[] | undefined, endpoint: string | null | undefined): PushView | undefined {
  return known?.find((row) => row.endpoint === endpoint);
}

async function current(): Promise<PushSubscription | null> {
  const registration = await navigator.serviceWorker.getRegistration("/");
  return (await registration?.pushManager.getSubscription()) ?? null;
}

// `null` if the person does not want it after all.
async function begin(key: string): Promise<{ endpoint: string; keys: { p256dh: string; auth: string } } | null> {
  if ((await Notification.requestPermission()) !== "granted") return null;
  await navigator.serviceWorker.register(WORKER);
  const { pushManager } = await navigator.serviceWorker.ready;
  const kept = await pushManager.getSubscription();
  // One that was made for another key of the server's would never be delivered.
  if (kept !== null && !sameKey(kept.options.applicationServerKey, key)) await kept.unsubscribe();
  const subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
  const { endpoint, keys } = subscription.toJSON();
  return { endpoint: endpoint ?? "", keys: { p256dh: keys?.p256dh ?? "", auth: keys?.auth ?? "" } };
}

function sameKey(bytes: ArrayBuffer | null, key: string): boolean {
  if (bytes === null) return false;
  const own = new Uint8Array(bytes);
  const wanted = bytesOf(key);
  return own.length === wanted.length && own.every((byte, at) => byte === wanted[at]);
}

/** Base64url without padding. */
export function bytesOf(key: string): Uint8Array<ArrayBuffer> {
  const text = atob(key.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
