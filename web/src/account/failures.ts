// Why a sign-in with a provider failed, in sentences. The reason comes in the address of the page.

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

/** The sentence for `signin_error`; `null` without one. Words of our own only: anybody can write an address. */
export function failureIn(search: string): string | null {
  const reason = new URLSearchParams(search).get("signin_error");
  if (reason === null) return null;
  return (Object.hasOwn(REASONS, reason) ? REASONS[reason] : undefined) ?? "The sign-in failed. Try again.";
}
