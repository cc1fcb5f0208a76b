// The start of a conversation: a greeting and four ways in, one for each thing an answer can hold.

import { useServerInfo } from "@spool/client/react";
import type { ReactNode } from "react";
import { CodeIcon, LinesIcon, SpoolMark, ThoughtIcon, ToolIcon } from "../icons";
import { Button } from "../ui/Button";

interface Suggestion {
  title: string;
  prompt: string;
  icon: ReactNode;
}

const LINES = <LinesIcon size={20} />;
const CODE = <CodeIcon size={20} />;
const THOUGHT = <ThoughtIcon size={20} />;
const TOOL = <ToolIcon size={20} />;

// The demo model answers to words; each of these has one of them.
const FOR_THE_DEMO: readonly Suggestion[] = [
  { icon: LINES, title: "Format it", prompt: "Show me a page of Markdown, with lists and a table" },
  { icon: CODE, title: "Write code", prompt: "Show me some code, in Rust and in TypeScript" },
  { icon: THOUGHT, title: "Think aloud", prompt: "Think before you answer, and let me watch" },
  { icon: TOOL, title: "Use a tool", prompt: "Count the words of this message with a tool" },
];

const FOR_A_MODEL: readonly Suggestion[] = [
  { icon: LINES, title: "Compare", prompt: "Compare SQLite and PostgreSQL for a small team, in a table" },
  { icon: CODE, title: "Write code", prompt: "Write a debounce function in TypeScript, with types and a test" },
  { icon: THOUGHT, title: "Think it through", prompt: "Think step by step: why is the sky blue, and red at dusk?" },
  { icon: TOOL, title: "Plan", prompt: "Plan a quiet weekend in a city I have never been to" },
];

interface EmptyStateProps {
  /** Who is to answer, where somebody chose. */
  agentId: string | undefined;
  onPick: (prompt: string) => void;
}

export function EmptyState({ agentId, onPick }: EmptyStateProps) {
  const info = useServerInfo();
  const agents = info?.agents ?? [];
  const agent = agents.find(({ id }) => id === agentId) ?? agents[0];
  const suggestions = info === undefined ? [] : info.demo ? FOR_THE_DEMO : FOR_A_MODEL;
  return (
    <div className="flex min-h-0 flex-1 flex-col overflow-y-auto">
      <div className="mx-auto my-auto w-full max-w-read px-4 py-4 sm:px-6 sm:py-8">
        <div className="motion-settle">
          <div className="-ms-1.5">
            <SpoolMark size={40} />
          </div>
          <h2 className="mt-4 text-[1.9rem] sm:mt-5 leading-[1.15] font-semibold tracking-[-0.028em] text-balance sm:text-[2.5rem]">
            Start a thread
          </h2>
          <p className="mt-2.5 max-w-md text-base sm:mt-3 sm:text-[1.0625rem] text-pretty text-soft">
            Answers stream live to every device, and nothing is lost if you close this page in the middle of one.
          </p>
        </div>
        {agent?.greets === true && (
          <Button look="strong" className="mt-5 motion-appear" onClick={() => onPick("")}>
            Let {agent.name} begin
          </Button>
        )}
        <div className="stitched mt-6 mb-4 h-0.5 sm:mt-9 sm:mb-5" aria-hidden="true" />
        <ul className="grid min-h-76 content-start gap-2.5 sm:min-h-44 sm:grid-cols-2">
          {suggestions.map(({ title, prompt, icon }) => (
            <li key={title} className="motion-appear">
              <button
                type="button"
                onClick={() => onPick(prompt)}
                className="flex h-full w-full items-start gap-3.5 rounded-2xl border border-line bg-raised px-4 py-3.5 text-start sm:py-4 transition-colors hover:border-accent-line hover:bg-accent-soft/50"
              >
                <span className="mt-0.5 shrink-0 text-accent">{icon}</span>
                <span className="min-w-0">
                  <span className="block text-[0.9375rem] leading-snug font-semibold">{title}</span>
                  <span className="mt-1 block text-sm text-pretty text-soft">{prompt}</span>
                </span>
              </button>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
