// The content of an artifact: prose as Markdown, the way answers look, and what is code or very long as it is.

import { CodeText } from "../CodeText";
import { Markdown } from "../Markdown";

/** Kinds that are not prose; the name is the language, as far as there is one. */
const CODE = new Set(["code", "json", "yaml", "toml", "csv", "sql", "html", "svg", "text", "diff"]);
/** Longer text is not rendered: laying it out would hold up the page. */
const LONGEST = 200_000;

interface ArtifactTextProps {
  kind: string;
  content: string;
  /** Whether it is being written. */
  growing?: boolean;
}

export function ArtifactText({ kind, content, growing = false }: ArtifactTextProps) {
  if (!CODE.has(kind) && content.length <= LONGEST) return <Markdown text={content} growing={growing} />;
  return (
    <pre dir="ltr" className="font-mono text-[0.8125rem] leading-[1.65] wrap-anywhere whitespace-pre-wrap [tab-size:4]">
      <CodeText code={content} language={kind === "code" ? "text" : kind} />
    </pre>
  );
}
