// What assistants know of the reader beyond one conversation: what they remember, and what they were told for
// good.

import { readFailure } from "@spool/client";
import { useInstructions, useMemory, useMemoryActions, useServerInfo } from "@spool/client/react";
import { useId, useState } from "react";
import { CloseIcon } from "../icons";
import { nearTime } from "../time";
import { Button } from "../ui/Button";
import { Confirm } from "../ui/Confirm";
import { Refusal } from "./Frame";
import { Section } from "./Section";

export default function Memory() {
  return (
    <>
      <Section title="Instructions for every conversation">
        <InstructionsForm />
      </Section>
      <Section title="What is remembered of you">
        <Entries />
      </Section>
    </>
  );
}

/** The server takes no more. */
const LONGEST = 16_000;

function InstructionsForm() {
  const id = useId();
  const instructions = useInstructions();
  const { instruct } = useMemoryActions();
  const [text, setText] = useState<{ words: string; base: number } | null>(null);
  const [working, setWorking] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  if (instructions === undefined) return <p className="h-24 text-sm text-faint">Loading…</p>;
  const changed = text !== null && text.words !== instructions.text;
  const overtaken = changed && instructions.version > text.base;
  const save = async () => {
    if (text === null) return;
    setWorking(true);
    setRefusal(null);
    try {
      // The newest version on the screen: if it is not the writer's own, the words above the button said so.
      await instruct(text.words, instructions.version);
      setText(null);
    } catch (error) {
      const { code, message } = readFailure(error);
      setRefusal(code === "history_conflict" ? "They were changed on another device just now. Nothing was saved yet." : message);
    }
    setWorking(false);
  };
  return (
    <div className="space-y-3">
      <textarea
        id={id}
        dir="auto"
        rows={3}
        maxLength={LONGEST}
        aria-label="Instructions for every conversation"
        placeholder="For example: answer briefly, and in British English."
        value={text?.words ?? instructions.text}
        onChange={(event) => setText({ words: event.target.value, base: text?.base ?? instructions.version })}
        className="block field-sizing-content max-h-64 min-h-20 w-full resize-none rounded-lg border border-line-strong bg-page px-3 py-2 text-sm leading-relaxed transition-colors placeholder:text-faint focus-visible:border-accent"
      />
      {overtaken && <p className="text-sm text-warn">They were changed on another device meanwhile. Saving puts yours in their place.</p>}
      <Refusal>{refusal}</Refusal>
      {changed && (
        <div className="flex gap-2">
          <Button look="strong" disabled={working} onClick={() => void save()}>
            Save
          </Button>
          <Button disabled={working} onClick={() => setText(null)}>
            {overtaken ? "Keep theirs" : "Discard"}
          </Button>
        </div>
      )}
    </div>
  );
}

const SOURCES = { user: "from you", assistant: "noted by an assistant", application: "from the application" } as const;

function Entries() {
  const memory = useMemory();
  const roles = useServerInfo()?.roles;
  const { forget, clear } = useMemoryActions();
  const [confirming, setConfirming] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  if (memory === undefined) return <p className="text-sm text-faint">Loading…</p>;
  if (memory.entries.length === 0) return <p className="text-sm text-soft">Nothing yet. What assistants note about you is listed here, and can be removed.</p>;
  const drop = (entryId: string) => {
    setRefusal(null);
    forget(memory, entryId).catch((error: unknown) => setRefusal(readFailure(error).message));
  };
  return (
    <div className="space-y-3">
      <ul className="divide-y divide-line rounded-xl border border-line">
        {memory.entries.map((entry) => (
          <li key={entry.id} data-memory={entry.id} className="flex items-start gap-2 py-2.5 ps-4 pe-2">
            <div className="min-w-0 flex-1 py-0.5">
              <p dir="auto" className="text-sm wrap-anywhere whitespace-pre-wrap">
                {entry.text}
              </p>
              <p className="mt-0.5 text-xs text-faint">
                {SOURCES[entry.source]}, {nearTime(entry.createdAt, Date.now())}
                {entry.role && `, only as ${roles?.find(({ id }) => id === entry.role)?.name ?? entry.role}`}
              </p>
            </div>
            <button
              type="button"
              aria-label={`Forget: ${entry.text.slice(0, 80)}`}
              title="Forget"
              onClick={() => drop(entry.id)}
              className="inline-flex size-7 shrink-0 items-center justify-center rounded-lg text-faint transition-colors hover:bg-hover hover:text-ink"
            >
              <CloseIcon size={15} />
            </button>
          </li>
        ))}
      </ul>
      <Refusal>{refusal}</Refusal>
      <Button onClick={() => setConfirming(true)}>Forget everything</Button>
      {confirming && (
        <Confirm title="Forget everything?" action="Forget" onConfirm={clear} onClose={() => setConfirming(false)}>
          All {memory.entries.length} entries and their earlier versions are removed for good. Conversations stay.
        </Confirm>
      )}
    </div>
  );
}
