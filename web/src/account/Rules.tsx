// What the reader decided about calls of tools for good, and the way to take it back. Nothing where there is none.

import { readFailure, type RuleView } from "@spool/client";
import { useRemoveRule, useRules } from "@spool/client/react";
import { useState } from "react";
import { Button } from "../ui/Button";
import { Refusal } from "./Frame";
import { Section } from "./Section";

const WORDS = { allow: "Always allowed", deny: "Never allowed", ask: "Always asked about" } as const;
const TONES = { allow: "text-ok", deny: "text-danger", ask: "text-warn" } as const;

export default function Rules() {
  const rules = useRules();
  const remove = useRemoveRule();
  const [refusal, setRefusal] = useState<string | null>(null);
  if (rules === undefined || rules.length === 0) return null;
  const drop = (rule: RuleView) => {
    setRefusal(null);
    remove(rule._id).catch((error: unknown) => setRefusal(readFailure(error).message));
  };
  return (
    <Section title="What tools may do">
      <ul className="divide-y divide-line rounded-xl border border-line">
        {rules.map((rule) => (
          <li key={rule._id} data-rule={rule._id} className="flex items-center gap-3 px-4 py-2.5">
            <div className="min-w-0 flex-1">
              <p className="truncate font-mono text-[0.8125rem] font-medium">{rule.tool}</p>
              <p className="truncate text-xs text-faint">
                <span className={TONES[rule.effect]}>{WORDS[rule.effect]}</span>
                {rule.arguments.length > 0 && ` with ${conditions(rule)}`}
                {rule.agentId !== undefined && `, for ${rule.agentId}`}
                {rule.uses > 0 && `, used ${rule.uses} ${rule.uses === 1 ? "time" : "times"}`}
              </p>
            </div>
            <Button aria-label={`Take back: ${rule.tool}`} className="h-8" onClick={() => drop(rule)}>
              Take back
            </Button>
          </li>
        ))}
      </ul>
      <Refusal>{refusal}</Refusal>
    </Section>
  );
}

function conditions({ arguments: list }: RuleView): string {
  return list.map(({ path, equals, like }) => `${path === "" ? "exactly" : path} ${like ?? JSON.stringify(equals)}`).join(", ");
}
