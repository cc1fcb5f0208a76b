// Writes src/api.generated.ts from openapi.json: the types of every document and every public function,
// and the `api` object of function references. Owns nothing but that one file; with --check it writes
// nothing and fails if the file is stale.
//
//   node scripts/generate.mjs [--check] [--schema FILE] [--out FILE]

import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compile } from 'json-schema-to-typescript';

const { values: flags } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    schema: { type: 'string', default: fileURLToPath(new URL('../openapi.json', import.meta.url)) },
    out: { type: 'string', default: fileURLToPath(new URL('../src/api.generated.ts', import.meta.url)) },
  },
});

const HEADER = '// Generated from openapi.json by `npm run generate`. Do not edit: `npm run check` fails on a stale file.\n\n';
const ROOT = 'GeneratedRoot';

const pascal = (text) => text.replace(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_, letter) => letter.toUpperCase());

const nameOf = (reference) => reference.slice(reference.lastIndexOf('/') + 1);

// The compiler names a type by its title, so every shared type is given its key as title and no other
// schema keeps one; references move from OpenAPI's place to JSON Schema's, and lose what stands beside
// them (a description there would make a second copy of the type).
function portable(schema) {
  if (Array.isArray(schema)) return schema.map(portable);
  if (schema === null || typeof schema !== 'object') return schema;
  if (typeof schema.$ref === 'string') return { $ref: `#/definitions/${nameOf(schema.$ref)}` };
  const out = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'title' && typeof value === 'string') continue;
    if (key === '$schema' || key === 'format') continue;
    if (key === 'properties' && value !== null && typeof value === 'object') {
      out.properties = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, anything(inner)]));
    } else if (key === 'items') {
      out.items = anything(value);
    } else {
      out[key] = portable(value);
    }
  }
  return out;
}

// `true` and `{}` both mean "any JSON": `unknown`, never `any`.
function anything(schema) {
  if (schema === true) return { tsType: 'unknown' };
  const inner = portable(schema);
  const says = Object.keys(inner).filter((key) => key !== 'description' && key !== 'default');
  return says.length === 0 ? { ...inner, tsType: 'unknown' } : inner;
}

const shared = new Map();

function share(name, schema) {
  const { $defs, definitions, ...rest } = schema;
  for (const [inner, value] of Object.entries({ ...$defs, ...definitions })) {
    if (!shared.has(inner)) share(inner, value);
  }
  shared.set(name, { ...portable(rest), title: name });
}

// A function that takes or returns exactly a shared type uses that type's own name.
function typeName(name, schema) {
  if (typeof schema.$ref === 'string') return nameOf(schema.$ref);
  share(name, anything(schema));
  return name;
}

function functionTypes(functions) {
  const rows = [];
  for (const [path, spec] of Object.entries(functions).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if ((spec.visibility ?? 'public') !== 'public') continue;
    const [module, name] = path.split(':');
    const base = pascal(`${module}-${name}`);
    const empty = Object.keys(spec.args?.properties ?? {}).length === 0 && !spec.args?.$ref;
    const args = typeName(`${base}Args`, empty ? { tsType: 'Record<string, never>' } : spec.args);
    const returns = typeName(`${base}Returns`, spec.returns ?? true);
    rows.push({ path, module, name, kind: spec.kind, args, returns });
  }
  return rows;
}

function apiObject(rows) {
  const modules = new Map();
  for (const row of rows) modules.set(row.module, [...(modules.get(row.module) ?? []), row]);
  const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
  const lines = ['/** Every public function, as the official client takes it. */', 'export const api = {'];
  for (const [module, entries] of modules) {
    lines.push(`  ${key(module)}: {`);
    for (const { path, name, kind, args, returns } of entries) {
      lines.push(`    ${key(name)}: makeFunctionReference<"${kind}", ${args}, ${returns}>("${path}"),`);
    }
    lines.push('  },');
  }
  lines.push('};', '');
  return lines.join('\n');
}

const document = JSON.parse(readFileSync(flags.schema, 'utf8'));
for (const [name, schema] of Object.entries(document.components?.schemas ?? {})) share(name, schema);
const rows = functionTypes(document['x-functions'] ?? {});
const names = [...shared.keys()].sort();

const root = {
  title: ROOT,
  type: 'object',
  additionalProperties: false,
  required: names,
  properties: Object.fromEntries(names.map((name) => [name, { $ref: `#/definitions/${name}` }])),
  definitions: Object.fromEntries(names.map((name) => [name, shared.get(name)])),
};
const types = await compile(root, ROOT, {
  additionalProperties: false,
  bannerComment: '',
  format: true,
  style: { printWidth: 110, singleQuote: false },
  unknownAny: true,
});
const withoutRoot = types.replace(new RegExp(`(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/\\s*)?export interface ${ROOT} \\{[\\s\\S]*?\\n\\}\\n`), '');
// The official client wants argument types with an index signature; interfaces have none, aliases do.
const aliases = withoutRoot.replace(/export interface (\w+) \{([\s\S]*?)\n\}\n/g, 'export type $1 = {$2\n};\n');
const source = `${HEADER}import { makeFunctionReference } from "convex/server";\n\n${aliases.trim()}\n\n${apiObject(rows)}`;

if (flags.check) {
  const present = existsSync(flags.out) ? readFileSync(flags.out, 'utf8') : '';
  if (present !== source) {
    console.error('src/api.generated.ts is stale: run `npm run generate`.');
    process.exit(1);
  }
} else {
  writeFileSync(flags.out, source);
}
