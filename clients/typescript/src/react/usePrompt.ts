// What a model was told before it answered: `undefined` while loading, `null` if that is not known or not the
// caller's to read.

import { api, type PromptView } from "../api.generated";
import { useFound } from "./useFound";

export function usePrompt(generationId: string): PromptView | null | undefined {
  return useFound(api.debug.prompt, { generationId });
}
