// Where a visitor writes who has no account, on a server that keeps nothing of visitors: everything stays in
// this browser until somebody signs in, and that is said.

import { useServerInfo } from "@spool/client/react";
import { useState, type FormEvent, type KeyboardEvent } from "react";
import { ArrowUpIcon, SpoolMark } from "../icons";
import { fullTime } from "../time";
import { drafts, openDraft, useDrafts, useOpenDraft } from "./useDrafts";

export function LocalChat() {
  const canSignIn = useServerInfo()?.signIn === true;
  const id = useOpenDraft();
  const draft = useDrafts().find((one) => one.id === id);
  return (
    <>
      <div className="flex min-h-0 flex-1 flex-col overflow-y-auto">
        {draft === undefined ? (
          <Welcome />
        ) : (
          <ol aria-label="Messages of this draft" className="mx-auto w-full max-w-read px-4 py-6 sm:px-6">
            {draft.messages.map(({ id: key, text, at }) => (
              <li key={key} className="flex justify-end pt-4 first:pt-0 motion-settle">
                <p
                  dir="auto"
                  title={fullTime(at)}
                  className="max-w-[min(86%,36rem)] rounded-[1.25rem] rounded-ee-md bg-accent-soft px-4 py-2.5 text-start leading-relaxed wrap-anywhere whitespace-pre-wrap"
                >
                  {text}
                </p>
              </li>
            ))}
          </ol>
        )}
      </div>
      <div className="mx-auto w-full max-w-read shrink-0 px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-6">
        <div className="mb-3 flex flex-wrap items-center justify-between gap-x-4 gap-y-2 rounded-2xl border border-line bg-side px-4 py-3 text-sm text-soft">
          <p className="min-w-0 flex-1 basis-60 text-pretty">
            <span className="font-medium text-ink">Only in this browser.</span> Nothing you write is sent. When you sign in, your
            drafts become threads of your account, and you can ask for answers.
          </p>
          {canSignIn && (
            <a
              href="/sign-in"
              className="inline-flex h-9 items-center rounded-lg bg-accent px-3.5 font-medium text-on-accent transition-colors hover:bg-accent-strong"
            >
              Sign in
            </a>
          )}
        </div>
        <Writer key={id ?? "new"} onWrite={(text) => openDraft(drafts.write(id, text))} />
      </div>
    </>
  );
}

function Welcome() {
  return (
    <div className="mx-auto my-auto w-full max-w-read px-4 py-8 motion-settle sm:px-6">
      <div className="-ms-1.5">
        <SpoolMark size={40} />
      </div>
      <h2 className="mt-4 text-[1.9rem] leading-[1.15] font-semibold tracking-[-0.028em] text-balance sm:text-[2.5rem]">Write a draft</h2>
      <p className="mt-2.5 max-w-md text-base text-pretty text-soft sm:text-[1.0625rem]">
        This server answers people who are signed in. Until then you can write down what you want to say.
      </p>
    </div>
  );
}

function Writer({ onWrite }: { onWrite: (text: string) => void }) {
  const [text, setText] = useState("");
  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    if (text.trim() === "") return;
    setText("");
    onWrite(text.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <form
      id="composer"
      onSubmit={submit}
      className="flex items-end gap-1 rounded-3xl border border-line bg-raised p-2 shadow-card transition-colors has-[textarea:focus-visible]:border-accent-line"
    >
      <textarea
        dir="auto"
        rows={2}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
        aria-label="Draft"
        placeholder="Write a draft"
        className="max-h-72 min-h-10 flex-1 resize-none bg-transparent px-2 py-2 leading-6 outline-none placeholder:text-faint"
      />
      <button
        type="submit"
        aria-label="Keep in this browser"
        title="Keep in this browser (Enter)"
        disabled={text.trim() === ""}
        className="inline-flex size-10 shrink-0 items-center justify-center rounded-full bg-accent text-on-accent transition-[background-color,color] hover:bg-accent-strong disabled:bg-hover disabled:text-faint"
      >
        <ArrowUpIcon size={19} />
      </button>
    </form>
  );
}
