// The guest identity of this browser: fetches, keeps and renews the token. No React.
//
// Nothing is asked of the server until someone wants an identity: a visitor who only looks creates nothing.

import { FailureError, refusalOf } from "./errors";

const TOKEN_KEY = "spool.token";

export interface GuestToken {
  token: string;
  userId: string;
}

/** Where the tokens of this browser come from: a guest's or an account's. */
export interface Tokens {
  readonly kind: "guest" | "account";
  readonly kept: GuestToken | null;
  renew(): Promise<GuestToken>;
}

export class GuestTokens implements Tokens {
  readonly kind = "guest";

  private inFlight: Promise<GuestToken> | null = null;

  constructor(private readonly origin: string) {}

  /** The kept token, if there is one; it may have expired. */
  get kept(): GuestToken | null {
    try {
      const value: unknown = JSON.parse(localStorage.getItem(TOKEN_KEY) ?? "null");
      return isToken(value) ? value : null;
    } catch {
      return null;
    }
  }

  /** A new token: for the same user if the server still knows the old token, else for a new one. */
  renew(): Promise<GuestToken> {
    this.inFlight ??= this.request().finally(() => {
      this.inFlight = null;
    });
    return this.inFlight;
  }

  /** The guest's conversations are an account's now. */
  forget(): void {
    localStorage.removeItem(TOKEN_KEY);
  }

  private async request(): Promise<GuestToken> {
    const old = this.kept?.token;
    let response = await this.post(old);
    if (old !== undefined && (response.status === 401 || response.status === 403)) response = await this.post(undefined);
    const body: unknown = await response.json().catch(() => null);
    if (!response.ok || !isToken(body)) throw new FailureError(refusalOf(response.status, body, "This server did not give a guest identity."));
    try {
      localStorage.setItem(TOKEN_KEY, JSON.stringify({ token: body.token, userId: body.userId }));
    } catch {
      // Without storage the identity lasts as long as the page.
    }
    return body;
  }

  private post(token: string | undefined): Promise<Response> {
    return fetch(`${this.origin}/api/auth/guest`, {
      method: "POST",
      headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    });
  }
}

function isToken(value: unknown): value is GuestToken {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Partial<GuestToken>;
  return typeof fields.token === "string" && typeof fields.userId === "string";
}
