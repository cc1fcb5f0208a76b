// Conversations that cannot be shown: one that is not there, and one behind an identity that was refused.

import type { Failure } from "@spool/client";
import { go } from "../route";
import { Notice } from "../status/Notice";
import { Button } from "../ui/Button";

export function MissingThread() {
  return (
    <Notice
      title="There is no such thread here"
      actions={
        <Button look="strong" onClick={() => go(null)}>
          Start a new chat
        </Button>
      }
    >
      It may have been deleted, or it belongs to someone else. Threads are only visible in the browser that made them.
    </Notice>
  );
}

export function RefusedSession({ failure, onRetry }: { failure: Failure; onRetry: () => void }) {
  return (
    <Notice
      title="You are not signed in"
      actions={
        <Button look="strong" onClick={onRetry}>
          Try again
        </Button>
      }
    >
      {failure.message}
    </Notice>
  );
}
