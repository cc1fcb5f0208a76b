// Somebody else's conversation, to be read: its title, its messages as their owner sees them, and a way to
// go on with a copy. No list, no composer, nothing that changes it.

import { AssistantRuntimeProvider } from "@assistant-ui/react";
import { isRunning, type SharedThread, type Ticket } from "@spool/client";
import { FileAddresses, useGuestAuth, useSharedMessages, useSharedThread } from "@spool/client/react";
import { useEffect } from "react";
import { ChatActions, type ChatActionsValue } from "../chat/actions";
import { Conversation } from "../chat/Conversation";
import { LoadingConversation } from "../chat/LoadingConversation";
import { useChatRuntime } from "../chat/runtime";
import { Announcer } from "../status/Announcer";
import { Notice } from "../status/Notice";
import { ThemeSwitch } from "../threads/ThemeSwitch";
import { CopyBar } from "./CopyBar";
import { SharedHeader } from "./SharedHeader";

export function SharedPage({ ticket }: { ticket: Ticket }) {
  const auth = useGuestAuth();
  const found = useSharedThread(ticket);
  // A share with a person is missing until that person is known.
  const waiting = "shareId" in ticket && auth.status === "signing_in";
  const thread = waiting ? undefined : found;
  useEffect(() => {
    document.title = thread === undefined || thread === null ? "Spool" : `${thread.title} · Spool`;
  }, [thread]);
  return (
    <main className="flex h-full flex-col overflow-hidden bg-page">
      <SharedHeader thread={thread ?? null} />
      {thread === undefined ? (
        <LoadingConversation />
      ) : thread === null ? (
        <Nothing named={"shareId" in ticket} />
      ) : (
        <SharedConversation ticket={ticket} thread={thread} />
      )}
    </main>
  );
}

function SharedConversation({ ticket, thread }: { ticket: Ticket; thread: SharedThread }) {
  const { messages, earlier, loadEarlier, files } = useSharedMessages(ticket);
  const views = messages ?? NONE;
  const runtime = useChatRuntime({ views, running: views.some(isRunning), sendDisabled: true, onSend: ignore });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ChatActions value={READING}>
        <FileAddresses book={files}>
          {messages === undefined ? (
            <LoadingConversation />
          ) : messages.length === 0 && earlier === "none" ? (
            <Notice title="Nothing to read yet">
              {thread.mode === "live" ? "Messages show up here as soon as there are any." : "What was shared has been removed since."}
            </Notice>
          ) : (
            <Conversation earlier={earlier} onEarlier={loadEarlier} />
          )}
          <CopyBar ticket={ticket} thread={thread} empty={views.length === 0} />
          <Announcer views={views} />
        </FileAddresses>
      </ChatActions>
    </AssistantRuntimeProvider>
  );
}

// One answer for every reason: the server does not tell them apart either.
function Nothing({ named }: { named: boolean }) {
  return (
    <>
      <Notice
        title="There is nothing to read here"
        actions={
          <a
            href="/"
            className="inline-flex h-9 items-center rounded-lg border border-line bg-raised px-3.5 text-sm font-medium transition-colors hover:border-line-strong hover:bg-hover"
          >
            Go to my chats
          </a>
        }
      >
        {named
          ? "It may have been ended by its owner, or it is shared with another account than yours."
          : "The link may be mistyped, its time may be over, or its owner may have ended it."}
      </Notice>
      <div className="flex justify-end p-3">
        <ThemeSwitch />
      </div>
    </>
  );
}

const NONE: readonly [] = [];
const READING: ChatActionsValue = { resend: ignore, discard: ignore, retry: null, takeBack: null };

function ignore(): void {}
