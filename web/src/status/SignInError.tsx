// Says why a sign-in with a provider failed, once. The reason came with the address of the page; it is taken
// out of it, so that a reload does not say it again.

import { useState } from "react";
import { AlertIcon, CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";

const PARAMETER = "signin_error";

const REASONS: Record<string, string> = {
  unknown_provider: "This server has no such sign-in. Choose another.",
  bad_return: "The link led away from this server, so it was not followed.",
  state_missing: "This sign-in was not begun in this browser, or was finished already. Begin it again.",
  state_mismatch: "The answer belongs to another sign-in. Begin it again, in one window.",
  state_expired: "The sign-in took longer than ten minutes. Begin it again.",
  denied: "The provider was told not to let you in.",
  provider_error: "The provider did not complete the sign-in. Try again, or ask whoever runs this server.",
  provider_unavailable: "The provider cannot be reached at the moment. Try again soon.",
  code_refused: "The provider did not accept this sign-in. Begin it again; if that does not help, ask whoever runs this server.",
  token_refused: "The provider's answer could not be trusted. Ask whoever runs this server.",
  nonce_mismatch: "The provider's answer belongs to another sign-in. Begin it again.",
  server_error: "The server could not store the sign-in. Try again soon.",
};

const first = take();

function take(): string | null {
  const url = new URL(window.location.href);
  const reason = url.searchParams.get(PARAMETER);
  if (reason === null) return null;
  url.searchParams.delete(PARAMETER);
  window.history.replaceState(window.history.state, "", url);
  return reason;
}

export function SignInError() {
  const [reason, setReason] = useState(first);
  if (reason === null) return null;
  // Whatever else stands in an address is nobody's to show here.
  const known = Object.hasOwn(REASONS, reason) ? REASONS[reason] : "The sign-in failed. Try again.";
  return (
    <div role="alert" className="mx-auto mt-1 w-full max-w-read px-3 sm:px-6">
      <div className="flex items-start gap-2.5 rounded-xl border border-warn-line bg-warn-soft py-2 ps-3.5 pe-1.5 text-sm">
        <AlertIcon size={18} className="mt-1.5 shrink-0" />
        <p className="min-w-0 flex-1 py-1.5 text-pretty">
          <span className="font-medium">You are not signed in.</span> {known}
        </p>
        <IconButton label="Close" onClick={() => setReason(null)}>
          <CloseIcon size={18} />
        </IconButton>
      </div>
    </div>
  );
}
