// An answer's text as rendered Markdown: block by block, so that only the block that grows renders again.
//
// Nothing is fetched for what a model wrote: images of other hosts are links, and every link opens apart.

import { memo, type ComponentProps } from "react";
import { Streamdown, type Components, type ExtraProps } from "streamdown";
import { CodeBlock } from "./CodeBlock";

interface MarkdownProps {
  text: string;
  growing: boolean;
}

export const Markdown = memo(function Markdown({ text, growing }: MarkdownProps) {
  return (
    <div className="prose" data-streaming={growing ? "" : undefined}>
      <Streamdown
        dir="auto"
        mode="streaming"
        className="contents"
        components={COMPONENTS}
        parseIncompleteMarkdown={growing}
        isAnimating={growing}
        controls={false}
      >
        {text}
      </Streamdown>
    </div>
  );
});

const COMPONENTS: Components = {
  a: Anchor,
  img: Picture,
  table: Table,
  code: CodeBlock,
  inlineCode: InlineCode,
  ...plain("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "strong", "blockquote", "hr"),
  ...plain("thead", "tbody", "tr", "th", "td", "sup", "sub"),
};

// Bare elements: their looks are in prose.css.
function plain<Tag extends keyof React.JSX.IntrinsicElements>(...tags: Tag[]): Partial<Record<Tag, Tag>> {
  return Object.fromEntries(tags.map((tag) => [tag, tag])) as Partial<Record<Tag, Tag>>;
}

function Anchor({ node: _, children, href, ...props }: ComponentProps<"a"> & ExtraProps) {
  const inPage = href?.startsWith("#") === true;
  return (
    <a href={href} {...props} {...(inPage ? {} : { target: "_blank", rel: "noopener noreferrer" })}>
      {children}
    </a>
  );
}

function Picture({ src, alt }: ComponentProps<"img"> & ExtraProps) {
  if (typeof src !== "string") return null;
  if (src.startsWith("data:image/") || (src.startsWith("/") && !src.startsWith("//"))) {
    return <img src={src} alt={alt ?? ""} loading="lazy" className="max-w-full rounded-lg border border-line" />;
  }
  return (
    <a href={src} target="_blank" rel="noopener noreferrer">
      {alt === undefined || alt === "" ? "Image" : `Image: ${alt}`}
    </a>
  );
}

function Table({ node: _, ...props }: ComponentProps<"table"> & ExtraProps) {
  return (
    <div tabIndex={0} role="region" aria-label="Table" data-quiet-focus className="overflow-x-auto">
      <table {...props} />
    </div>
  );
}

function InlineCode({ node: _, className: __, ...props }: ComponentProps<"code"> & ExtraProps) {
  return <code dir="ltr" {...props} />;
}
