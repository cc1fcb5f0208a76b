// The pages of sign-in, each under an address of its own: they load without the chat, and leave by loading
// it anew, so that nothing of another person stays in memory.

import { Account, readFailure, type SignInMethods } from "@spool/client";
import { useEffect, useState, type ReactNode } from "react";
import { Button } from "../ui/Button";
import { Note } from "../ui/Note";
import { failureIn } from "./failures";
import { Field, PASSWORD_HINT, PASSWORD_LENGTH } from "./Field";
import { Frame, Refusal, TextLink } from "./Frame";
import { useForm } from "./useForm";

const PAGES: Record<string, (props: PageProps) => ReactNode> = {
  "/sign-in": SignIn,
  "/signed-in": SignedIn,
  "/sign-up": SignUp,
  "/forgot": Forgot,
  "/set-password": SetPassword,
};

interface PageProps {
  account: Account;
  methods: SignInMethods;
}

/** The page at `path`, or `null` where the chat is. */
export function pageAt(path: string): ReactNode {
  const Page = PAGES[path.replace(/(.)\/$/, "$1")];
  return Page === undefined ? null : <Known Page={Page} />;
}

const account = new Account(window.location.origin);

function Known({ Page }: { Page: (props: PageProps) => ReactNode }) {
  const [methods, setMethods] = useState<SignInMethods | "failed" | null>(null);
  useEffect(() => {
    account.methods().then(setMethods, () => setMethods("failed"));
  }, []);
  useEffect(() => {
    document.title = "Sign in · Spool";
  }, []);
  if (methods === null) return null;
  if (methods === "failed") {
    return (
      <Frame title="The server does not answer">
        <Button onClick={() => window.location.reload()}>Try again</Button>
      </Frame>
    );
  }
  return <Page account={account} methods={methods} />;
}

/** Where a person goes after signing in: back to a page of ours, never elsewhere. */
function onward(): void {
  const next = new URLSearchParams(window.location.search).get("next") ?? "/";
  const url = new URL(next, window.location.origin);
  window.location.assign(url.origin === window.location.origin ? url.pathname : "/");
}

const keeping = (path: string) => path + window.location.search;

function SignIn({ account, methods }: PageProps) {
  const form = useForm(async (value) => {
    await account.signIn(value("email"), value("password"));
    onward();
  });
  const ended = new URLSearchParams(window.location.search).has("ended");
  const failure = failureIn(window.location.search);
  return (
    <Frame
      title="Sign in"
      foot={
        <>
          {methods.signUp && (
            <p>
              No account yet? <TextLink href={keeping("/sign-up")}>Make one</TextLink>
            </p>
          )}
          {methods.guest !== "off" && (
            <p>
              Or <TextLink href="/">{methods.guest === "local" ? "write drafts in this browser" : "go on as a guest"}</TextLink>.
            </p>
          )}
        </>
      }
    >
      {ended && (
        <div className="mb-5">
          <Note>You were signed out on this device. Answers that were being written went on.</Note>
        </div>
      )}
      {failure !== null && (
        <div className="mb-5">
          <Refusal>{failure}</Refusal>
        </div>
      )}
      {methods.providers.length > 0 && (
        <ul className="space-y-2.5">
          {methods.providers.map(({ id, name }) => (
            <li key={id}>
              <a
                href={startOf(id)}
                className="flex h-10 items-center justify-center rounded-lg border border-line-strong bg-raised text-sm font-medium transition-colors hover:bg-hover"
              >
                Continue with {name}
              </a>
            </li>
          ))}
        </ul>
      )}
      {methods.providers.length > 0 && methods.password && <p className="my-4 text-center text-xs text-faint">or</p>}
      {methods.password && (
        <form onSubmit={form.onSubmit} className="space-y-4">
          <Field label="E-mail" name="email" type="email" autoComplete="username" required autoFocus />
          <Field label="Password" name="password" type="password" autoComplete="current-password" required />
          <Refusal>{form.refusal}</Refusal>
          <Button type="submit" look="strong" disabled={form.working} className="h-10 w-full">
            Sign in
          </Button>
          <p className="text-sm">
            <TextLink href={keeping("/forgot")}>Forgot the password?</TextLink>
          </p>
        </form>
      )}
      {!methods.password && methods.providers.length === 0 && <p className="text-soft">This server signs nobody in here.</p>}
    </Frame>
  );
}

/** Where the sign-in with a provider begins; it comes back to [SignedIn]. */
function startOf(provider: string): string {
  const next = new URLSearchParams(window.location.search).get("next") ?? "/";
  const back = `/signed-in?next=${encodeURIComponent(next)}`;
  return `/api/auth/oidc/${encodeURIComponent(provider)}/start?return_to=${encodeURIComponent(back)}`;
}

/** Back from a provider, with a session in the cookie. */
function SignedIn({ account }: PageProps) {
  const [refusal, setRefusal] = useState<string | null>(null);
  useEffect(() => {
    account.arrive().then(onward, (error: unknown) => setRefusal(readFailure(error).message));
  }, [account]);
  if (refusal === null) return null;
  return (
    <Frame title="You are not signed in" foot={<TextLink href="/sign-in">Sign in</TextLink>}>
      <Refusal>{refusal}</Refusal>
    </Frame>
  );
}

function SignUp({ account, methods }: PageProps) {
  const form = useForm(async (value) => {
    await account.signUp(value("email"), value("password"), value("name"));
    onward();
  });
  const back = (
    <p>
      Have an account? <TextLink href={keeping("/sign-in")}>Sign in</TextLink>
    </p>
  );
  if (!methods.signUp) {
    return (
      <Frame title="Make an account" lead="Accounts of this server are made by its administrator, who can send you a link." foot={back}>
        {null}
      </Frame>
    );
  }
  return (
    <Frame title="Make an account" foot={back}>
      <form onSubmit={form.onSubmit} className="space-y-4">
        <Field label="Name" name="name" autoComplete="name" maxLength={200} autoFocus />
        <Field label="E-mail" name="email" type="email" autoComplete="username" required />
        <Field label="Password" name="password" type="password" autoComplete="new-password" required hint={PASSWORD_HINT} {...PASSWORD_LENGTH} />
        <Refusal>{form.refusal}</Refusal>
        <Button type="submit" look="strong" disabled={form.working} className="h-10 w-full">
          Make the account
        </Button>
      </form>
    </Frame>
  );
}

function Forgot({ account, methods }: PageProps) {
  const [sent, setSent] = useState(false);
  const form = useForm(async (value) => {
    await account.forgot(value("email"));
    setSent(true);
  });
  const back = (
    <p>
      <TextLink href={keeping("/sign-in")}>Back to sign-in</TextLink>
    </p>
  );
  if (!methods.mail) {
    return (
      <Frame title="Forgot the password?" foot={back}>
        <p className="text-pretty text-soft">
          This server sends no mails. Ask whoever runs it for a link to set another password:{" "}
          <code className="rounded bg-sunken px-1 py-0.5 font-mono text-[0.85em] text-ink">spool admin reset</code> prints one.
        </p>
      </Frame>
    );
  }
  if (sent) {
    return (
      <Frame title="Look into your mail" foot={back}>
        <p role="status" className="text-pretty text-soft">
          If there is an account with this address, a link to set another password is on its way. It works once, for an hour.
        </p>
      </Frame>
    );
  }
  return (
    <Frame title="Forgot the password?" lead="You get a link that sets another one." foot={back}>
      <form onSubmit={form.onSubmit} className="space-y-4">
        <Field label="E-mail" name="email" type="email" autoComplete="username" required autoFocus />
        <Refusal>{form.refusal}</Refusal>
        <Button type="submit" look="strong" disabled={form.working} className="h-10 w-full">
          Send the link
        </Button>
      </form>
    </Frame>
  );
}

function SetPassword({ account }: PageProps) {
  const token = window.location.hash.slice(1);
  const form = useForm(async (value) => {
    if (value("password") !== value("again")) throw new Error("The two passwords are not the same.");
    await account.reset(token, value("password"));
    window.location.assign("/");
  });
  if (token === "") {
    return (
      <Frame title="Choose a password" lead="This link is not whole. Open it as it was sent to you." foot={<TextLink href="/sign-in">Sign in</TextLink>}>
        {null}
      </Frame>
    );
  }
  return (
    <Frame title="Choose a password" lead="You will be signed in with it here, and signed out everywhere else.">
      <form onSubmit={form.onSubmit} className="space-y-4">
        <Field label="New password" name="password" type="password" autoComplete="new-password" required autoFocus hint={PASSWORD_HINT} {...PASSWORD_LENGTH} />
        <Field label="The same again" name="again" type="password" autoComplete="new-password" required />
        <Refusal>{form.refusal}</Refusal>
        <Button type="submit" look="strong" disabled={form.working} className="h-10 w-full">
          Set the password
        </Button>
      </form>
    </Frame>
  );
}
