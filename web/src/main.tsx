// Starts the UI: a page of sign-in, or the chat with one connection to the server that served the page.

import { createSpool } from "@spool/client";
import { SpoolProvider } from "@spool/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { pageAt } from "./account/pages";
import { Fallback } from "./status/Fallback";
import "./styles/index.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

const page = pageAt(window.location.pathname);
const spool = page === null ? createSpool(window.location.origin) : null;

createRoot(root).render(
  <StrictMode>
    <Fallback>
      {spool === null ? (
        page
      ) : (
        <SpoolProvider spool={spool}>
          <App />
        </SpoolProvider>
      )}
    </Fallback>
  </StrictMode>,
);
