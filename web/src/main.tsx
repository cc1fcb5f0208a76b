// Starts the UI: one connection to the server that served the page.

import { createSpool } from "@spool/client";
import { SpoolProvider } from "@spool/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { SharedPage } from "./shared/SharedPage";
import { ticketAt } from "./shared/ticket";
import { Fallback } from "./status/Fallback";
import "./styles/index.css";

const spool = createSpool(window.location.origin);
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

const ticket = ticketAt(window.location.pathname);

createRoot(root).render(
  <StrictMode>
    <SpoolProvider spool={spool}>
      <Fallback>
        {ticket === null ? <App /> : <SharedPage ticket={ticket} />}
      </Fallback>
    </SpoolProvider>
  </StrictMode>,
);
