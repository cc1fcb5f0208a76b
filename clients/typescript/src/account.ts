// Sign-in to an account of the server's own: the session is in a cookie that no script sees, its tokens are
// in memory. No React.

import { FailureError, refusalOf } from "./errors";
import { GuestTokens, type GuestToken, type Tokens } from "./guest";
import { OUTBOX_KEY } from "./outbox";

/** Says whose session this browser has, which only its cookie proves. */
const MARK_KEY = "spool.account";

export interface SignInMethods {
  /** Whether the server takes people without an account. */
  guest: string;
  password: boolean;
  signUp: boolean;
  /** Whether a forgotten password can be helped by mail. */
  mail: boolean;
  providers: { id: string; name: string }[];
}

export interface AccountToken extends GuestToken {
  sessionId: string;
}

export class Account implements Tokens {
  readonly kind = "account";
  /** Its person is signing out here: that the session ends is no news. */
  isLeaving = false;
  private token: AccountToken | null = null;
  private inFlight: Promise<AccountToken> | null = null;

  constructor(private readonly origin: string) {}

  /** Whose session the last visit left; the server may have ended it since. */
  get userId(): string | null {
    try {
      return localStorage.getItem(MARK_KEY);
    } catch {
      return null;
    }
  }

  get isSignedIn(): boolean {
    return this.userId !== null;
  }

  /** What this person wrote and the server does not have yet must never be sent as somebody else's. */
  get outboxKey(): string {
    return this.userId === null ? OUTBOX_KEY : `${OUTBOX_KEY}.${this.userId}`;
  }

  get kept(): AccountToken | null {
    return this.token;
  }

  /** The session of this browser, once it has a token. */
  get sessionId(): string | null {
    return this.token?.sessionId ?? null;
  }

  /** A new token for the session. One that is over is forgotten. */
  renew(): Promise<AccountToken> {
    this.inFlight ??= this.take("token", {}).finally(() => {
      this.inFlight = null;
    });
    return this.inFlight;
  }

  async methods(): Promise<SignInMethods> {
    const response = await fetch(`${this.origin}/api/auth/methods`);
    const body: unknown = await response.json().catch(() => null);
    if (!response.ok) throw new FailureError(refusalOf(response.status, body, "The server did not say how to sign in."));
    return body as SignInMethods;
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.enter("sign-in", { email, password });
  }

  async signUp(email: string, password: string, name: string): Promise<void> {
    await this.enter("sign-up", name === "" ? { email, password } : { email, password, name });
  }

  /** Sets the password by the token of a link, and signs in with it. */
  async reset(token: string, password: string): Promise<void> {
    await this.enter("reset", { token, password });
  }

  /** Takes up the session that a sign-in with a provider left in the cookie; what was made here as a guest goes along. */
  async arrive(): Promise<void> {
    const { token } = await this.renew();
    const guest = new GuestTokens(this.origin);
    const old = guest.kept?.token;
    if (old === undefined) return;
    try {
      await this.post("claim", { token: old }, token);
    } catch (error) {
      // A guest who is no more has nothing left to claim; anything else is tried at the next sign-in.
      const over = error instanceof FailureError && ["invalid_token", "not_found"].includes(error.failure.code);
      if (!over) return;
    }
    guest.forget();
  }

  async forgot(email: string): Promise<void> {
    await this.post("forgot", { email });
  }

  async changePassword(old: string, next: string): Promise<void> {
    await this.post("password", { old, new: next });
  }

  async signOut(): Promise<void> {
    this.isLeaving = true;
    try {
      await this.post("sign-out", {});
      this.forget();
    } catch (error) {
      this.isLeaving = false;
      throw error;
    }
  }

  /** Nothing of the person stays behind in this browser; for one who has left the server, too. */
  forget(): void {
    localStorage.removeItem(this.outboxKey);
    this.leave();
  }

  /** Becomes the account; what was made here as a guest goes along where the server takes it over. */
  private async enter(route: string, body: object): Promise<void> {
    const guest = new GuestTokens(this.origin);
    let token = guest.kept?.token;
    let answer: unknown;
    try {
      answer = await this.post(route, body, token);
    } catch (error) {
      const refused = error instanceof FailureError && error.failure.code === "invalid_token";
      if (token === undefined || !refused) throw error;
      // The guest is too old to be known.
      token = undefined;
      answer = await this.post(route, body);
    }
    if (typeof answer === "object" && answer !== null && Reflect.get(answer, "claimed") === true) guest.forget();
    this.keep(answer);
  }

  private async take(route: string, body: object): Promise<AccountToken> {
    try {
      return this.keep(await this.post(route, body));
    } catch (error) {
      if (error instanceof FailureError && error.failure.code === "unauthenticated") this.leave();
      throw error;
    }
  }

  private keep(answer: unknown): AccountToken {
    if (!isToken(answer)) throw new FailureError(refusalOf(500, answer, "The server's answer is not understood."));
    this.token = answer;
    localStorage.setItem(MARK_KEY, answer.userId);
    return answer;
  }

  private leave(): void {
    this.token = null;
    localStorage.removeItem(MARK_KEY);
  }

  private async post(route: string, body: object, token?: string): Promise<unknown> {
    const response = await fetch(`${this.origin}/api/auth/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok) throw new FailureError(refusalOf(response.status, answer, "The server refused this."));
    return answer;
  }
}

function isToken(value: unknown): value is AccountToken {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Partial<AccountToken>;
  return typeof fields.token === "string" && typeof fields.userId === "string" && typeof fields.sessionId === "string";
}
