// The tools of the REOS assistant as an MCP server over standard input and output: properties and service
// providers of the data set beside it. Each call is checked by the role that Spool vouches for.

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";
import { callers } from "./caller.mjs";
import * as reos from "./search.mjs";

const callerOf = callers("reos", process.env.SPOOL_URL);
const server = new McpServer({ name: "reos", version: "1.0.0" });

/** A tool that runs only for whom it is. `run` gets the arguments and `{user, role, call}`. */
function tool(name, { title, description, input, writes = false, run }) {
  const annotations = { readOnlyHint: !writes, idempotentHint: true, destructiveHint: false };
  server.registerTool(name, { title, description, inputSchema: input, annotations }, async (args, { _meta }) => {
    try {
      const caller = await callerOf(name, _meta);
      reos.check(name, caller.role);
      const value = run(args, caller);
      const text = typeof value === "string" ? value : JSON.stringify(value);
      return { content: [{ type: "text", text }], ...(typeof value !== "string" && { structuredContent: value }) };
    } catch (error) {
      return { isError: true, content: [{ type: "text", text: error.message }] };
    }
  });
}

tool("searchProperties", {
  title: "Search properties",
  description: "Finds properties (homes, apartments, houses, listings) by city, price and bedrooms. Prices are in shekels.",
  input: {
    query: z.string().max(200).optional().describe("Words to look for"),
    city: z.enum(reos.cities).optional(),
    minPrice: z.number().int().min(0).optional(),
    maxPrice: z.number().int().min(0).optional(),
    bedrooms: z.number().int().min(0).optional().describe("At least so many"),
  },
  run: reos.searchProperties,
});

tool("searchProviders", {
  title: "Search providers",
  description: "Finds service providers: brokers, mortgage advisors and lawyers, by kind and city.",
  input: { query: z.string().max(200).optional().describe("Words to look for"), kind: z.enum(reos.kinds).optional() },
  run: reos.searchProviders,
});

tool("listLeads", {
  title: "List leads",
  description: "The leads of the brokerage: people who asked about a property, with what they can pay.",
  input: {},
  run: reos.listLeads,
});

tool("listDeals", {
  title: "List deals",
  description: "The deals that the caller takes part in, with their stage and what is due next.",
  input: { stage: z.enum(reos.stages).optional() },
  run: (args, { role }) => reos.listDeals(args, role),
});

// By the id of the call: one that comes again is answered as before and does nothing. Lives as long as this
// process; a real one keeps it beside what it writes.
const introduced = new Map();

tool("requestIntroduction", {
  title: "Request an introduction",
  description: "Asks a provider to call the user back. It is sent to the provider.",
  input: { providerId: z.string().max(40).describe("Of searchProviders"), message: z.string().min(1).max(1000) },
  writes: true,
  run({ providerId, message }, { user, call }) {
    const provider = reos.providerOf(providerId);
    if (provider === undefined) throw new Error(`There is no provider ${providerId}.`);
    if (!introduced.has(call)) introduced.set(call, { sent: true, number: introduced.size + 1, to: provider.name, message, user });
    const { user: _, ...sent } = introduced.get(call);
    return sent;
  },
});

tool("pageContext", {
  title: "What is on the page",
  description: "Says what is on the page that the user looks at.",
  input: { pageType: z.string().max(40), entityType: z.string().max(40).nullish(), entityId: z.string().max(80).nullish() },
  run: (args, { role }) => reos.pageContext(args, role),
});

await server.connect(new StdioServerTransport());
