// The public conformance suite of the Durable Streams protocol, whole, against the real binary.

import { afterAll, beforeAll } from "vitest";
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

runConformanceTests(options);
