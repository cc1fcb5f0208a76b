// A question of an agent: answers that it proposes, and room for another.

import type { ApprovalView } from "@spool/client";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { Foot, LINE } from "./Answers";
import { useDecision } from "./useDecision";

export function QuestionForm({ approval, onDecided }: { approval: ApprovalView; onDecided: () => void }) {
  const deciding = useDecision(approval._id, onDecided);
  const [text, setText] = useState("");
  const options = approval.options ?? [];
  const answer = (words: string) => void deciding.decide({ decision: "approve", edited: words });
  const own = text.trim();
  return (
    <>
      {options.length > 0 && (
        <ul aria-label="Proposed answers" className="flex flex-wrap gap-2">
          {options.map((option) => (
            <li key={option} className="max-w-full">
              <button
                type="button"
                dir="auto"
                disabled={deciding.blocked}
                onClick={() => answer(option)}
                className="min-h-9 max-w-full rounded-lg border border-accent-line bg-accent-soft/60 px-3.5 py-1.5 text-start font-medium wrap-anywhere text-accent transition-colors hover:bg-accent-soft disabled:opacity-50"
              >
                {option}
              </button>
            </li>
          ))}
        </ul>
      )}
      <input
        type="text"
        dir="auto"
        aria-label="Your answer"
        placeholder={options.length > 0 ? "Or another answer" : "Your answer"}
        maxLength={4000}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.nativeEvent.isComposing || own === "" || deciding.blocked) return;
          event.preventDefault();
          answer(own);
        }}
        className={LINE}
      />
      <Foot deciding={deciding} expiresAt={approval.expiresAt}>
        <Button disabled={deciding.blocked} onClick={() => void deciding.decide({ decision: "reject" })}>
          Do not answer
        </Button>
        <Button look="strong" disabled={deciding.blocked || own === ""} onClick={() => answer(own)}>
          Answer
        </Button>
      </Foot>
    </>
  );
}
