// A calm full-pane message: a mark, a sentence, a way on.

import type { ReactNode } from "react";
import { SpoolMark } from "../icons";

interface NoticeProps {
  title: string;
  children: ReactNode;
  actions?: ReactNode;
}

export function Notice({ title, children, actions }: NoticeProps) {
  return (
    <div className="flex min-h-0 flex-1 items-center justify-center p-6 motion-appear">
      <div className="max-w-sm pb-[8vh] text-center">
        <div className="mx-auto mb-5 flex size-14 items-center justify-center rounded-2xl bg-accent-soft">
          <SpoolMark size={28} />
        </div>
        <h1 className="text-xl font-semibold tracking-tight text-balance">{title}</h1>
        <div className="mt-2 text-pretty text-soft">{children}</div>
        {actions !== undefined && <div className="mt-6 flex flex-wrap justify-center gap-2">{actions}</div>}
      </div>
    </div>
  );
}
