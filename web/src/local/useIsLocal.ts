// Whether the visitor has no account and the server keeps nothing of visitors: then drafts stay here.

import { useAccount, useServerInfo } from "@spool/client/react";

export function useIsLocal(): boolean {
  const { kind } = useAccount();
  const info = useServerInfo();
  return info?.guests === "local" && kind === "guest";
}
