// Makes a plain link navigate in place, and leaves new tabs and new windows to the browser.

import type { MouseEvent } from "react";

export function followLink(go: () => void): (event: MouseEvent) => void {
  return (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go();
  };
}
