// How the connection stands. Quiet while it is live; plain words when it is not.

import { useConnectionState, type ConnectionState } from "@spool/client/react";

const LOOKS: Record<ConnectionState, { label: string; dot: string; text: string }> = {
  live: { label: "Live", dot: "bg-ok", text: "text-faint" },
  connecting: { label: "Connecting", dot: "bg-warn motion-breathe", text: "text-soft" },
  reconnecting: { label: "Reconnecting", dot: "bg-warn motion-breathe", text: "text-warn" },
  offline: { label: "Offline", dot: "bg-danger", text: "text-danger" },
};

const HINTS: Record<ConnectionState, string> = {
  live: "Connected: changes arrive as they happen.",
  connecting: "Opening the connection to the server.",
  reconnecting: "The connection was lost. Spool keeps trying; nothing is lost.",
  offline: "This device is offline. What you send now is delivered later.",
};

export function ConnectionPill() {
  const state = useConnectionState();
  const { label, dot, text } = LOOKS[state];
  return (
    <span
      data-connection={state}
      title={HINTS[state]}
      className={`inline-flex h-7 items-center gap-2 rounded-full px-2.5 text-xs font-medium transition-colors ${text}`}
    >
      <span className={`size-1.5 rounded-full ${dot}`} aria-hidden="true" />
      <span role="status">{label}</span>
    </span>
  );
}

/** The same for the head of a conversation: nothing at all while live. */
export function ConnectionNotice() {
  const state = useConnectionState();
  if (state === "live" || state === "connecting") return null;
  const offline = state === "offline";
  return (
    <span
      title={HINTS[state]}
      className={`inline-flex h-7 shrink-0 items-center gap-2 rounded-full border px-3 text-xs font-medium motion-appear ${
        offline ? "border-danger-line bg-danger-soft text-danger" : "border-warn-line bg-warn-soft text-warn"
      }`}
    >
      <span className={`size-1.5 rounded-full ${offline ? "bg-danger" : "bg-warn motion-breathe"}`} aria-hidden="true" />
      {LOOKS[state].label}
    </span>
  );
}
