// One conversation: what there is to see of it, and the composer under it. Decides which of loading,
// missing, empty and messages is shown; owns sending, stopping and retrying.

import { AssistantRuntimeProvider } from "@assistant-ui/react";
import { isRunning, type FilePart, type LiveMessage, type SendOptions } from "@spool/client";
import { useConnectionState, useGuestAuth, useMessages, useRetry, useSend, useThread, useWithdraw } from "@spool/client/react";
import { useCallback, useMemo } from "react";
import { adopt } from "../route";
import { Announcer } from "../status/Announcer";
import { ChatActions, type ChatActionsValue } from "./actions";
import { adoptChoice, useChoice } from "./choice";
import { Choices } from "./Choices";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { EmptyState } from "./EmptyState";
import { LoadingConversation } from "./LoadingConversation";
import { MissingThread, RefusedSession } from "./MissingThread";
import { PhaseSteps } from "./PhaseSteps";
import { useChatRuntime } from "./runtime";

type IfBusy = NonNullable<SendOptions["ifBusy"]>;

const NONE: readonly LiveMessage[] = [];

function take(threadId: string): void {
  adoptChoice(threadId);
  adopt(threadId);
}

export function Chat({ threadId }: { threadId: string | null }) {
  const auth = useGuestAuth();
  const connection = useConnectionState();
  const { messages, earlier, loadEarlier } = useMessages(
    threadId === null ? null : auth.status === "signed_in" ? threadId : "skip",
  );
  const { send, sendWith, resend, discard } = useSend(threadId, take);
  const thread = useThread(threadId !== null && auth.status === "signed_in" ? threadId : "skip");
  const [choice, choose] = useChoice(threadId);
  const retry = useRetry();
  const withdraw = useWithdraw();
  const takeBack = useCallback(
    ({ id, requestId }: LiveMessage) => {
      // One that is refused was taken up meanwhile, and is seen to be.
      if (id !== null) withdraw(id).catch(() => {});
      else if (requestId !== null) discard(requestId);
    },
    [withdraw, discard],
  );

  const views = messages ?? NONE;
  const answering = views.findLast(isRunning) ?? null;
  // While offline more messages may be queued, but only one can open a new thread.
  const queueing = answering?.id === null && connection !== "live" && threadId !== null;
  const running = answering !== null && !queueing;
  const onSend = useCallback((text: string) => void send(text, choice), [send, choice]);
  const onSendBusy = useCallback((text: string, ifBusy: IfBusy) => void send(text, { ...choice, ifBusy }), [send, choice]);
  const onSendWith = useCallback(
    (to: string, text: string, files: readonly FilePart[]) => void sendWith(to, text, files, choice),
    [sendWith, choice],
  );
  // What waits for its turn stands at the composer; it takes its place when it is answered.
  const waiting = useMemo(() => views.filter(({ waits }) => waits !== null), [views]);
  const shown = useMemo(() => (waiting.length === 0 ? views : views.filter(({ waits }) => waits === null)), [views, waiting]);
  const runtime = useChatRuntime({ views: shown, running, sendDisabled: messages === undefined, onSend });
  const actions = useMemo<ChatActionsValue>(() => ({ resend, discard, retry, takeBack }), [resend, discard, retry, takeBack]);

  if (auth.status === "failed" && threadId !== null) return <RefusedSession failure={auth.failure} onRetry={auth.signIn} />;
  if (messages === null || (threadId !== null && auth.status === "anonymous")) return <MissingThread />;
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ChatActions value={actions}>
        {thread != null && <PhaseSteps threadId={thread._id} />}
        {messages === undefined ? (
          <LoadingConversation />
        ) : messages.length === 0 ? (
          <EmptyState agentId={choice.agent} onPick={onSend} />
        ) : (
          <Conversation earlier={earlier} onEarlier={loadEarlier} />
        )}
        <Composer
          draftKey={threadId ?? "new"}
          running={running}
          generationId={answering?.generationId ?? null}
          connection={connection}
          threadId={threadId}
          waiting={waiting}
          choices={<Choices choice={choice} agentId={thread?.agentId ?? null} onChoose={choose} />}
          onSendWith={onSendWith}
          onSendBusy={onSendBusy}
        />
        <Announcer views={views} />
      </ChatActions>
    </AssistantRuntimeProvider>
  );
}
