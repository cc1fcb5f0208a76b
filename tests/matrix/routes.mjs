// The routes of the server, read from its source: the pattern of every `.route(…)`.

import { readdir, readFile } from "node:fs/promises";

const SOURCE = new URL("../../crates/server/src/", import.meta.url);

async function sources() {
  const names = await readdir(SOURCE, { recursive: true });
  return Promise.all(names.filter((name) => name.endsWith(".rs")).map((name) => readFile(new URL(name, SOURCE), "utf8")));
}

export async function routes() {
  const patterns = (await sources()).flatMap((text) => [...text.matchAll(/\.route(?:_service)?\(\s*([^,]+),/g)]);
  return patterns.map(([whole, pattern]) => {
    if (!/^"[^"]+"$/.test(pattern)) throw new Error(`a route is written as a plain string, so that tests can read it: ${whole}`);
    return pattern.slice(1, -1);
  });
}
