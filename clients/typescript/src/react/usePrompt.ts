// What a model was told before it answered: `undefined` while loading, `null` if that is not known or not the
// caller's to read.

import { makeFunctionReference } from "convex/server";
import { useFound } from "./useFound";

export interface PromptView {
  model: string;
  sections: { label: string; text: string }[];
  tools: string[];
  messages: number;
}
const prompt = makeFunctionReference<"query", { generationId: string }, PromptView | null>("debug:prompt");

export function usePrompt(generationId: string): PromptView | null | undefined {
  return useFound(prompt, { generationId });
}
