// What a document is called as a file. Pure.

const ENDINGS: Record<string, string> = { json: "json", yaml: "yaml", toml: "toml", csv: "csv", sql: "sql", html: "html", svg: "svg", diff: "diff", text: "txt", code: "txt" };

/** Prose is Markdown; a name of code that has its own ending keeps it. */
export function fileName(title: string, kind: string): string {
  const name = title
    .replaceAll(/[\u0000-\u001f\\/:*?"<>|]+/g, " ")
    .replaceAll(/\s+/g, " ")
    .replace(/^[. ]+|[. ]+$/g, "")
    .slice(0, 100)
    .trim();
  const stem = name === "" ? "document" : name;
  return kind === "code" && /\.[a-z0-9]{1,8}$/i.test(stem) ? stem : `${stem}.${ENDINGS[kind] ?? "md"}`;
}
