// What the model was told before it answered, section by section, as it was sent.

import { useGeneration, usePrompt, useServerInfo } from "@spool/client/react";
import { useId, useState } from "react";
import { ChevronIcon, CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { Modal } from "../ui/Modal";

const NAMES: Record<string, string> = {
  base: "Instructions",
  role: "Role",
  profile: "Profile",
  memory: "Memory",
  page: "Page",
  summary: "Summary of what was said before",
  greeting: "Greeting",
};

export default function PromptDialog({ generationId, onClose }: { generationId: string; onClose: () => void }) {
  const id = useId();
  const prompt = usePrompt(generationId);
  return (
    <Modal labelledBy={id} className="max-h-[min(48rem,calc(100dvh-2.5rem))] w-[min(44rem,calc(100vw-2rem))] flex-col overflow-hidden open:flex" onClose={onClose}>
      {(close) => (
        <>
          <header className="flex items-center gap-3 border-b border-line py-3.5 ps-6 pe-4">
            <div className="min-w-0 flex-1">
              <h2 id={id} className="text-base leading-snug font-semibold tracking-tight">
                Why this answer
              </h2>
              <p className="truncate text-sm text-soft">
                {prompt == null ? "What the model was told" : `What ${prompt.model} was told, before ${messages(prompt.messages)}`}
              </p>
            </div>
            <IconButton label="Close" onClick={close}>
              <CloseIcon size={20} />
            </IconButton>
          </header>
          <div data-scroll className="min-h-40 space-y-2.5 overflow-y-auto px-6 py-5">
            {prompt === undefined ? (
              <p className="text-sm text-faint motion-late">Loading…</p>
            ) : prompt === null ? (
              <p className="text-sm text-pretty text-soft">What this answer was made from is not known here: another program made it, or it is from before this was kept.</p>
            ) : (
              <>
                {prompt.sections.map((section, at) => (
                  <Section key={at} name={NAMES[section.label] ?? section.label} text={section.text} first={at === 0} />
                ))}
                {prompt.sections.length === 0 && <p className="text-sm text-soft">No instructions: only the conversation itself.</p>}
                <Made generationId={generationId} />
                {prompt.tools.length > 0 && (
                  <section className="pt-2">
                    <h3 className="mb-2 text-xs font-medium text-faint">Tools that it could call</h3>
                    <ul className="flex flex-wrap gap-1.5">
                      {prompt.tools.map((tool) => (
                        <li key={tool} className="rounded-md border border-line bg-sunken px-2 py-0.5 font-mono text-[0.78rem]">
                          {tool}
                        </li>
                      ))}
                    </ul>
                  </section>
                )}
              </>
            )}
          </div>
        </>
      )}
    </Modal>
  );
}

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}

// By whom, for whom, and after which failures.
function Made({ generationId }: { generationId: string }) {
  const made = useGeneration(generationId);
  const info = useServerInfo();
  if (made == null) return null;
  const agent = info?.agents?.find(({ id }) => id === made.agentId)?.name ?? made.agentId;
  const role = info?.roles?.find(({ id }) => id === made.effectiveRole)?.name ?? made.effectiveRole;
  const facts = [agent && `Agent: ${agent}`, role && `Role: ${role}`, made.steps > 0 && `Steps with tools: ${made.steps}`, made.attempt > 1 && `Attempt ${made.attempt}`].filter(Boolean);
  const failures = made.fallbacks ?? [];
  if (facts.length + failures.length === 0) return null;
  return (
    <section className="pt-2 text-sm">
      <h3 className="mb-1.5 text-xs font-medium text-faint">How it was made</h3>
      <p className="text-soft">{facts.join(" · ")}</p>
      {failures.map((failure, at) => (
        <p key={at} className="mt-1 wrap-anywhere text-warn">
          {failure.model} failed before: {failure.error.message}
          {failure.leftOut !== undefined && ` The oldest ${messages(failure.leftOut)} of the conversation ${failure.leftOut === 1 ? "was" : "were"} not sent to it again.`}
        </p>
      ))}
    </section>
  );
}

function Section({ name, text, first }: { name: string; text: string; first: boolean }) {
  const id = useId();
  const [open, setOpen] = useState(first);
  return (
    <section className="overflow-hidden rounded-xl border border-line bg-sunken">
      <button
        type="button"
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setOpen(!open)}
        className="flex h-10 w-full items-center gap-2.5 px-3.5 text-start text-sm transition-colors hover:bg-hover focus-visible:-outline-offset-2"
      >
        <span className="shrink-0 font-medium">{name}</span>
        <span dir="auto" className="min-w-0 flex-1 truncate text-xs text-faint">
          {open ? "" : text}
        </span>
        <span className="shrink-0 text-xs text-faint tabular-nums">{text.length.toLocaleString()}</span>
        <ChevronIcon size={14} className={`shrink-0 text-faint transition-transform ${open ? "rotate-90" : "rtl:rotate-180"}`} />
      </button>
      {open && (
        <p id={id} dir="auto" tabIndex={0} className="max-h-96 overflow-auto border-t border-line bg-page px-3.5 py-3 text-sm leading-relaxed wrap-anywhere whitespace-pre-wrap">
          {text}
        </p>
      )}
    </section>
  );
}
