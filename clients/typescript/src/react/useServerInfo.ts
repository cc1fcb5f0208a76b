// What the server says of itself; `undefined` while loading.

import { useQuery } from "convex/react";
import { api } from "../api.generated";
import type { ServerInfo } from "../documents";

export function useServerInfo(): ServerInfo | undefined {
  return useQuery(api.server.info, {});
}
