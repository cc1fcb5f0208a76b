// Makes a link: of what is there now, or of what is to come; for how long; and with what beside the texts.

import type { Includes } from "@spool/client";
import { useShareActions } from "@spool/client/react";
import { useState } from "react";
import { ChainIcon, CheckIcon } from "../icons";
import { Button } from "../ui/Button";
import { useCopy } from "../ui/useCopy";

const DAY_MS = 86_400_000;

const MODES = [
  { mode: "snapshot", label: "As it is now", hint: "Later messages stay with you. What you remove is removed there too." },
  { mode: "live", label: "Live", hint: "Readers see new messages as they are written." },
] as const;

const TIMES = [
  { days: 1, label: "after 1 day" },
  { days: 7, label: "after 7 days" },
  { days: 30, label: "after 30 days" },
  { days: 0, label: "when I end it" },
] as const;

const EXTRAS = [
  { key: "files", label: "Files" },
  { key: "reasoning", label: "Reasoning" },
  { key: "tools", label: "Tool calls" },
] as const;

interface LinkFormProps {
  threadId: string;
  /** The longest life that the server allows; 0 is for ever. */
  maxDays: number;
  attempt: (step: () => Promise<void>) => Promise<void>;
}

export function LinkForm({ threadId, maxDays, attempt }: LinkFormProps) {
  const { create } = useShareActions();
  const [copied, copy] = useCopy();
  const [mode, setMode] = useState<"snapshot" | "live">("snapshot");
  const times = TIMES.filter(({ days }) => maxDays === 0 || (days > 0 && days <= maxDays));
  const [picked, setPicked] = useState<number>(30);
  const days = times.some((time) => time.days === picked) ? picked : (times.at(-1)?.days ?? 0);
  const [includes, setIncludes] = useState<Includes>({ reasoning: false, tools: false, files: false });
  const [working, setWorking] = useState(false);
  const submit = async () => {
    setWorking(true);
    await attempt(async () => {
      // Without a time the server's longest is taken.
      const expiresAt = days === 0 ? {} : { expiresAt: Date.now() + days * DAY_MS - 1000 };
      copy(await create({ threadId, mode, includes, ...expiresAt }));
    });
    setWorking(false);
  };
  return (
    <section aria-label="Anyone with the link">
      <h3 className="text-sm font-semibold">Anyone with the link can read</h3>
      <div role="radiogroup" aria-label="What is shared" className="mt-2.5 grid grid-cols-2 gap-1 rounded-xl bg-sunken p-1">
        {MODES.map((one) => (
          <button
            key={one.mode}
            type="button"
            role="radio"
            aria-checked={mode === one.mode}
            onClick={() => setMode(one.mode)}
            className={`h-8 rounded-lg text-sm font-medium transition-colors ${
              mode === one.mode ? "bg-raised text-ink shadow-card dark:bg-hover" : "text-soft hover:text-ink"
            }`}
          >
            {one.label}
          </button>
        ))}
      </div>
      <p className="mt-2 text-xs text-pretty text-faint">{MODES.find((one) => one.mode === mode)?.hint}</p>
      <fieldset className="mt-3 flex flex-wrap items-center gap-x-4 gap-y-2 text-sm">
        <legend className="sr-only">What is shown besides texts and sources</legend>
        <span className="text-soft">Also show</span>
        {EXTRAS.map(({ key, label }) => (
          <label key={key} className="flex items-center gap-2">
            <input
              type="checkbox"
              checked={includes[key]}
              onChange={(event) => setIncludes({ ...includes, [key]: event.target.checked })}
              className="size-4 accent-accent"
            />
            {label}
          </label>
        ))}
      </fieldset>
      <div className="mt-4 flex flex-wrap items-center gap-2">
        <label className="flex min-w-36 flex-1 items-center gap-2 text-sm">
          <span className="text-soft">Ends</span>
          <select
            value={days}
            onChange={(event) => setPicked(Number(event.target.value))}
            className="h-9 min-w-0 flex-1 rounded-lg border border-line bg-raised px-2 text-sm"
          >
            {times.map((time) => (
              <option key={time.days} value={time.days}>
                {time.label}
              </option>
            ))}
            {times.length === 0 && <option value={0}>{`after ${maxDays} days`}</option>}
          </select>
        </label>
        <Button look="strong" disabled={working} onClick={() => void submit()}>
          {copied ? <CheckIcon size={15} /> : <ChainIcon size={15} />}
          {copied ? "Link copied" : "Create link"}
        </Button>
      </div>
    </section>
  );
}
