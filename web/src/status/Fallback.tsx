// What is shown where rendering failed: an apology with a way on, instead of an empty page.

import { Component, type ReactNode } from "react";
import { Button } from "../ui/Button";
import { Notice } from "./Notice";

interface FallbackProps {
  children: ReactNode;
}

export class Fallback extends Component<FallbackProps, { failed: Error | null }> {
  override state: { failed: Error | null } = { failed: null };

  static getDerivedStateFromError(error: unknown) {
    return { failed: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    if (this.state.failed === null) return this.props.children;
    return (
      <Notice
        title="This could not be shown"
        actions={
          <>
            <Button look="strong" onClick={() => this.setState({ failed: null })}>
              Try again
            </Button>
            <Button onClick={() => window.location.assign("/")}>Start over</Button>
          </>
        }
      >
        <p>Nothing is lost: the server keeps every conversation.</p>
        <p className="mt-3 font-mono text-xs break-words text-faint">{firstLine(this.state.failed.message)}</p>
      </Notice>
    );
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]?.slice(0, 200) ?? "";
}
