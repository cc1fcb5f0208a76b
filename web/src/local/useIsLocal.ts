// Whether the visitor has no account and the server keeps nothing of visitors: then drafts stay here.

import { useGuestAuth, useServerInfo } from "@spool/client/react";

export function useIsLocal(): boolean {
  const auth = useGuestAuth();
  const info = useServerInfo();
  return info?.guests === "local" && auth.status !== "signed_in";
}
