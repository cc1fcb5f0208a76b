// The data set, and who may see what of it. Pure: a role and arguments in, rows out.

import { readFileSync } from "node:fs";

const { properties, providers, deals, leads } = JSON.parse(readFileSync(new URL("data.json", import.meta.url), "utf8"));

const ALL = ["investor", "broker", "mortgage_advisor", "lawyer", "admin"];

/** The roles that may call a tool. Spool offers each role its own tools; this holds whatever is offered. */
export const MAY = {
  searchProperties: ALL,
  searchProviders: ["investor", "broker", "admin"],
  listLeads: ["broker", "admin"],
  listDeals: ["mortgage_advisor", "lawyer", "admin"],
  requestIntroduction: ["investor"],
  pageContext: ALL,
};

export class Denied extends Error {}

export function check(tool, role) {
  if (!MAY[tool].includes(role)) throw new Denied(`Denied: ${tool} is not for ${role === undefined ? "people without a role" : `the role ${role}`}.`);
}

const MOST = 5;
const small = (text) => text.toLowerCase();

export function searchProperties({ query = "", city, minPrice = 0, maxPrice = Infinity, bedrooms = 0 }) {
  const fits = (property) => (city === undefined || property.city === city) && property.price >= minPrice && property.price <= maxPrice && property.bedrooms >= bedrooms;
  return best(properties.filter(fits), query, ({ title, city, about }) => [title, city, about]);
}

export function searchProviders({ query = "", kind }) {
  return best(providers.filter((provider) => kind === undefined || provider.kind === kind), query, ({ name, kind, city, about }) => [name, kind.replace("_", " "), city, about]);
}

/** The rows that share most words with the query, the first of them; all that fit if none does. */
function best(rows, query, textsOf) {
  const words = small(query).split(/[^\p{L}\p{N}]+/u).filter((word) => word.length > 2);
  const score = (row) => {
    const text = small(textsOf(row).join(" "));
    return words.filter((word) => text.includes(word)).length;
  };
  const scored = rows.map((row) => ({ row, score: score(row) })).sort((a, b) => b.score - a.score);
  const found = scored.some(({ score }) => score > 0) ? scored.filter(({ score }) => score > 0) : scored;
  return { found: found.length, shown: found.slice(0, MOST).map(({ row }) => row) };
}

export const listLeads = () => ({ found: leads.length, shown: leads });

export function listDeals({ stage }, role) {
  const seen = deals.filter((deal) => sees(role, deal) && (stage === undefined || deal.stage === stage));
  return { found: seen.length, shown: seen.map(({ roles, ...deal }) => deal) };
}

const sees = (role, deal) => role === "admin" || deal.roles.includes(role);

/** What is on a page, as Markdown, for people of this role. Throws for what they may not see or what is not there. */
export function pageContext({ pageType, entityId }, role) {
  if (pageType === "property") {
    const property = properties.find(({ id }) => id === entityId);
    if (property !== undefined) return `The user looks at the property “${property.title}” (${property.id}) in ${property.city}: ${property.bedrooms} bedrooms, ${money(property.price)}. ${property.about}`;
  } else if (pageType === "deal") {
    const deal = deals.find(({ id }) => id === entityId);
    // Missing and not theirs are one answer.
    if (deal !== undefined && sees(role, deal)) return `The user looks at the deal “${deal.title}” (${deal.id}), stage ${deal.stage}: ${deal.next}`;
  } else if (pageType === "properties") {
    return `The user looks at the list of ${properties.length} properties in ${[...new Set(properties.map(({ city }) => city))].join(", ")}.`;
  }
  throw new Denied("There is no such page for this user.");
}

export const money = (price) => `₪${price.toLocaleString("en-US")}`;
export const cities = [...new Set(properties.map(({ city }) => city))];
export const kinds = [...new Set(providers.map(({ kind }) => kind))];
export const stages = [...new Set(deals.map(({ stage }) => stage))];
export const providerOf = (id) => providers.find((provider) => provider.id === id);
