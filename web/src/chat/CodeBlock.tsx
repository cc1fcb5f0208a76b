// A block of code in an answer: its language, a copy button, its colours.

import { isValidElement, memo, type ComponentProps, type ReactNode } from "react";
import { useIsCodeFenceIncomplete, type ExtraProps } from "streamdown";
import { CheckIcon, CopyIcon } from "../icons";
import { useCopy } from "../ui/useCopy";
import { CodeText } from "./CodeText";

export const CodeBlock = memo(function CodeBlock({ className, children }: ComponentProps<"code"> & ExtraProps) {
  const language = /language-([^\s]+)/.exec(className ?? "")?.[1] ?? "";
  const code = plainText(children).replace(/\n$/, "");
  const growing = useIsCodeFenceIncomplete();
  const [copied, copy] = useCopy();
  return (
    <figure dir="ltr" data-language={language} className="overflow-hidden rounded-xl border border-line bg-sunken">
      <figcaption className="flex h-9 items-center justify-between ps-4 pe-1.5 text-xs text-faint">
        <span className="font-mono">{language === "" ? "text" : language}</span>
        <button
          type="button"
          onClick={() => copy(code)}
          disabled={growing}
          className="inline-flex h-7 items-center gap-1.5 rounded-md px-2 transition-colors hover:bg-hover hover:text-ink disabled:opacity-0"
        >
          {copied ? <CheckIcon size={14} className="text-ok" /> : <CopyIcon size={14} />}
          {copied ? "Copied" : "Copy"}
        </button>
      </figcaption>
      <pre tabIndex={0} data-quiet-focus className="overflow-x-auto px-4 pt-1 pb-4 font-mono text-[0.8125rem] leading-[1.65] [tab-size:4]">
        <CodeText code={code} language={language} />
      </pre>
    </figure>
  );
});

function plainText(node: ReactNode): string {
  if (typeof node === "string" || typeof node === "number") return String(node);
  if (Array.isArray(node)) return node.map((child: ReactNode) => plainText(child)).join("");
  if (isValidElement<{ children?: ReactNode }>(node)) return plainText(node.props.children);
  return "";
}
