// The page around sign-in: the mark, a heading, one form.

import type { ReactNode } from "react";
import { SpoolMark } from "../icons";

interface FrameProps {
  title: string;
  lead?: ReactNode;
  children: ReactNode;
  foot?: ReactNode;
}

export function Frame({ title, lead, children, foot }: FrameProps) {
  return (
    <main data-scroll className="flex h-full flex-col overflow-y-auto bg-page">
      <div className="m-auto w-full max-w-96 px-5 py-10 motion-settle">
        <a href="/" aria-label="Spool" className="-ms-1 inline-block rounded-md">
          <SpoolMark size={36} />
        </a>
        <h1 className="mt-4 text-[1.7rem] leading-tight font-semibold tracking-[-0.025em] text-balance">{title}</h1>
        {lead !== undefined && <div className="mt-2 text-pretty text-soft">{lead}</div>}
        <div className="stitched mt-6 mb-6 h-0.5" aria-hidden="true" />
        {children}
        {foot !== undefined && <div className="mt-6 space-y-2 text-sm text-soft">{foot}</div>}
      </div>
    </main>
  );
}

export function Refusal({ children }: { children: string | null }) {
  return (
    <div role="alert">
      {children !== null && (
        <p className="rounded-lg border border-danger-line bg-danger-soft px-3 py-2 text-sm text-danger motion-appear">{children}</p>
      )}
    </div>
  );
}

export function TextLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <a href={href} className="rounded-sm font-medium text-accent underline-offset-3 hover:underline">
      {children}
    </a>
  );
}
