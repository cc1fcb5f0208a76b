// Kills the server under load, again and again, and checks after every restart that nothing acknowledged
// is lost: `node crash.mjs --kills 200 [--people 4] [--seed N]`. Prints progress and one summary line; the
// exit code is not 0 if any promise was broken.

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { call, Person } from "./lib/load.mjs";
import { run, Server } from "./lib/server.mjs";
import { random, until } from "./lib/wait.mjs";

/** As `turns.lease_seconds` is where nobody sets it. */
const LEASE_MS = 20_000;

export async function crash({ kills, people = 4, seed = Date.now() % 1_000_000, log = console.log, t }) {
  const dice = random(seed);
  const violations = [];
  const started = Date.now();
  const server = await Server.start(t);
  log(`seed ${seed}, data in ${server.data}, process ${server.pid}`);
  const crowd = await Promise.all(Array.from({ length: people }, (_, n) => Person.join(server, random(seed + n), violations, t)));
  const told = () => crowd.reduce((sum, { counts }) => sum + counts.acknowledged, 0);
  let readySum = 0;
  let readyMax = 0;

  for (let kill = 1; kill <= kills; kill += 1) {
    for (const person of crowd) person.act();
    await sleep(20 + dice.below(600)); // the moment of death is the point of this test, not a synchronisation
    await server.kill();
    await Promise.all(crowd.map((person) => person.rest()));
    const before = Date.now();
    await server.start();
    const ready = Date.now() - before;
    readySum += ready;
    readyMax = Math.max(readyMax, ready);
    const checked = (await Promise.all(crowd.map((person) => person.verify()))).reduce((a, b) => a + b, 0);
    if (kill % 10 === 0 || kill === kills) log(`${kill}/${kills} kills, ${told()} acknowledged, ${checked} threads checked, ready in ${ready} ms, ${violations.length} violations`);
    if (violations.length > 20) break;
  }

  const orphans = await noOrphans(server, crowd, violations);
  for (const person of crowd) await person.verify({ all: true });
  for (const person of crowd) await person.verifyCreated();
  await doctor(server, "beside the running server", violations);
  await Promise.all(crowd.map(({ client }) => client.close()));
  await server.stop();
  await doctor(server, "on its own", violations);

  const sum = (name) => crowd.reduce((total, { counts }) => total + counts[name], 0);
  const summary = { kills, people, seed, acknowledged: sum("acknowledged"), lost: sum("lost"), refused: sum("refused"), seen: sum("seen"), orphansEndedWithinMs: orphans, readyMeanMs: Math.round(readySum / kills), readyMaxMs: readyMax, seconds: Math.round((Date.now() - started) / 1000), violations: violations.length };
  for (const violation of violations.slice(0, 50)) log(`VIOLATION ${violation}`);
  log(`crash: ${Object.entries(summary).map(([name, value]) => `${name}=${value}`).join(" ")}`);
  return { ...summary, broken: violations };
}

/** Every generation is over within the lease of the last restart; answers how long that took. */
async function noOrphans(server, crowd, violations) {
  const from = Date.now();
  const left = async () => {
    const lists = await Promise.all(crowd.map(({ token }) => call(server, token, "query", "generations:active", {})));
    return lists.flatMap(({ value, ...other }) => value ?? [JSON.stringify(other)]);
  };
  await until(async () => (await left()).length === 0, { timeout: LEASE_MS + 5_000, every: 100, what: "no generation past its lease" }).catch(async () => {
    for (const generation of await left()) violations.push(`not over past its lease: ${JSON.stringify(generation)}`);
  });
  return Date.now() - from;
}

async function doctor(server, where, violations) {
  const { code, stdout, stderr } = await run(["doctor", "--data", server.data], { timeout: 120_000 });
  if (code !== 0) violations.push(`spool doctor ${where} ended with ${code}: ${stdout}${stderr}`);
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const { values } = parseArgs({ options: { kills: { type: "string", default: "200" }, people: { type: "string", default: "4" }, seed: { type: "string" } } });
  const ends = [];
  const t = { after: (end) => ends.push(end) };
  let broken = true;
  try {
    const seed = values.seed === undefined ? undefined : Number(values.seed);
    broken = (await crash({ kills: Number(values.kills), people: Number(values.people), seed, t })).broken.length > 0;
  } finally {
    for (const end of ends) await end();
  }
  process.exit(broken ? 1 : 0);
}
