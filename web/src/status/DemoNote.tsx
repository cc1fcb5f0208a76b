// Says, in one quiet line, that the built-in demo model is answering and how to get a real one.

import { useServerInfo } from "@spool/client/react";

export function DemoNote() {
  const info = useServerInfo();
  if (info?.demo !== true) return null;
  return (
    <p className="px-2 text-center text-xs text-pretty text-faint">
      <span className="font-medium text-soft">Demo model:</span> prepared answers, no key needed. Set{" "}
      <Code>OPENAI_API_KEY</Code> or <Code>ANTHROPIC_API_KEY</Code> for a real one.
    </p>
  );
}

function Code({ children }: { children: string }) {
  return <code className="font-mono text-[0.92em] whitespace-nowrap text-soft">{children}</code>;
}
