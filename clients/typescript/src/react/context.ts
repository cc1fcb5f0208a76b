// The React context that hooks find their Spool connection in.

import { ConvexProvider } from "convex/react";
import { createContext, createElement, useContext, type ReactNode } from "react";
import type { Spool } from "../spool";

const SpoolContext = createContext<Spool | null>(null);

export function SpoolProvider({ spool, children }: { spool: Spool; children: ReactNode }) {
  return createElement(
    SpoolContext.Provider,
    { value: spool },
    createElement(ConvexProvider, { client: spool.client, children }),
  );
}

export function useSpool(): Spool {
  const spool = useContext(SpoolContext);
  if (spool === null) throw new Error("Spool hooks need a <SpoolProvider> above them.");
  return spool;
}
