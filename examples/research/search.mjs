// A search engine over the pages in `corpus/`, as an MCP server over standard input and output. It stands for a
// search of the web: the same two tools, and nothing that changes from one day to the next.

import { readdirSync, readFileSync } from "node:fs";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const SITE = "https://heating.example/";
const SNIPPET = 180;

const corpus = new URL("corpus/", import.meta.url);
const pages = readdirSync(corpus).sort().map((file) => {
  const text = readFileSync(new URL(file, corpus), "utf8");
  return { url: SITE + file.replace(/\.md$/, ""), title: /^# (.*)$/m.exec(text)[1], text, words: count(text) };
});

/** How often each word stands in a text. */
function count(text) {
  const words = new Map();
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? []) {
    const stem = word.replace(/s$/, "");
    words.set(stem, (words.get(stem) ?? 0) + 1);
  }
  return words;
}

/** The best pages: a word counts more the fewer pages have it. */
function search(query, limit) {
  const asked = [...count(query).keys()];
  const rarity = (word) => Math.log(1 + pages.length / (1 + pages.filter((page) => page.words.has(word)).length));
  const score = (page) => asked.reduce((sum, word) => sum + rarity(word) * Math.sqrt(page.words.get(word) ?? 0), 0);
  const scored = pages.map((page) => ({ page, score: score(page) })).filter(({ score }) => score > 0);
  scored.sort((a, b) => b.score - a.score || a.page.url.localeCompare(b.page.url));
  return scored.slice(0, limit).map(({ page: { title, url, text } }) => ({ title, url, snippet: snippet(text, asked) }));
}

/** The sentence that has most of the words. */
function snippet(text, asked) {
  const sentences = text.replace(/^# .*$/m, "").trim().split(/(?<=[.:?]) /);
  const hits = (sentence) => asked.filter((word) => count(sentence).has(word)).length;
  const best = sentences.reduce((a, b) => (hits(b) > hits(a) ? b : a));
  return best.length > SNIPPET ? `${best.slice(0, SNIPPET)}…` : best;
}

const server = new McpServer({ name: "pages", version: "1.0.0" });
const annotations = { readOnlyHint: true, idempotentHint: true };

server.registerTool(
  "web_search",
  {
    title: "Search",
    description: "Searches the library for pages about a subject. Returns titles, addresses and a sentence of each.",
    inputSchema: { query: z.string().min(1).max(400), limit: z.number().int().min(1).max(10).optional() },
    annotations,
  },
  ({ query, limit = 5 }) => {
    const results = search(query, limit);
    return { content: [{ type: "text", text: JSON.stringify(results) }], structuredContent: { results } };
  },
);

server.registerTool(
  "read_page",
  {
    title: "Read a page",
    description: "Reads a page of the library whole, by its address.",
    inputSchema: { url: z.string().max(400).describe("An address that web_search returned") },
    annotations,
  },
  ({ url }) => {
    const page = pages.find((page) => page.url === url);
    if (page === undefined) return { isError: true, content: [{ type: "text", text: `There is no page ${url}.` }] };
    return { content: [{ type: "text", text: page.text }] };
  },
);

await server.connect(new StdioServerTransport());
