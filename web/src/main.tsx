// Starts the UI: one connection to the server that served the page.

import { createSpool } from "@spool/client";
import { SpoolProvider } from "@spool/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { Fallback } from "./status/Fallback";
import "./styles/index.css";

const spool = createSpool(window.location.origin);
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

createRoot(root).render(
  <StrictMode>
    <SpoolProvider spool={spool}>
      <Fallback>
        <App />
      </Fallback>
    </SpoolProvider>
  </StrictMode>,
);
