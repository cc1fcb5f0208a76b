// A document for React in Node. Import it before react-dom: that looks for `window` when it is loaded.

import { JSDOM } from "jsdom";
import { onEnd } from "./cleanup.mjs";

const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://127.0.0.1/", pretendToBeVisual: true });
globalThis.window = window;
globalThis.document = window.document;
globalThis.navigator ??= window.navigator; // Node has its own from version 21 on
globalThis.IS_REACT_ACT_ENVIRONMENT = false;

const { createRoot } = await import("react-dom/client");

/** Mounts `element` and unmounts it when the test ends. */
export function mount(t, element) {
  const container = document.body.appendChild(document.createElement("div"));
  const root = createRoot(container);
  root.render(element);
  // Before the client is closed: a provider signs out as it goes.
  onEnd(t, () => {
    root.unmount();
    container.remove();
  });
  return container;
}
