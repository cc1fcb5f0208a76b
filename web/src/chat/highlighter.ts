// Colours code. Loaded when the first code is shown; each language is loaded when it first appears.

import { createCssVariablesTheme, createHighlighterCore, type HighlighterCore, type LanguageRegistration } from "shiki/core";
import { createJavaScriptRegexEngine } from "shiki/engine/javascript";

export interface ColouredToken {
  text: string;
  colour: string | null;
}
export type ColouredLine = readonly ColouredToken[];

type Load = () => Promise<{ default: LanguageRegistration[] }>;

// One grammar serves the four of TypeScript and JavaScript: each of its own would be as large again.
const tsx: Load = () => import("shiki/langs/tsx.mjs");

const LANGUAGES: Record<string, { grammar: string; load: Load }> = {};
function language(grammar: string, load: Load, ...names: string[]): void {
  for (const name of [grammar, ...names]) LANGUAGES[name] = { grammar, load };
}
language("tsx", tsx, "ts", "typescript", "js", "javascript", "jsx", "mjs", "cjs", "mts");
language("python", () => import("shiki/langs/python.mjs"), "py");
language("rust", () => import("shiki/langs/rust.mjs"), "rs");
language("go", () => import("shiki/langs/go.mjs"), "golang");
language("java", () => import("shiki/langs/java.mjs"));
language("c", () => import("shiki/langs/c.mjs"), "h");
language("shellscript", () => import("shiki/langs/shellscript.mjs"), "sh", "bash", "shell", "zsh", "console");
language("json", () => import("shiki/langs/json.mjs"), "jsonc", "json5");
language("yaml", () => import("shiki/langs/yaml.mjs"), "yml");
language("toml", () => import("shiki/langs/toml.mjs"), "ini");
language("sql", () => import("shiki/langs/sql.mjs"), "postgres", "sqlite");
language("xml", () => import("shiki/langs/xml.mjs"), "html", "svg", "vue");
language("css", () => import("shiki/langs/css.mjs"), "scss");
language("markdown", () => import("shiki/langs/markdown.mjs"), "md");
language("diff", () => import("shiki/langs/diff.mjs"), "patch");
language("docker", () => import("shiki/langs/docker.mjs"), "dockerfile");

// The colours are CSS variables, so a change of theme needs no new colouring.
const theme = createCssVariablesTheme({ name: "spool", variablePrefix: "--shiki-", fontStyle: false });

let highlighter: Promise<HighlighterCore> | null = null;

/** The code in coloured lines; `null` if its language is not among the known. */
export async function colour(code: string, name: string): Promise<ColouredLine[] | null> {
  const known = LANGUAGES[name.toLowerCase()];
  if (known === undefined) return null;
  highlighter ??= createHighlighterCore({ themes: [theme], langs: [], engine: createJavaScriptRegexEngine({ forgiving: true }) });
  const shiki = await highlighter;
  if (!shiki.getLoadedLanguages().includes(known.grammar)) await shiki.loadLanguage((await known.load()).default);
  const { tokens } = shiki.codeToTokens(code, { lang: known.grammar, theme: "spool" });
  return tokens.map((line) => line.map((token) => ({ text: token.content, colour: token.color ?? null })));
}
