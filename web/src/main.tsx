// Starts the UI: a page of sign-in, or the chat with one connection to the server that served the page.

import { createSpool } from "@spool/client";
import { SpoolProvider } from "@spool/client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { pageAt } from "./account/pages";
import { SharedPage } from "./shared/SharedPage";
import { ticketAt } from "./shared/ticket";
import { Fallback } from "./status/Fallback";
import "./styles/index.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

const page = pageAt(window.location.pathname);
const spool = page === null ? createSpool(window.location.origin) : null;
const ticket = ticketAt(window.location.pathname);

createRoot(root).render(
  <StrictMode>
    <Fallback>
      {spool === null ? (
        page
      ) : (
        <SpoolProvider spool={spool}>
          {ticket === null ? <App /> : <SharedPage ticket={ticket} />}
        </SpoolProvider>
      )}
    </Fallback>
  </StrictMode>,
);
