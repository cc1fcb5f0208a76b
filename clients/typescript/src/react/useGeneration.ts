// How an answer was made, live: `undefined` while loading, `null` if it is missing or someone else's.

import { api, type GenerationView } from "../api.generated";
import { useFound } from "./useFound";

export function useGeneration(generationId: string): GenerationView | null | undefined {
  return useFound(api.generations.get, { generationId });
}
