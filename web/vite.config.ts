// Builds the UI into dist/, which the server embeds. `npm run dev` serves it with the server at
// SPOOL_SERVER (default http://127.0.0.1:8080) behind it.

import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const client = fileURLToPath(new URL("../clients/typescript/src", import.meta.url));
const server = process.env.SPOOL_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: {
    // The client is used from its source; what it imports is this package's one copy.
    alias: [
      { find: /^@spool\/client$/, replacement: `${client}/index.ts` },
      { find: /^@spool\/client\/react$/, replacement: `${client}/react/index.ts` },
    ],
    dedupe: ["convex", "react", "react-dom"],
  },
  build: { target: "es2022", chunkSizeWarningLimit: 1500 },
  server: {
    fs: { allow: [".", client] },
    proxy: { "/api": { target: server, ws: true } },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
