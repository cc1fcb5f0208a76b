// Who this browser is to the server: signed in to an account, or anonymous until an identity is wanted and then
// a guest. The sync client keeps the token fresh. No React; `useGuestAuth` shows it.

import type { ConvexReactClient } from "convex/react";
import type { Failure } from "./documents";
import { FailureError, readFailure } from "./errors";
import type { Tokens } from "./guest";

export type GuestState =
  | { status: "anonymous" }
  | { status: "signing_in" }
  | { status: "signed_in"; userId: string }
  | { status: "failed"; failure: Failure };

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
/** A kept token this close to its end is renewed before it is used. */
const MARGIN_MS = 60_000;

export class GuestSession {
  private state: GuestState = { status: "anonymous" };
  private failure: Failure | null = null;
  private listeners = new Set<() => void>();

  constructor(
    private readonly client: ConvexReactClient,
    readonly tokens: Tokens,
  ) {}

  get snapshot(): GuestState {
    return this.state;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Takes up the identity that an earlier visit left; without one, nothing happens. */
  resume(): void {
    const known = this.tokens.kind === "account" || this.tokens.kept !== null;
    if (this.state.status === "anonymous" && known) this.signIn();
  }

  /** Resolves once calls run as this user; rejects with the server's refusal. */
  async ensure(): Promise<void> {
    if (this.state.status === "anonymous" || this.state.status === "failed") this.signIn();
    while (this.state.status === "signing_in") await this.change();
    if (this.state.status === "failed") throw new FailureError(this.state.failure);
  }

  signIn = (): void => {
    if (this.state.status === "signing_in" || this.state.status === "signed_in") return;
    this.become({ status: "signing_in" });
    this.client.setAuth(this.fetchToken, (authenticated) => {
      const kept = this.tokens.kept;
      if (authenticated) this.become({ status: "signed_in", userId: kept?.userId ?? "" });
      else this.become({ status: "failed", failure: this.failure ?? REFUSED });
    });
  };

  private fetchToken = async ({ forceRefreshToken }: { forceRefreshToken: boolean }): Promise<string | null> => {
    const kept = this.tokens.kept;
    if (!forceRefreshToken && kept !== null && expiresAt(kept.token) - MARGIN_MS > Date.now()) return kept.token;
    for (let delay = FIRST_DELAY_MS; ; delay = Math.min(delay * 2, LONGEST_DELAY_MS)) {
      try {
        return (await this.tokens.renew()).token;
      } catch (error) {
        this.failure = readFailure(error);
        if (error instanceof FailureError && !error.failure.retryable) return null;
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
  };

  private change(): Promise<void> {
    return new Promise((resolve) => {
      const off = this.subscribe(() => {
        off();
        resolve();
      });
    });
  }

  private become(state: GuestState): void {
    this.state = state;
    for (const listener of [...this.listeners]) listener();
  }
}

const REFUSED: Failure = { code: "invalid_token", message: "The server did not accept this browser's identity.", retryable: true };

function expiresAt(token: string): number {
  try {
    const payload = token.split(".")[1] ?? "";
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/")));
    const exp = typeof claims === "object" && claims !== null ? Reflect.get(claims, "exp") : undefined;
    return typeof exp === "number" ? exp * 1000 : 0;
  } catch {
    return 0;
  }
}
