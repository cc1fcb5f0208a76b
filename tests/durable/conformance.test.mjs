// The public conformance suite of the Durable Streams protocol, whole, against the real binary.

import { afterAll, beforeAll, expect } from "vitest";
import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { startServer } from "./server.mjs";

// The suite reads `baseUrl` when a test runs, so the server may start later than the tests are declared.
const options = { baseUrl: "", longPollTimeoutMs: 500, subscriptions: true };
let server;

beforeAll(async () => {
  server = await startServer({ SPOOL_DEV_OPEN_STREAMS: "1", SPOOL_STREAM_LONG_POLL_MS: "500" });
  options.baseUrl = server.url;
});

afterAll(() => server?.stop());

const testsOf = (suite) => suite.tasks.flatMap((task) => (task.type === "suite" ? testsOf(task) : [task]));

// Whatever the suite skips, or no longer has, is not passed.
afterAll(({}, file) => {
  const states = testsOf(file).map(({ result, mode }) => result?.state ?? mode);
  expect([states.length, states.filter((state) => state !== "pass")]).toEqual([338, []]);
});

runConformanceTests(options);
