// Sending one decision: what is under way, and what was refused.

import { readFailure, type ApprovalsDecideArgs, type Failure } from "@spool/client";
import { useConnectionState, useDecide } from "@spool/client/react";
import { useState } from "react";

export interface Deciding {
  decide: (decision: Omit<ApprovalsDecideArgs, "approvalId">) => Promise<void>;
  /** Nothing can be sent now: something is on its way, or there is no connection. */
  blocked: boolean;
  offline: boolean;
  fault: string | null;
}

/** What was decided in this window, in whichever of its places. */
const decidedHere = new Set<string>();

export function wasDecidedHere(approvalId: string): boolean {
  return decidedHere.has(approvalId);
}

export function useDecision(approvalId: string, onDecided: () => void): Deciding {
  const send = useDecide();
  const offline = useConnectionState() !== "live";
  const [working, setWorking] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const decide: Deciding["decide"] = async (decision) => {
    setWorking(true);
    setFailure(null);
    try {
      // Before the answer: the row may be here first.
      decidedHere.add(approvalId);
      await send({ approvalId, ...decision });
      onDecided();
    } catch (error) {
      decidedHere.delete(approvalId);
      setFailure(readFailure(error));
    }
    setWorking(false);
  };
  return { decide, blocked: working || offline, offline, fault: failure === null ? null : wordsFor(failure) };
}

export function wordsFor({ code, message }: Failure): string {
  if (code === "already_resolved") return "It was decided before, or its time is over.";
  if (code === "history_conflict") return "The plan was changed meanwhile. Edit it to approve exactly your text, or reject it.";
  return message;
}
