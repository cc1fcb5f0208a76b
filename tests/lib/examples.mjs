// The examples as tests start them: their own configuration and nothing else, on a free port.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { freePort, Server } from "./server.mjs";

/** Starts `examples/<name>`; `more` is TOML behind its own, `edit` may change its own. */
export async function startExample(t, name, { env, more = "", edit = (toml) => toml } = {}) {
  const folder = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
  const port = await freePort();
  const toml = (await readFile(`${folder}/spool.toml`, "utf8")).replaceAll("127.0.0.1:3210", `127.0.0.1:${port}`);
  const config = edit(toml.replaceAll(`"examples/${name}"`, JSON.stringify(folder))) + more;
  return Server.start(t, { port, config, env });
}
