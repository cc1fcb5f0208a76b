// How the connection stands, for people: live, connecting (never yet), reconnecting, or offline.
//
// A short gap is not news: renewing a token or a quick reconnect stays "live".

import { useConvexConnectionState } from "convex/react";
import { useEffect, useState, useSyncExternalStore } from "react";

export type ConnectionState = "live" | "connecting" | "reconnecting" | "offline";

const GAP_MS = 800;

export function useConnectionState(): ConnectionState {
  const { isWebSocketConnected, hasEverConnected } = useConvexConnectionState();
  const online = useSyncExternalStore(watchOnline, () => navigator.onLine, () => true);
  const now = isWebSocketConnected ? "live" : !online ? "offline" : hasEverConnected ? "reconnecting" : "connecting";
  const [shown, setShown] = useState<ConnectionState>(now);
  useEffect(() => {
    if (now === "live" || now === "offline") {
      setShown(now);
      return;
    }
    const timer = setTimeout(() => setShown(now), GAP_MS);
    return () => clearTimeout(timer);
  }, [now]);
  return shown;
}

function watchOnline(listener: () => void): () => void {
  window.addEventListener("online", listener);
  window.addEventListener("offline", listener);
  return () => {
    window.removeEventListener("online", listener);
    window.removeEventListener("offline", listener);
  };
}
