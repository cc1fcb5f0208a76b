// What must never be written down by a server: tokens, keys, passwords (nowhere), and what people and models say
// (in no log). The library plants what it makes itself; a test adds what it makes with `secret` and `words`. Every
// server's output is searched when it ends, and its data directory when its test does.

import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";

/** Shorter texts are found by accident. */
const SHORTEST = 16;
/** Larger directories are those of tests of size, which have no secrets that others have not. */
const LARGEST = 64 << 20;
/** Looks like a credential, whoever made it. */
const SHAPES = [/eyJ[\w-]{16,}\.eyJ[\w-]+/, /spk_[\w-]{20,}/, /:secret_[\w-]{20,}/, /\$argon2id\$/];

const secrets = new Map();
const said = new Map();

/** Plants a secret; answers with it. */
export function secret(text, what = "a secret") {
  if (text.length >= SHORTEST && !secrets.has(text)) secrets.set(text, what);
  return text;
}

/** Plants what somebody says: of no concern to a log. */
export function words(text, what = "the text of a message") {
  if (text.length >= SHORTEST && !said.has(text)) said.set(text, what);
  return text;
}

/** Variables of a server's environment whose names say that they are secret. */
export function environmentOf(env) {
  for (const [name, value] of Object.entries(env)) if (/KEY|SECRET|TOKEN|PASSWORD/.test(name)) secret(value, `the variable ${name}`);
}

/** The planted things in `text`, each with a piece of what stands before it. */
function found(text, planted, shapes = []) {
  const near = (at) => JSON.stringify(text.slice(Math.max(0, at - 120), at));
  const hits = [...planted].map(([hidden, what]) => [text.indexOf(hidden), what]).filter(([at]) => at >= 0);
  for (const shape of shapes) {
    const at = text.search(shape);
    if (at >= 0) hits.push([at, `something like ${shape}`]);
  }
  return hits.map(([at, what]) => `${what} after ${near(at)}`);
}

/** Throws if a log has anything in it that is no log's concern. */
export function checkLog(text, where) {
  const hits = found(text, [...secrets, ...said], SHAPES);
  if (hits.length > 0) throw new Error(`${where} has in its log: ${hits.join("; ")}`);
}

/** Throws if a file below `dir` has a secret in it. What people say is there, of course. */
export async function checkFiles(dir) {
  const names = await readdir(dir, { recursive: true }).catch(() => []);
  const files = [];
  for (const name of names) {
    const file = path.join(dir, name);
    const { size, isFile } = await stat(file).then((about) => ({ size: about.size, isFile: about.isFile() }), () => ({}));
    if (isFile) files.push({ file, size });
  }
  if (files.reduce((sum, { size }) => sum + size, 0) > LARGEST) return;
  for (const { file } of files) {
    const hits = found(await readFile(file, "latin1").catch(() => ""), secrets, [SHAPES[1]]);
    if (hits.length > 0) throw new Error(`${file} holds ${hits.join("; ")}`);
  }
}
