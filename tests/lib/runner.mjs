// A runner outside, for tests in the browser: a server with a scripted model, a backend with a service key that makes
// answers of its own, and visitors with windows.

import { launch, open, ui } from "./browser.mjs";
import { http } from "./clients.mjs";
import { FakeLlm } from "./fake-llm.mjs";
import { Server, serviceKey } from "./server.mjs";

/** Starts all of it, until the end of the test (or suite) `t`: `{backend, browser, begin}`. */
export async function startRunner(t) {
  const fake = await FakeLlm.start(t);
  const server = await Server.start(t, { env: fake.env });
  const backend = http(server, await serviceKey(server));
  const browser = await launch(t);

  /** A visitor with a thread, and an answer in it that the backend makes. */
  async function begin(t, options) {
    const window = ui(await open(t, browser, server.url, options));
    await window.say("hello");
    await window.status("complete");
    const threadId = new URL(window.page.url()).pathname.split("/").at(-1);
    const { generationId } = await backend.mutation("generations:open", { threadId });
    return { window, threadId, generationId };
  }

  return { backend, browser, begin };
}

export const button = (where, name) => where.getByRole("button", { name, exact: true });
