// `useChat` as a mounted component of React has it, without a browser. Owns nothing of the server.

import { JSDOM } from "jsdom";
import { onEnd } from "../lib/cleanup.mjs";

// React looks for a window when it is loaded.
const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://127.0.0.1/", pretendToBeVisual: true });
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: false });
globalThis.navigator ??= window.navigator; // Node has its own from version 21 on
const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");

/** A mounted component that does nothing but `useChat`; returns what the hook returned last. */
export function tab(t, useChat, options) {
  const seen = { current: null };
  const Component = () => {
    seen.current = useChat(options);
    return null;
  };
  const container = document.body.appendChild(document.createElement("div"));
  const root = createRoot(container);
  root.render(createElement(Component));
  onEnd(t, () => root.unmount());
  return seen;
}

export const answerIn = (seen) => seen.current?.messages.findLast(({ role }) => role === "assistant");
