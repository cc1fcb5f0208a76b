// The Node reference server of Durable Streams with its file store, in the directory given as the only argument.
// Its own log goes to stderr: the first line of stdout is the address.
import { DurableStreamTestServer } from "@durable-streams/server";

console.log = console.info = console.error;
const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1", dataDir: process.argv[2], compression: false });
await server.start();
process.stdout.write(`${server.url}\n`);
