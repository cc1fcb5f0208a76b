// Generated from openapi.json by `npm run generate`. Do not edit: `npm run check` fails on a stale file.

import { makeFunctionReference } from "convex/server";

/**
 * Which of the streams the caller wants to hear of.
 */
export type StreamArgs =
  | {
      kind: "list";
      startOrder?: number | null;
    }
  | {
      cursors: StreamCursor[];
      kind: "deltas";
    };
/**
 * What a person is asked to approve.
 */
export type ApprovalKind = "plan" | "tool_call" | "question";
/**
 * Where an approval stands. Everything but `pending` is final.
 */
export type ApprovalStatus = ("pending" | "approved" | "rejected") | "expired" | "cancelled";
/**
 * What a person says to what was asked.
 */
export type Decision = "approve" | "reject";
export type PageStatus = "SplitRecommended" | "SplitRequired";
/**
 * Which calls a remembered decision is about.
 */
export type Scope = "tool" | "arguments";
export type ApprovalsDecideManyReturns = Decided[];
export type ApprovalsMarkSeenReturns = null;
export type ApprovalsOfAnswerReturns = ApprovalView[];
export type ArtifactStatus = ("draft" | "approved" | "rejected" | "archived") | "superseded";
/**
 * Who wrote a version.
 */
export type Author = "user" | "agent";
export type GenerationStatus =
  | ("queued" | "streaming" | "complete" | "error" | "stopped")
  | "claimed"
  | "awaiting_approval"
  | "interrupted";
/**
 * Who can read.
 */
export type Audience = "link" | "users";
export type Outcome = "done" | "denied";
/**
 * Why a call has no result. A closed list; docs/tools.md has it for people.
 */
export type CallError =
  | "unknown_tool"
  | "invalid_input"
  | "repeated"
  | "forbidden"
  | "rejected"
  | "expired"
  | "cancelled"
  | "refused"
  | "unavailable"
  | "failed"
  | "timed_out"
  | "too_large"
  | "effect_unknown";
/**
 * How far a tool call is.
 */
export type ToolState =
  "pending" | "awaiting_approval" | "running" | "completed" | "error" | "cancelled" | "denied";
export type Role = "user" | "assistant" | "system" | "tool";
/**
 * Where a run is that plans before it acts.
 */
export type Phase = "planning" | "awaiting_approval" | "executing" | "done";
/**
 * Whether the first step has to call a tool.
 */
export type ToolChoice =
  | ("auto" | "required" | "none")
  | {
      named: string;
    };
export type DebugPromptReturns = PromptView | null;
/**
 * What a rule does with the calls that it matches.
 */
export type Effect = "allow" | "deny" | "ask";
/**
 * One entry of a generation log.
 */
export type Event =
  | {
      text: string;
      type: "text";
    }
  | {
      text: string;
      type: "reasoning";
    }
  | {
      input: unknown;
      tool: string;
      toolCallId: string;
      type: "tool_start";
    }
  | {
      /**
       * It never ran: the caller may not call it, or a rule forbids it.
       */
      denied?: boolean;
      error?: string;
      output?: unknown;
      toolCallId: string;
      type: "tool_end";
    }
  | {
      messageId: string;
      text: string;
      type: "steered";
    }
  | {
      snippet?: string;
      title: string;
      type: "source";
      url: string;
    }
  | {
      artifactId: string;
      kind: string;
      status?: string;
      title: string;
      type: "artifact";
      version: number;
    }
  | {
      approvalId: string;
      artifactId?: string;
      /**
       * If it is there, exactly this was approved: the call runs with it instead of its own arguments.
       */
      editedInput?: unknown;
      expiresAt?: number;
      kind: ApprovalKind;
      question?: string;
      /**
       * What the person said with the answer.
       */
      reason?: string;
      status: ApprovalStatus;
      toolCallId?: string;
      type: "approval";
      version?: number;
    }
  | {
      mediaType?: string;
      name?: string;
      size?: number;
      type: "file";
      uploadId: string;
    }
  | {
      kind: string;
      label: string;
      type: "activity";
    }
  | {
      error?: Failure;
      finishReason?: string;
      status: FinalStatus;
      type: "status";
      usage?: Usage;
    };
/**
 * How a generation ended.
 */
export type FinalStatus = "complete" | "error" | "stopped" | "interrupted";
/**
 * One entry of a generation log.
 */
export type EventInput =
  | {
      text: string;
      type: "text";
    }
  | {
      text: string;
      type: "reasoning";
    }
  | {
      input: unknown;
      tool: string;
      toolCallId: string;
      type: "tool_start";
    }
  | {
      /**
       * It never ran: the caller may not call it, or a rule forbids it.
       */
      denied?: boolean;
      error?: string | null;
      output?: unknown;
      toolCallId: string;
      type: "tool_end";
    }
  | {
      messageId: string;
      text: string;
      type: "steered";
    }
  | {
      snippet?: string | null;
      title: string;
      type: "source";
      url: string;
    }
  | {
      artifactId: string;
      kind: string;
      status?: string | null;
      title: string;
      type: "artifact";
      version: number;
    }
  | {
      approvalId: string;
      artifactId?: string | null;
      /**
       * If it is there, exactly this was approved: the call runs with it instead of its own arguments.
       */
      editedInput?: unknown;
      expiresAt?: number | null;
      kind: ApprovalKind;
      question?: string | null;
      /**
       * What the person said with the answer.
       */
      reason?: string | null;
      status: ApprovalStatus;
      toolCallId?: string | null;
      type: "approval";
      version?: number | null;
    }
  | {
      mediaType?: string | null;
      name?: string | null;
      size?: number | null;
      type: "file";
      uploadId: string;
    }
  | {
      kind: string;
      label: string;
      type: "activity";
    }
  | {
      error?: Failure | null;
      finishReason?: string | null;
      status: FinalStatus;
      type: "status";
      usage?: UsageInput | null;
    };
/**
 * Who makes the answer.
 */
export type Runner = "hosted" | "external" | "worker";
export type GenerationsActiveArgs = Record<string, never>;
export type GenerationsActiveReturns = GenerationView[];
/**
 * What a visitor without an account may do.
 */
export type GuestPolicy = "off" | "local" | "server";
/**
 * What to do if an answer is being made in the thread.
 */
export type IfBusy = ("refuse" | "queue") | "steer";
export type InstructionsGetArgs = Record<string, never>;
/**
 * Who wrote.
 */
export type Source = "user" | "assistant" | "application";
export type MachinesCreateReturns = string;
export type MachinesListArgs = Record<string, never>;
export type MachinesListReturns = MachineView[];
export type MachinesRemoveReturns = null;
export type MemoryClearArgs = Record<string, never>;
export type MemoryClearReturns = null;
export type MemoryGetArgs = Record<string, never>;
export type Streams =
  | {
      kind: "list";
      messages: StreamMessage[];
    }
  | {
      deltas: StreamDelta[];
      kind: "deltas";
    };
export type MessageStatus = ("streaming" | "complete" | "error" | "stopped" | "interrupted") | "pending";
/**
 * Who wrote a message.
 */
export type Origin = ("user" | "agent" | "worker" | "import") | "client";
/**
 * One piece of a message.
 */
export type Part =
  | {
      text: string;
      type: "text";
    }
  | {
      text: string;
      type: "reasoning";
    }
  | {
      endedAt?: number;
      error?: string;
      input: unknown;
      output?: unknown;
      parentToolCallId?: string;
      startedAt?: number;
      state: ToolState;
      tool: string;
      toolCallId: string;
      type: "tool_call";
    }
  | {
      messageId: string;
      text: string;
      type: "steered";
    }
  | {
      snippet?: string;
      /**
       * What the stream of the answer called it.
       */
      sourceId?: string;
      title: string;
      type: "source";
      url: string;
    }
  | {
      artifactId: string;
      kind?: string;
      /**
       * As it was when it was told of; its row says what it is now.
       */
      status?: string;
      title?: string;
      type: "artifact";
      version: number;
    }
  | {
      approvalId: string;
      artifactId?: string;
      editedInput?: unknown;
      expiresAt?: number;
      kind?: ApprovalKind;
      question?: string;
      reason?: string;
      status?: ApprovalStatus;
      toolCallId?: string;
      type: "approval";
      version?: number;
    }
  | {
      mediaType?: string;
      name?: string;
      size?: number;
      type: "file";
      uploadId: string;
    }
  | {
      at: number;
      endedAt?: number;
      kind: string;
      label: string;
      type: "activity";
    }
  | {
      json: unknown;
      mediaType: string;
      type: "data";
    };
/**
 * One piece of a message.
 */
export type PartInput =
  | {
      text: string;
      type: "text";
    }
  | {
      text: string;
      type: "reasoning";
    }
  | {
      endedAt?: number | null;
      error?: string | null;
      input: unknown;
      output?: unknown;
      parentToolCallId?: string | null;
      startedAt?: number | null;
      state: ToolState;
      tool: string;
      toolCallId: string;
      type: "tool_call";
    }
  | {
      messageId: string;
      text: string;
      type: "steered";
    }
  | {
      snippet?: string | null;
      /**
       * What the stream of the answer called it.
       */
      sourceId?: string | null;
      title: string;
      type: "source";
      url: string;
    }
  | {
      artifactId: string;
      kind?: string | null;
      /**
       * As it was when it was told of; its row says what it is now.
       */
      status?: string | null;
      title?: string | null;
      type: "artifact";
      version: number;
    }
  | {
      approvalId: string;
      artifactId?: string | null;
      editedInput?: unknown;
      expiresAt?: number | null;
      kind?: ApprovalKind | null;
      question?: string | null;
      reason?: string | null;
      status?: ApprovalStatus | null;
      toolCallId?: string | null;
      type: "approval";
      version?: number | null;
    }
  | {
      mediaType?: string | null;
      name?: string | null;
      size?: number | null;
      type: "file";
      uploadId: string;
    }
  | {
      at: number;
      endedAt?: number | null;
      kind: string;
      label: string;
      type: "activity";
    }
  | {
      json: unknown;
      mediaType: string;
      type: "data";
    };
export type MessagesAppendReturns = string;
export type Order = "asc" | "desc";
/**
 * Who is to make an answer.
 */
export type Mode = "hosted" | "worker" | "sandbox";
/**
 * Whether a worker is there.
 */
export type Presence = "online" | "offline";
export type PushListArgs = Record<string, never>;
export type PushListReturns = PushView[];
export type PushSubscribeReturns = string;
export type PushUnsubscribeReturns = null;
export type RulesListArgs = Record<string, never>;
export type RulesListReturns = RuleView[];
export type RulesRemoveReturns = null;
/**
 * Whether a runtime has the session.
 */
export type SessionStatus = ("active" | "closed") | "idle" | "lost" | "deleted_upstream";
export type ServerInfoArgs = Record<string, never>;
export type SessionsGetByThreadReturns = RuntimeSessionView | null;
export type SessionsListArgs = Record<string, never>;
export type SessionsListReturns = SessionView[];
export type SessionsRevokeOthersReturns = null;
export type SessionsRevokeReturns = null;
/**
 * What a backend can say of its session; the other states have functions of their own.
 */
export type Told = "active" | "idle" | "deleted_upstream";
/**
 * What of the thread is read.
 */
export type ShareMode = "snapshot" | "live";
/**
 * An event of a running answer as the readers of a share see it.
 */
export type SharedEvent =
  | {
      text: string;
      type: "text";
    }
  | {
      text: string;
      type: "reasoning";
    }
  | {
      input: unknown;
      tool: string;
      toolCallId: string;
      type: "tool_start";
    }
  | {
      error?: string;
      output?: unknown;
      toolCallId: string;
      type: "tool_end";
    }
  | {
      snippet?: string;
      title: string;
      type: "source";
      url: string;
    }
  | {
      mediaType?: string;
      name?: string;
      size?: number;
      type: "file";
    }
  | {
      status: FinalStatus;
      type: "status";
    };
/**
 * A piece of a message as the readers of a share see it.
 */
export type SharedPart =
  | {
      text: string;
      type: "text";
    }
  | {
      text: string;
      type: "reasoning";
    }
  | {
      error?: string;
      input: unknown;
      output?: unknown;
      state: ToolState;
      tool: string;
      toolCallId: string;
      type: "tool_call";
    }
  | {
      snippet?: string;
      title: string;
      type: "source";
      url: string;
    }
  | {
      mediaType?: string;
      name?: string;
      size?: number;
      type: "file";
      /**
       * Only if the share includes files: `shares:fileUrl` opens it.
       */
      uploadId?: string;
    };
export type SharesCreateReturns = string;
export type SharesGrantReturns = string;
export type SharesListReturns = ShareView[];
export type SharesRevokeReturns = null;
export type SharesWithMeArgs = Record<string, never>;
export type SharesWithMeReturns = SharedWithMe[];
export type ThreadStatus = "active" | "completed" | "archived";
/**
 * Where a title came from. Only a placeholder is ever replaced by the server.
 */
export type TitleSource = ("placeholder" | "user" | "runtime") | "auto";
export type ThreadsClearAllArgs = Record<string, never>;
export type ThreadsCreateReturns = string;
export type ThreadsFindReturns = ThreadView | null;
export type ThreadsGetOrCreateDefaultArgs = Record<string, never>;
export type ThreadsGetOrCreateDefaultReturns = string;
export type ThreadsGetReturns = ThreadView | null;
export type ThreadsRemoveReturns = null;
export type ThreadsUpdateReturns = null;
/**
 * How far one entry is.
 */
export type TodoStatus = "pending" | "in_progress" | "completed" | "cancelled";
export type TurnsWithdrawReturns = null;
export type UploadsListReturns = UploadView[];
export type UploadsRemoveReturns = null;
export type UsageMeArgs = Record<string, never>;
export type UserKind = ("full" | "service") | "anonymous";
export type UsersMeArgs = Record<string, never>;
export type UsersMeReturns = UserView | null;
export type WorkerApproval = ("approved" | "revoked") | "pending";
export type WorkersAssignedReturns = Assigned[];
export type WorkersClaimReturns = Job | null;
export type WorkersConnectArgs = Record<string, never>;
export type WorkersHeartbeatReturns = null;
export type WorkersListPendingArgs = Record<string, never>;
export type WorkersListPendingReturns = WorkerView[];
export type WorkersListReturns = WorkerView[];
export type WorkersRejectReturns = null;
export type WorkersRemoveReturns = null;

export type AccountDeleteMyAccountArgs = {
  /**
   * The word `delete`, or the account's e-mail address: nobody deletes an account by accident.
   */
  confirm: string;
};
/**
 * What an account consisted of.
 */
export type AccountDeleted = {
  /**
   * Rows by table.
   */
  deleted: {
    [k: string]: number;
  };
};
/**
 * An assistant that a client may name.
 */
export type AgentChoice = {
  description?: string;
  /**
   * Whether it speaks first when a thread is opened with an empty message.
   */
  greets: boolean;
  /**
   * Stays the same for ever.
   */
  id: string;
  /**
   * The model it answers with, unless a thread or a message names another.
   */
  model?: string;
  /**
   * What people know it by.
   */
  name: string;
  /**
   * Whether it makes a plan first, and carries it out when it is approved.
   */
  phases: boolean;
};
export type AiStreamingListMessagesArgs = {
  paginationOpts: PaginationOpts;
  streamArgs?: StreamArgs | null;
  threadId: string;
};
/**
 * What clients send to ask for a page. Unknown keys are ignored: hooks add their own.
 */
export type PaginationOpts = {
  /**
   * Where the page begins: the `continueCursor` before it, or null for the first page.
   */
  cursor?: string | null;
  endCursor?: string | null;
  /**
   * Rows wanted, 0 to 1,000. No bound for a page whose end is already fixed.
   */
  numItems: number;
};
export type StreamCursor = {
  /**
   * The `end` of the last delta, 0 at first.
   */
  cursor: number;
  streamId: string;
};
/**
 * What became of an append.
 */
export type Appended = {
  appended: boolean;
  /**
   * Where the log ends now.
   */
  cursor: number;
  duplicate?: boolean;
  /**
   * With `sequence`: this chunk waits for those before it.
   */
  held?: boolean;
  /**
   * With `sequence`: numbers before the highest that came which have not come.
   */
  missing?: number[];
  /**
   * With `producer`: the highest number taken from it, and whether this one had been taken before.
   */
  producerSeq?: number;
  reason?: string;
  /**
   * Names of calls that ended here and had not begun, or were over: nothing shows their ends.
   */
  unpaired?: string[];
};
/**
 * A page of approvals, what else waits for the caller, and how much of all that waits.
 */
export type ApprovalInbox = {
  /**
   * Approvals in threads of others that wait for the caller's vote, the oldest first, 100 at most. They are not
   * in the pages.
   */
  awaitingMyVote: ApprovalView[];
  continueCursor: string;
  isDone: boolean;
  page: ApprovalView[];
  pageStatus: PageStatus | null;
  /**
   * What is pending, all of the caller's and what awaits the caller's vote. Counted to 100: then it is that or
   * more.
   */
  pendingCount: number;
  /**
   * Up to when the caller has seen the inbox, in milliseconds since the Unix epoch.
   */
  seenAt: number;
  splitCursor: string | null;
  /**
   * What of that was asked after `seenAt`, counted likewise.
   */
  unreadCount: number;
};
/**
 * An approval as the owner of its thread and its asker see it.
 */
export type ApprovalView = {
  _creationTime: number;
  _id: string;
  agentId?: string;
  /**
   * What the person answered to the question.
   */
  answer?: string;
  /**
   * How many people have to approve. One rejection rejects.
   */
  approversNeeded: number;
  artifactId?: string;
  /**
   * The offset of the answer's log after the request, if it is in the log.
   */
  askedAtOffset?: number;
  /**
   * The text of the plan, in `approvals:get` for people who decide about it and do not see the thread.
   */
  content?: string;
  createdAt: number;
  /**
   * If it is there, exactly this was approved.
   */
  editedInput?: unknown;
  /**
   * If it is there, exactly this version was approved.
   */
  editedVersion?: number;
  expiresAt?: number;
  generationId: string;
  /**
   * SHA-256 of what was asked about.
   */
  hash: string;
  highRisk?: boolean;
  /**
   * The arguments as they were asked about. Lists leave out large ones.
   */
  input?: unknown;
  /**
   * In a list, the bytes of the arguments that it leaves out: `approvals:get` has them.
   */
  inputBytes?: number;
  kind: ApprovalKind;
  messageId: string;
  /**
   * Answers that the asker proposes; the person may give another.
   */
  options?: string[];
  question?: string;
  reason?: string;
  resolvedAt?: number;
  resolvedBy?: string;
  /**
   * The rule that decided, if no person had to.
   */
  ruleId?: string;
  status: ApprovalStatus;
  threadId: string;
  tool?: string;
  toolCallId?: string;
  /**
   * The version that was asked about.
   */
  version?: number;
  /**
   * Who decided what, in the order in which they did.
   */
  votes: Vote[];
};
/**
 * The decision of one person.
 */
export type Vote = {
  at: number;
  decision: Decision;
  /**
   * What the person is called now. Not stored: it goes with the account.
   */
  name?: string;
  reason?: string;
  userId: string;
};
export type ApprovalsDecideArgs = {
  approvalId: string;
  /**
   * What the caller believes to decide about. If it is something else, nothing is decided.
   */
  claim?: ClaimInput | null;
  decision: Decision;
  /**
   * Only with an approval that one person decides. Of a tool call: the arguments to run it with instead. Of a plan:
   * the text instead, which becomes the artifact's new version. Of a question: the answer.
   */
  edited?: unknown;
  /**
   * Told to the asker.
   */
  reason?: string | null;
  /**
   * With a tool call: makes a rule, so that calls like this are decided likewise from now on.
   */
  remember?: Remember | null;
};
/**
 * What a client says that it was shown.
 */
export type ClaimInput = {
  input: unknown;
  threadId: string;
  toolCallId: string;
};
/**
 * The rule that a decision leaves: it allows what was approved, or refuses what was rejected.
 */
export type Remember = {
  /**
   * Only calls of the agent that asked now.
   */
  onlyThisAgent?: boolean;
  scope: Scope;
};
export type ApprovalsDecideManyArgs = {
  /**
   * Up to 100. Of two about the same approval the first counts.
   */
  decisions: OneOfMany[];
  /**
   * All or nothing: the first that cannot be made fails the call, and none is made.
   */
  together?: boolean;
};
export type OneOfMany = {
  approvalId: string;
  claim?: ClaimInput | null;
  decision: Decision;
  edited?: unknown;
  /**
   * As in `approvals:decide`.
   */
  reason?: string | null;
};
/**
 * What became of one decision: either the approval, or why it was not made.
 */
export type Decided = {
  approval?: ApprovalView;
  error?: NotDecided;
};
/**
 * The refusal that `approvals:decide` would have given.
 */
export type NotDecided = {
  code: string;
  data?: unknown;
  message: string;
};
export type ApprovalsGetArgs = {
  approvalId: string;
};
export type ApprovalsListArgs = {
  kind?: ApprovalKind | null;
  paginationOpts: PaginationOpts;
  /**
   * Only those of this state, the newest first. Together with others of these, a page may hold fewer rows than
   * were asked for, and not be the last.
   */
  status?: ApprovalStatus | null;
  threadId?: string | null;
};
export type ApprovalsListByThreadArgs = {
  paginationOpts: PaginationOpts;
  threadId: string;
};
export type ApprovalsMarkSeenArgs = {
  /**
   * The `createdAt` of the newest approval that was shown, in milliseconds since the Unix epoch.
   */
  upTo: number;
};
export type ApprovalsOfAnswerArgs = {
  /**
   * Of a worker: what `workers:connect` gave it.
   */
  epoch?: number | null;
  generationId: string;
};
export type ApprovalsRequestArgs = {
  /**
   * With kind `tool_call` or `plan`: how many people have to approve, 1 to 20; at least as many as the
   * configuration wants for the tool.
   */
  approversNeeded?: number | null;
  /**
   * With kind `plan`: the artifact, and the version that is to be approved; absent is the newest.
   */
  artifactId?: string | null;
  /**
   * Of a worker: what `workers:connect` gave it.
   */
  epoch?: number | null;
  /**
   * When it is too late, in milliseconds since the Unix epoch; null is never, absent the server's setting.
   */
  expiresAt?: number | null;
  generationId: string;
  input?: unknown;
  /**
   * With kind `question`: repeating it for the same answer gives the same approval.
   */
  key?: string | null;
  kind: ApprovalKind;
  /**
   * With kind `question`: answers to choose from. The person may give another.
   */
  options?: string[];
  /**
   * With kind `question`: what is asked.
   */
  question?: string | null;
  tool?: string | null;
  /**
   * With kind `tool_call`: the call. One that is not in the log yet is added to it.
   */
  toolCallId?: string | null;
  version?: number | null;
};
/**
 * An artifact as the owner of its thread sees it in a list.
 */
export type ArtifactSummary = {
  _creationTime: number;
  _id: string;
  contentBytes: number;
  createdAt: number;
  generationId?: string;
  key?: string;
  kind: string;
  messageId?: string;
  status: ArtifactStatus;
  threadId: string;
  title: string;
  toolCallId?: string;
  updatedAt: number;
  /**
   * The newest version that is whole: what to send as `baseVersion`. 0 says that the first is being written.
   */
  version: number;
  /**
   * The version that is being written now: `artifacts:deltas` follows it.
   */
  writing?: number;
};
/**
 * One version of an artifact, with its content.
 */
export type ArtifactView = {
  _id: string;
  artifactId: string;
  author: Author;
  content: string;
  contentBytes: number;
  contentHash: string;
  createdAt: number;
  /**
   * The newest version that is whole: what to send as `baseVersion`.
   */
  current: number;
  /**
   * Whether the answer that wrote it was over before the text was.
   */
  cut?: boolean;
  generationId?: string;
  kind: string;
  messageId?: string;
  status: ArtifactStatus;
  threadId: string;
  title: string;
  toolCallId?: string;
  version: number;
  /**
   * The version that is being written now: `artifacts:deltas` follows it.
   */
  writing?: number;
};
export type ArtifactsAppendArgs = {
  artifactId: string;
  /**
   * Where the writer believes that the text ends, in bytes of UTF-8.
   */
  offset: number;
  text: string;
  version: number;
};
export type ArtifactsBeginArgs = {
  /**
   * Or the next version of this one; `baseVersion` goes with it.
   */
  artifactId?: string | null;
  /**
   * The version that the writer saw; `history_conflict` if there is a newer one.
   */
  baseVersion?: number | null;
  /**
   * The answer that writes it; only the runner of that answer says so.
   */
  generationId?: string | null;
  /**
   * Of a new artifact: beginning again with it in the same thread gives the same artifact.
   */
  key?: string | null;
  kind?: string | null;
  /**
   * The message that a new artifact belongs to, where no answer makes it.
   */
  messageId?: string | null;
  /**
   * A new artifact of this thread; `kind` and `title` go with it.
   */
  threadId?: string | null;
  title?: string | null;
  toolCallId?: string | null;
};
export type ArtifactsCreateArgs = {
  content: string;
  /**
   * The answer that makes it; only the runner of that answer says so.
   */
  generationId?: string | null;
  /**
   * Repeating it in the same thread gives the same artifact and changes nothing.
   */
  key?: string | null;
  /**
   * `plan`, `report`, `document`, `code`, or a word of the application's own.
   */
  kind: string;
  /**
   * The message that it belongs to, where no answer makes it.
   */
  messageId?: string | null;
  threadId: string;
  title: string;
  toolCallId?: string | null;
};
export type ArtifactsDeltasArgs = {
  artifactId: string;
  /**
   * Where to read from, in bytes: 0, or the `cursor` of an earlier result.
   */
  cursor?: number;
  version: number;
};
export type ArtifactsDiffArgs = {
  artifactId: string;
  from: number;
  to: number;
};
export type ArtifactsFinishArgs = {
  artifactId: string;
  version: number;
};
export type ArtifactsGetArgs = {
  artifactId: string;
  /**
   * Absent is the newest.
   */
  version?: number | null;
};
export type ArtifactsListByThreadArgs = {
  paginationOpts: PaginationOpts;
  threadId: string;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type ArtifactsListByThreadReturns = {
  continueCursor: string;
  isDone: boolean;
  page: ArtifactSummary[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
export type ArtifactsUpdateArgs = {
  artifactId: string;
  /**
   * The version that the writer saw; `history_conflict` if there is a newer one.
   */
  baseVersion: number;
  /**
   * Makes a new version, which is a draft.
   */
  content?: string | null;
  /**
   * The answer that changes it; only the runner of that answer says so.
   */
  generationId?: string | null;
  /**
   * What the newest version becomes, after the new content if there is any.
   */
  status?: ArtifactStatus | null;
  title?: string | null;
  toolCallId?: string | null;
};
export type ArtifactsVersionsArgs = {
  artifactId: string;
  paginationOpts: PaginationOpts;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type ArtifactsVersionsReturns = {
  continueCursor: string;
  isDone: boolean;
  page: VersionView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
/**
 * One version as the owner of its thread sees it in the history.
 */
export type VersionView = {
  artifactId: string;
  author: Author;
  contentBytes: number;
  contentHash: string;
  createdAt: number;
  /**
   * Whether the answer that wrote it was over before the text was.
   */
  cut?: boolean;
  generationId?: string;
  messageId?: string;
  status: ArtifactStatus;
  title: string;
  toolCallId?: string;
  version: number;
};
/**
 * An answer that is this worker's to make.
 */
export type Assigned = {
  createdAt: number;
  generationId: string;
  model: string;
  status: GenerationStatus;
  threadId: string;
};
export type AuditMineArgs = {
  paginationOpts: PaginationOpts;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type AuditMineReturns = {
  continueCursor: string;
  isDone: boolean;
  page: AuditView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
/**
 * An entry as it is shown.
 */
export type AuditView = {
  _id: string;
  action: string;
  actor: string;
  address?: string;
  at: number;
  outcome: Outcome;
  reason?: string;
  requestId?: string;
  subject?: string;
  suppressed?: number;
};
/**
 * A version that is being written.
 */
export type Begun = {
  artifactId: string;
  /**
   * Where its text ends, in bytes: the offset of the next `artifacts:append`.
   */
  cursor: number;
  /**
   * Whether it is finished: the `key` is that of an artifact that is whole.
   */
  done: boolean;
  version: number;
};
/**
 * How a call stands.
 */
export type CallState = {
  _id: string;
  asked?: ApprovalKind;
  error?: string;
  /**
   * Nobody answered in time.
   */
  expired: boolean;
  input: unknown;
  output?: unknown;
  /**
   * It changes nothing outside: whoever goes on may begin it again.
   */
  reads?: boolean;
  state: ToolState;
  tool: string;
  toolCallId: string;
};
/**
 * A source, as older front ends send it.
 */
export type Citation = {
  snippet?: string | null;
  title: string;
  url: string;
};
/**
 * Everything that a driver needs to make the answer.
 */
export type Claim = {
  agentId?: string;
  attempt: number;
  /**
   * Decisions about its calls that are told already; see [`Watched`].
   */
  decisions: number;
  /**
   * In which role the user is answered.
   */
  effectiveRole?: string;
  epoch: number;
  /**
   * What came before the answer, oldest first.
   */
  history: HistoryMessage[];
  leaseExpiresAt: number;
  messageId: string;
  model: string;
  page?: PageContext;
  phase?: Phase;
  provider?: string;
  resumed?: Resumed;
  /**
   * What is known of the user and the conversation, for the prompt.
   */
  sections: Section[];
  threadId: string;
  toolChoice?: ToolChoice;
  userId: string;
};
/**
 * A complete message of the conversation.
 */
export type HistoryMessage = {
  files?: HistoryFile[];
  messageId: string;
  role: Role;
  /**
   * The answer step by step, if it called tools; `text` is then the whole text.
   */
  segments?: Segment[];
  text: string;
};
/**
 * A file that a message shows. Its bytes are where the server keeps them.
 */
export type HistoryFile = {
  mediaType: string;
  name: string;
  size: number;
  uploadId: string;
};
/**
 * A stretch of an answer that is told to a model again: what it said, what it called, what it was told
 * meanwhile.
 */
export type Segment = {
  calls?: ToldCall[];
  /**
   * What the user said after it.
   */
  steered?: string;
  text?: string;
};
/**
 * A call and what came of it.
 */
export type ToldCall = {
  /**
   * Why there is no result. Present if the call did not run, or failed.
   */
  error?: string;
  input: unknown;
  output?: unknown;
  tool: string;
  toolCallId: string;
};
/**
 * What a user looks at while writing, in the application's own words.
 */
export type PageContext = {
  entityId?: string;
  entityType?: string;
  pageType: string;
};
/**
 * An answer that another runner began, or that waited for a decision.
 */
export type Resumed = {
  /**
   * The calls of the newest step.
   */
  calls: CallState[];
  logEnd: number;
  /**
   * The prompt that it began with.
   */
  sections: Section[];
  /**
   * What it has said and called, oldest first.
   */
  soFar: Segment[];
  steps: number;
  usage?: Usage;
};
/**
 * A labelled piece of the instructions: `base`, `role`, `profile`, `memory`, `page`, `summary`, `todos`, `greeting`.
 */
export type Section = {
  label: string;
  text: string;
};
/**
 * Tokens of one answer, as the provider counted them.
 */
export type Usage = {
  cachedTokens?: number;
  inputTokens: number;
  outputTokens: number;
  reasoningTokens?: number;
};
export type Cleared = {
  /**
   * Whether everything is cleared; if not, call again.
   */
  cleared: boolean;
};
/**
 * A condition on the arguments of a call. Exactly one of `equals` and `like` is given.
 */
export type Condition = {
  /**
   * The value there is this one, whatever order its keys have.
   */
  equals?: unknown;
  /**
   * The value there is a string of this shape, in which `*` stands for any text.
   */
  like?: string;
  /**
   * A place in the arguments as a JSON Pointer (RFC 6901): `/to/account`; the empty text is all of them. A place
   * that is not there meets no condition.
   */
  path: string;
};
/**
 * A condition on the arguments of a call. Exactly one of `equals` and `like` is given.
 */
export type ConditionInput = {
  /**
   * The value there is this one, whatever order its keys have.
   */
  equals?: unknown;
  /**
   * The value there is a string of this shape, in which `*` stands for any text.
   */
  like?: string | null;
  /**
   * A place in the arguments as a JSON Pointer (RFC 6901): `/to/account`; the empty text is all of them. A place
   * that is not there meets no condition.
   */
  path: string;
};
/**
 * What a worker begins with.
 */
export type Connected = {
  /**
   * To be sent with everything from now on.
   */
  epoch: number;
  /**
   * How often to call `workers:heartbeat`, in milliseconds.
   */
  heartbeatMs: number;
  workerId: string;
};
export type Copied = {
  /**
   * Whether everything fitted; a longer conversation begins later in the copy.
   */
  complete: boolean;
  messages: number;
  /**
   * The new thread, which is the caller's.
   */
  threadId: string;
};
export type DebugPromptArgs = {
  generationId: string;
};
/**
 * What a model was told before it answered.
 */
export type PromptView = {
  /**
   * Messages that followed in the newest request: of the conversation, and of the answer so far.
   */
  messages: number;
  /**
   * The one that was asked last.
   */
  model: string;
  /**
   * In the order in which they were sent.
   */
  sections: Section[];
  /**
   * Names of the tools that were offered.
   */
  tools: string[];
};
/**
 * What a function did that works in bounded steps.
 */
export type Deleted = {
  deleted: number;
  /**
   * Whether another call has more to do.
   */
  hasMore: boolean;
};
/**
 * The difference between two versions.
 */
export type Difference = {
  /**
   * Lines that only `to` has, and lines that only `from` has.
   */
  added: number;
  from: number;
  removed: number;
  to: number;
  /**
   * Whether `unified` was cut, because it is too long.
   */
  truncated: boolean;
  /**
   * Hunks as `diff -u` writes them, without the names of files. Empty if the texts are the same.
   */
  unified: string;
};
/**
 * An entry as a user writes it.
 */
export type Entry = {
  /**
   * Of an entry that exists, which keeps its time; absent makes a new one.
   */
  id?: string | null;
  text: string;
};
/**
 * Why a generation failed, as people and programs may see it.
 */
export type Failure = {
  /**
   * One of the closed error codes.
   */
  code: string;
  message: string;
  /**
   * Whether trying again may help without a change.
   */
  retryable: boolean;
};
/**
 * Tokens of one answer, as the provider counted them.
 */
export type UsageInput = {
  cachedTokens?: number | null;
  inputTokens?: number;
  outputTokens?: number;
  reasoningTokens?: number | null;
};
/**
 * A model that failed, and why, before another try in the same answer.
 */
export type Fallback = {
  at: number;
  error: Failure;
  /**
   * How many of the oldest messages of its prompt are not sent any more, because it was too long.
   */
  leftOut?: number;
  model: string;
  provider: string;
};
/**
 * How a generation has ended.
 */
export type Finished = {
  /**
   * Where the log ended.
   */
  cursor: number;
  status: GenerationStatus;
  /**
   * The whole text that ended the answer is not the one that was streamed.
   */
  textDiffers?: boolean;
};
/**
 * A generation as the owner of its thread sees it.
 */
export type GenerationView = {
  _creationTime: number;
  _id: string;
  agentId?: string;
  attempt: number;
  createdAt: number;
  /**
   * Where the log ended when this was read. New tokens alone do not make a live result new.
   */
  cursor: number;
  effectiveRole?: string;
  endedAt?: number;
  error?: Failure;
  /**
   * Models that failed before this one answered.
   */
  fallbacks?: Fallback[];
  finishReason?: string;
  messageId: string;
  model: string;
  provider?: string;
  runner: Runner;
  startedAt?: number;
  status: GenerationStatus;
  /**
   * Calls of the model that have ended with calls of tools.
   */
  steps: number;
  stopRequestedAt?: number;
  threadId: string;
  usage?: Usage;
  workerId?: string;
};
export type GenerationsAppendArgs = {
  /**
   * Of a worker: what `workers:connect` gave it.
   */
  epoch?: number | null;
  /**
   * Text, reasoning, tools, sources, files and activities. The status comes with `generations:finish`.
   */
  events: EventInput[];
  generationId: string;
  /**
   * Where the caller believes that the log ends; what does not fit is not appended.
   */
  offset?: number | null;
  /**
   * Makes repetitions harmless: the same number of the same writer is appended once.
   */
  producer?: ProducerArgs | null;
  /**
   * The chunk's number, from 0: chunks go into the log in the order of their numbers, each once. One that comes
   * early waits for those before it. In place of `offset` and `producer`.
   */
  sequence?: number | null;
};
export type ProducerArgs = {
  epoch: number;
  id: string;
  seq: number;
};
export type GenerationsDeltasArgs = {
  /**
   * Where to read from: 0, or the `cursor` of an earlier result.
   */
  cursor?: number;
  generationId: string;
};
export type GenerationsFinishArgs = {
  /**
   * Of a worker: what `workers:connect` gave it.
   */
  epoch?: number | null;
  error?: Failure | null;
  finishReason?: string | null;
  generationId: string;
  model?: string | null;
  provider?: string | null;
  status: FinalStatus;
  /**
   * The whole text of the answer. It wins over what was appended.
   */
  text?: string | null;
  usage?: UsageInput | null;
};
export type GenerationsGetArgs = {
  generationId: string;
};
export type GenerationsOpenArgs = {
  agentId?: string | null;
  historyVersion?: number | null;
  model?: string | null;
  provider?: string | null;
  /**
   * With `text`: repeating it in the same thread gives the same ids and changes nothing.
   */
  requestId?: string | null;
  /**
   * What the user said, if that is not stored yet.
   */
  text?: string | null;
  threadId: string;
};
export type GenerationsStopArgs = {
  generationId: string;
};
/**
 * What is shown beside texts, sources and the names of files.
 */
export type Includes = {
  /**
   * The bytes of files, not just their names.
   */
  files: boolean;
  /**
   * What models thought before they answered.
   */
  reasoning: boolean;
  /**
   * Calls of tools, with their inputs and outputs.
   */
  tools: boolean;
};
/**
 * What is shown beside texts, sources and the names of files.
 */
export type IncludesInput = {
  /**
   * The bytes of files, not just their names.
   */
  files?: boolean;
  /**
   * What models thought before they answered.
   */
  reasoning?: boolean;
  /**
   * Calls of tools, with their inputs and outputs.
   */
  tools?: boolean;
};
/**
 * What the user tells every conversation.
 */
export type Instructions = {
  /**
   * Empty without any.
   */
  text: string;
  /**
   * 0 before the first. What to send as `baseVersion`.
   */
  version: number;
};
export type InstructionsSetArgs = {
  /**
   * The version that the writer saw; absent writes over any.
   */
  baseVersion?: number | null;
  /**
   * Empty for none.
   */
  text: string;
};
export type InstructionsVersionsArgs = {
  paginationOpts: PaginationOpts;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type InstructionsVersionsReturns = {
  continueCursor: string;
  isDone: boolean;
  page: StateVersionView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
/**
 * A version as its user sees it.
 */
export type StateVersionView = {
  at: number;
  /**
   * Of a memory the list of its entries, of instructions the text, of a profile its fields.
   */
  content: unknown;
  source: Source;
  version: number;
};
/**
 * An answer that the worker now makes, with everything that it needs.
 */
export type Job = {
  claim: Claim;
  generationId: string;
};
/**
 * The browser's keys, base64url without padding (RFC 8291).
 */
export type Keys = {
  auth: string;
  p256dh: string;
};
/**
 * A piece of a log.
 */
export type LogPage = {
  /**
   * Where to go on.
   */
  cursor: number;
  events: Event[];
  status: GenerationStatus;
};
export type LogsCleanUpArgs = {
  /**
   * Hours since the end of the answers whose logs go. 24 if absent.
   */
  olderThanHours?: number | null;
};
/**
 * A machine as its owner sees it.
 */
export type MachineView = {
  _creationTime: number;
  _id: string;
  createdAt: number;
  name: string;
  workers: WorkerCounts;
};
/**
 * How many workers a machine has, by what they are good for now.
 */
export type WorkerCounts = {
  offline: number;
  online: number;
  pending: number;
  revoked: number;
};
export type MachinesCreateArgs = {
  name: string;
};
export type MachinesRemoveArgs = {
  machineId: string;
};
/**
 * How much of something there is, and how much may be.
 */
export type Measure = {
  /**
   * Absent is without limit.
   */
  limit?: number;
  used: number;
};
/**
 * What the assistant remembers of the user.
 */
export type Memory = {
  entries: MemoryEntry[];
  /**
   * 0 before the first entry. What to send as `baseVersion`.
   */
  version: number;
};
/**
 * A fact that the assistant keeps.
 */
export type MemoryEntry = {
  createdAt: number;
  /**
   * `m1`, `m2` and so on; never used twice for one user.
   */
  id: string;
  /**
   * Of an entry that the assistant made while it answered in a role: it is told in that role alone.
   */
  role?: string;
  source: Source;
  text: string;
};
export type MemoryClearAllArgs = {
  /**
   * Only the conversations of this application; absent is every one that has windows.
   */
  app?: string | null;
};
export type MemoryUpdateArgs = {
  /**
   * The version that the writer saw; `history_conflict` if there is a newer one. Absent writes over any.
   */
  baseVersion?: number | null;
  /**
   * All entries from now on.
   */
  entries: Entry[];
};
export type MemoryVersionsArgs = {
  paginationOpts: PaginationOpts;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type MemoryVersionsReturns = {
  continueCursor: string;
  isDone: boolean;
  page: StateVersionView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
/**
 * One step of a message. `order` is the message's `seq`.
 */
export type MessageDoc = {
  _creationTime: number;
  _id: string;
  agentName?: string;
  error?: string;
  /**
   * A `ModelMessage` of the AI SDK.
   */
  message: unknown;
  model?: string;
  order: number;
  provider?: string;
  reasoning?: string;
  sources?: unknown[];
  status: string;
  stepOrder: number;
  text: string;
  threadId: string;
  /**
   * Whether the step calls a tool.
   */
  tool: boolean;
};
/**
 * A page of messages, and the streams that were asked for.
 */
export type MessageDocListing = {
  continueCursor: string;
  isDone: boolean;
  page: MessageDoc[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
  streams?: Streams;
};
/**
 * A running answer.
 */
export type StreamMessage = {
  format: string;
  model: string;
  order: number;
  status: string;
  stepOrder: number;
  streamId: string;
};
/**
 * What an answer said between two offsets, as `UIMessageChunk`s of the AI SDK.
 */
export type StreamDelta = {
  end: number;
  parts: unknown[];
  start: number;
  streamId: string;
};
/**
 * A message as the owner of its thread sees it.
 */
export type MessageView = {
  _creationTime: number;
  _id: string;
  agentId?: string;
  attempt?: number;
  completedAt?: number;
  createdAt: number;
  error?: Failure;
  externalId?: string;
  finishReason?: string;
  generationId?: string;
  model?: string;
  /**
   * The user opened the conversation without a word; there is nothing to show of it.
   */
  opening?: boolean;
  origin: Origin;
  page?: PageContext;
  parts: Part[];
  provider?: string;
  requestId?: string;
  role: Role;
  /**
   * The place in the thread: 0, 1, 2 and so on, without gaps.
   */
  seq: number;
  status: MessageStatus;
  /**
   * The answer that read it while it was being made, and shows it among its parts.
   */
  steered?: string;
  /**
   * It waits for the next step of the running answer, not for its end.
   */
  steers?: boolean;
  /**
   * The text parts joined.
   */
  text: string;
  threadId: string;
  usage?: Usage;
};
export type MessagesAppendArgs = {
  agentId?: string | null;
  citations?: Citation[] | null;
  /**
   * Another name for `text`.
   */
  content?: string | null;
  error?: Failure | null;
  externalId?: string | null;
  finishReason?: string | null;
  /**
   * The thread's `historyVersion` that the writer saw; `history_conflict` if it moved on.
   */
  historyVersion?: number | null;
  model?: string | null;
  parts?: PartInput[] | null;
  provider?: string | null;
  reasoningText?: string | null;
  /**
   * Repeating it gives the same message and changes nothing.
   */
  requestId?: string | null;
  role: Role;
  /**
   * Plain text. Give one of `text`, `content` and `parts`.
   */
  text?: string | null;
  threadId: string;
  tools?: ToolUse[] | null;
  usage?: UsageInput | null;
};
/**
 * A finished tool call, as older front ends send it.
 */
export type ToolUse = {
  args: unknown;
  name: string;
  result?: unknown;
};
export type MessagesGetArgs = {
  messageId: string;
};
export type MessagesListMessagesArgs = {
  paginationOpts: PaginationOpts;
  streamArgs?: StreamArgs | null;
  threadId: string;
};
export type MessagesPageArgs = {
  /**
   * `asc` (the default) begins with the oldest message, `desc` with the newest.
   */
  order?: Order | null;
  paginationOpts: PaginationOpts;
  threadId: string;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type MessagesPageReturns = {
  continueCursor: string;
  isDone: boolean;
  page: MessageView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
/**
 * A model that a client may name.
 */
export type ModelChoice = {
  id: string;
  isDefault: boolean;
  provider: string;
};
/**
 * The thread in which the user goes on.
 */
export type Opened = {
  generationId?: string;
  /**
   * Whether to show this conversation alone; earlier ones are in `windows:page`.
   */
  hideEarlier: boolean;
  isNew: boolean;
  /**
   * The greeting that was begun.
   */
  messageId?: string;
  /**
   * Of a new one: what the window before it was about, as far as it is summarised now.
   */
  previousSummary?: string;
  /**
   * Absent on a server without roles.
   */
  roleScope?: string;
  sessionId: string;
  threadId: string;
};
/**
 * The rows of an answer made outside.
 */
export type Opened2 = {
  generationId: string;
  messageId: string;
  userMessageId: string | null;
};
/**
 * A piece of a result that is too large for its row.
 */
export type OutputPage = {
  /**
   * Where to go on, in bytes.
   */
  cursor: number;
  done: boolean;
  text: string;
};
/**
 * What a user looks at while writing, in the application's own words.
 */
export type PageContextInput = {
  entityId?: string | null;
  entityType?: string | null;
  pageType: string;
};
/**
 * What people read for each phase: the words of whoever runs the server. None is blank.
 */
export type PhaseNames = {
  awaiting_approval: string;
  done: string;
  executing: string;
  planning: string;
};
/**
 * What the application says of the user.
 */
export type Profile = {
  fields: {
    [k: string]: unknown;
  };
  /**
   * 0 before the first. What to send as `baseVersion`.
   */
  version: number;
};
export type ProfileGetArgs = {
  /**
   * For backends: whose profile. Absent is the caller's own.
   */
  userId?: string | null;
};
export type ProfileSetArgs = {
  /**
   * The version that the writer saw; absent writes over any.
   */
  baseVersion?: number | null;
  /**
   * All fields from now on: texts, or any JSON.
   */
  fields: {
    [k: string]: unknown;
  };
  /**
   * For backends: whose profile. Absent is the caller's own.
   */
  userId?: string | null;
};
/**
 * A subscription as its owner sees it.
 */
export type PushView = {
  _creationTime: number;
  _id: string;
  createdAt: number;
  /**
   * By it a browser recognises its own.
   */
  endpoint: string;
  failures: number;
};
export type PushSubscribeArgs = {
  endpoint: string;
  /**
   * Browsers send it; it is not looked at.
   */
  expirationTime?: number | null;
  keys: Keys;
};
export type PushUnsubscribeArgs = {
  subscriptionId: string;
};
/**
 * The rows of an attempt.
 */
export type Retried = {
  generationId: string;
  messageId: string;
};
/**
 * A role, and what people call it.
 */
export type RoleChoice = {
  id: string;
  name: string;
};
/**
 * A rule as its owner sees it.
 */
export type RuleView = {
  _creationTime: number;
  _id: string;
  agentId?: string;
  arguments: Condition[];
  createdAt: number;
  createdFrom?: string;
  effect: Effect;
  lastUsedAt?: number;
  tool: string;
  uses: number;
};
export type RulesCreateArgs = {
  /**
   * Only calls of this agent; absent is of any.
   */
  agentId?: string | null;
  /**
   * Conditions that all hold; none is any arguments.
   */
  arguments?: ConditionInput[];
  effect: Effect;
  /**
   * The name of a tool, in which `*` stands for any text.
   */
  tool: string;
};
export type RulesRemoveArgs = {
  ruleId: string;
};
/**
 * A session as the owner of its thread and backends see it.
 */
export type RuntimeSessionView = {
  _creationTime: number;
  _id: string;
  createdAt: number;
  externalId?: string;
  lastUsedAt: number;
  mode?: string;
  phase?: Phase;
  /**
   * What people read for the phase.
   */
  phaseName?: string;
  planArtifactId?: string;
  planVersion?: number;
  provider?: string;
  /**
   * Why the last plan was not carried out, until there is another.
   */
  rejection?: string;
  runtime: string;
  status: SessionStatus;
  threadId: string;
  updatedAt: number;
};
/**
 * Which artifact, and its newest version.
 */
export type Saved = {
  artifactId: string;
  status: ArtifactStatus;
  version: number;
};
/**
 * Which version a list is at now.
 */
export type Saved2 = {
  version: number;
};
/**
 * The version that was written.
 */
export type Saved3 = {
  version: number;
};
/**
 * The rows of a turn. A queued turn has no answer yet.
 */
export type Sent = {
  generationId: string | null;
  messageId: string | null;
  queued?: boolean;
  userMessageId: string;
};
/**
 * What the server says about itself to anyone.
 */
export type ServerInfo = {
  /**
   * The assistants that a client may name; the first answers where nobody chose.
   */
  agents?: AgentChoice[];
  /**
   * Whether answers come from the built-in demo model, because no provider is configured.
   */
  demo: boolean;
  guests: GuestPolicy;
  /**
   * The largest file that can be uploaded.
   */
  maxUploadBytes: number;
  models: ModelChoice[];
  name: string;
  phases: PhaseNames;
  /**
   * The public key with which browsers subscribe to notices (RFC 8292), base64url.
   */
  pushKey?: string;
  /**
   * The roles that this server knows.
   */
  roles?: RoleChoice[];
  /**
   * Whether threads can be shared by link.
   */
  shareLinks: boolean;
  /**
   * The longest life of a share in days; 0 is for ever.
   */
  shareMaxDays: number;
  /**
   * Whether people can sign in at this server itself; `GET /api/auth/methods` says how.
   */
  signIn: boolean;
  version: string;
};
/**
 * A session as its user sees it.
 */
export type SessionView = {
  _id: string;
  /**
   * The network that it was last used from, coarsened.
   */
  address?: string;
  createdAt: number;
  expiresAt?: number;
  lastUsedAt?: number;
  /**
   * How the person signed in, as `password`.
   */
  method?: string;
  userAgent?: string;
};
export type SessionsCloseArgs = {
  runtime: string;
  threadId: string;
};
export type SessionsGetByThreadArgs = {
  /**
   * Absent is the one that was used last.
   */
  runtime?: string | null;
  threadId: string;
};
export type SessionsMarkLostArgs = {
  /**
   * The answer that found it out, and is made from the transcript: its log tells of it.
   */
  generationId?: string | null;
  runtime: string;
  threadId: string;
};
export type SessionsOpenArgs = {
  /**
   * What the runtime calls its session, if that is known.
   */
  externalId?: string | null;
  /**
   * Where the runtime works, and who provides that.
   */
  mode?: string | null;
  /**
   * Whether runs of this session plan, ask and execute: a new one begins in `planning`.
   */
  phases?: boolean | null;
  provider?: string | null;
  /**
   * Which program: `claude-agent-sdk`, `opencode`, or a word of the backend's own.
   */
  runtime: string;
  threadId: string;
};
export type SessionsRevokeArgs = {
  sessionId: string;
};
export type SessionsRevokeOthersArgs = {
  sessionId: string;
};
export type SessionsUpdateArgs = {
  externalId?: string | null;
  mode?: string | null;
  /**
   * The next phase of the run; one that does not follow is `invalid_phase`.
   */
  phase?: Phase | null;
  /**
   * With phase `awaiting_approval`: the plan, and the version that is to be approved; absent is the newest.
   */
  planArtifactId?: string | null;
  planVersion?: number | null;
  provider?: string | null;
  /**
   * With phase `planning`: why the plan is not carried out.
   */
  rejection?: string | null;
  runtime: string;
  status?: Told | null;
  threadId: string;
};
/**
 * A share as the owner of its thread sees it.
 */
export type ShareView = {
  _creationTime: number;
  _id: string;
  audience: Audience;
  createdAt: number;
  expiresAt?: number;
  includes: Includes;
  mode: ShareMode;
  open: boolean;
  /**
   * The path of a link that is open, `/s/…`. It ends in the token, which is the right to read.
   */
  path?: string;
  /**
   * Absent while the share can be read.
   */
  revokedAt?: number;
  threadId: string;
  viewerEmail?: string;
  viewerId?: string;
};
/**
 * A piece of the log of a running answer.
 */
export type SharedLogPage = {
  /**
   * Where to go on.
   */
  cursor: number;
  /**
   * What is not shown is left out, so the length of these says nothing about the cursor.
   */
  events: SharedEvent[];
  status: GenerationStatus;
};
/**
 * A message as the readers of a share see it.
 */
export type SharedMessage = {
  createdAt: number;
  /**
   * Of an answer that is being made: `shares:deltas` follows it.
   */
  generationId?: string;
  parts: SharedPart[];
  role: Role;
  /**
   * The place in the thread. Places of messages that are not shown are left out.
   */
  seq: number;
  status: MessageStatus;
  /**
   * The text parts joined.
   */
  text: string;
};
/**
 * What is shared, above its messages.
 */
export type SharedThread = {
  expiresAt?: number;
  includes: Includes;
  mode: ShareMode;
  /**
   * When it was shared; of a snapshot, the moment that it shows.
   */
  sharedAt: number;
  title: string;
};
/**
 * A thread that somebody shares with the caller.
 */
export type SharedWithMe = {
  /**
   * The name of the owner, if it is known.
   */
  from?: string;
  lastActivityAt: number;
  shareId: string;
  sharedAt: number;
  title: string;
};
export type SharesCopyArgs = {
  shareId?: string | null;
  token?: string | null;
};
export type SharesCreateArgs = {
  /**
   * Milliseconds since the Unix epoch; absent is as long as the server allows.
   */
  expiresAt?: number | null;
  includes?: IncludesInput | null;
  mode: ShareMode;
  threadId: string;
};
export type SharesDeltasArgs = {
  /**
   * Where to read from: 0, or the `cursor` of an earlier result.
   */
  cursor?: number;
  generationId: string;
  shareId?: string | null;
  token?: string | null;
};
export type SharesFileUrlArgs = {
  /**
   * The message that shows the file.
   */
  seq: number;
  shareId?: string | null;
  token?: string | null;
  uploadId: string;
};
export type SharesGetArgs = {
  shareId: string;
};
export type SharesGrantArgs = {
  /**
   * The person, by the address that they sign in with …
   */
  email?: string | null;
  /**
   * Milliseconds since the Unix epoch; absent is as long as the server allows.
   */
  expiresAt?: number | null;
  includes?: IncludesInput | null;
  threadId: string;
  /**
   * … or by id.
   */
  userId?: string | null;
};
export type SharesListArgs = {
  threadId: string;
};
export type SharesMessagesArgs = {
  /**
   * `asc` (the default) begins with the oldest message, `desc` with the newest.
   */
  order?: Order | null;
  paginationOpts: PaginationOpts;
  shareId?: string | null;
  token?: string | null;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type SharesMessagesReturns = {
  continueCursor: string;
  isDone: boolean;
  page: SharedMessage[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
export type SharesRevokeArgs = {
  shareId: string;
};
export type SharesViewArgs = {
  /**
   * … or a share with the caller.
   */
  shareId?: string | null;
  /**
   * Of a link …
   */
  token?: string | null;
};
export type SignedUrl = {
  /**
   * Milliseconds since the Unix epoch.
   */
  expiresAt: number;
  /**
   * Relative to the server, with a query; `offset` and `live` are added with `&`.
   */
  url: string;
};
/**
 * Whether a generation was told to stop.
 */
export type Stopped = {
  /**
   * Why nothing was done.
   */
  reason?: string;
  stopped: boolean;
};
export type StreamsReadUrlArgs = {
  /**
   * … or one of the caller's generations.
   */
  generationId?: string | null;
  /**
   * The path of one of the caller's streams …
   */
  path?: string | null;
  /**
   * How long the URL can be opened, 1 second to a week.
   */
  ttlSeconds: number;
};
export type SummariesGetArgs = {
  threadId: string;
};
/**
 * A summary as the owner of the thread sees it.
 */
export type SummaryView = {
  madeAt?: number;
  /**
   * The model that made it, or `excerpts` where none was asked.
   */
  model?: string;
  /**
   * Complete messages in it.
   */
  summarizedMessageCount: number;
  /**
   * Empty until it is made.
   */
  text: string;
  /**
   * The place of the newest message in it.
   */
  throughSeq?: number;
  /**
   * Its length, estimated.
   */
  tokens: number;
  /**
   * How often it was made; 0 is not yet.
   */
  version: number;
};
/**
 * A piece of the text of a version.
 */
export type TextPage = {
  /**
   * Where to go on.
   */
  cursor: number;
  /**
   * Whether the version is whole and nothing follows.
   */
  done: boolean;
  text: string;
};
/**
 * A page of the approvals of a thread, and how many of them wait for a decision.
 */
export type ThreadApprovals = {
  continueCursor: string;
  isDone: boolean;
  page: ApprovalView[];
  pageStatus: PageStatus | null;
  pendingCount: number;
  splitCursor: string | null;
};
/**
 * A thread as its owner sees it.
 */
export type ThreadView = {
  _creationTime: number;
  _id: string;
  /**
   * The answer that is being made now.
   */
  activeGenerationId?: string;
  agentId?: string;
  /**
   * Of a thread that has a window (`threads:getOrCreate`): its application, role and window.
   */
  app?: string;
  context?: string;
  createdAt: number;
  externalId?: string;
  /**
   * What to send as `historyVersion` to add to exactly this history.
   */
  historyVersion: number;
  isDefault: boolean;
  lastActivityAt: number;
  lastRole?: string;
  messageCount: number;
  model?: string;
  pinned: boolean;
  roleScope?: string;
  status: ThreadStatus;
  tags: string[];
  title: string;
  titleSource: TitleSource;
  updatedAt: number;
  windowId?: string;
  workerId?: string;
};
export type ThreadsClearArgs = {
  threadId: string;
};
export type ThreadsCreateArgs = {
  /**
   * Which part of an application the thread belongs to.
   */
  context?: string | null;
  /**
   * The client's own name for the thread. Creating it again gives the same thread.
   */
  externalId?: string | null;
  /**
   * The model of the thread's answers, unless a turn names another.
   */
  model?: string | null;
  tags?: string[] | null;
  title?: string | null;
  /**
   * An approved worker of the caller that is to answer here; absent is the server.
   */
  workerId?: string | null;
};
export type ThreadsFindArgs = {
  externalId: string;
};
export type ThreadsGetArgs = {
  threadId: string;
};
export type ThreadsGetOrCreateArgs = {
  /**
   * Which application the conversation belongs to; absent is `assistant`.
   */
  app?: string | null;
  /**
   * The assistant speaks first where nothing was said yet.
   */
  greeting?: boolean | null;
  /**
   * In which of the roles that the user has; one that the user lacks is not followed.
   */
  roleScope?: string | null;
};
export type ThreadsListThreadMessagesArgs = {
  paginationOpts: PaginationOpts;
  streamArgs?: StreamArgs | null;
  threadId: string;
};
export type ThreadsPageArgs = {
  /**
   * Only threads of this context; null or absent is every thread.
   */
  context?: string | null;
  paginationOpts: PaginationOpts;
  /**
   * Pinned threads come before all others.
   */
  pinnedFirst?: boolean | null;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type ThreadsPageReturns = {
  continueCursor: string;
  isDone: boolean;
  page: ThreadView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
export type ThreadsRemoveArgs = {
  threadId: string;
};
export type ThreadsUpdateArgs = {
  /**
   * Null clears it.
   */
  context?: string | null;
  /**
   * Null clears it.
   */
  model?: string | null;
  pinned?: boolean | null;
  status?: ThreadStatus | null;
  tags?: string[] | null;
  threadId: string;
  title?: string | null;
  /**
   * Who makes the next answers. Null gives them to the server.
   */
  workerId?: string | null;
};
export type Todo = {
  status: TodoStatus;
  /**
   * One line.
   */
  text: string;
};
export type TodosGetArgs = {
  threadId: string;
};
export type TodosUpdateArgs = {
  /**
   * The version that the writer saw; `history_conflict` if there is a newer one.
   */
  baseVersion: number;
  threadId: string;
  /**
   * The whole list.
   */
  todos: Todo[];
};
/**
 * The list as the owner of the thread sees it.
 */
export type TodosView = {
  author?: Author;
  threadId: string;
  todos: Todo[];
  updatedAt?: number;
  /**
   * What to send as `baseVersion`; 0 as long as nobody wrote a list.
   */
  version: number;
};
/**
 * A call as the owner of its thread sees it.
 */
export type ToolCallView = {
  _creationTime: number;
  _id: string;
  agentId?: string;
  approvalId?: string;
  createdAt: number;
  effectiveRole?: string;
  endedAt?: number;
  error?: string;
  errorCode?: CallError;
  generationId: string;
  input: unknown;
  messageId: string;
  output?: unknown;
  /**
   * Bytes of the whole result, where `output` is only its beginning: `toolCalls:output` reads it.
   */
  outputBytes?: number;
  startedAt?: number;
  state: ToolState;
  /**
   * 0 in an answer made outside.
   */
  step: number;
  threadId: string;
  tool: string;
  toolCallId: string;
  userId: string;
};
export type ToolCallsGetArgs = {
  id: string;
};
export type ToolCallsListByThreadArgs = {
  paginationOpts: PaginationOpts;
  threadId: string;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type ToolCallsListByThreadReturns = {
  continueCursor: string;
  isDone: boolean;
  page: ToolCallView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
export type ToolCallsOutputArgs = {
  /**
   * Where to read from: 0, or the `cursor` of an earlier result.
   */
  cursor?: number;
  id: string;
};
export type TurnsRegenerateArgs = {
  messageId: string;
  /**
   * Another model for the new attempt.
   */
  model?: string | null;
  /**
   * In which of the roles that the user has it is answered now.
   */
  role?: string | null;
};
export type TurnsRetryArgs = {
  messageId: string;
  /**
   * Another model for the new attempt.
   */
  model?: string | null;
  /**
   * In which of the roles that the user has it is answered now.
   */
  role?: string | null;
};
export type TurnsSendAndWaitArgs = {
  /**
   * Which of the server's assistants answers, instead of the thread's.
   */
  agent?: string | null;
  /**
   * Uploads of this thread that the message shows, before its text.
   */
  files?: string[] | null;
  /**
   * The thread's `historyVersion` that the writer saw; `history_conflict` if it moved on.
   */
  historyVersion?: number | null;
  /**
   * Absent means the server's setting.
   */
  ifBusy?: IfBusy | null;
  /**
   * Who is to answer; `runner_unavailable` if it is not who answers in this thread. Absent takes whoever does.
   */
  mode?: Mode | null;
  /**
   * The model of this answer, instead of the thread's.
   */
  model?: string | null;
  /**
   * What the writer is looking at; kept with the message.
   */
  page?: PageContextInput | null;
  /**
   * Repeating it in the same thread gives the same ids and changes nothing.
   */
  requestId?: string | null;
  /**
   * In which of the roles that the user has it is answered; one that the user lacks is not followed.
   */
  role?: string | null;
  /**
   * May be empty if there are files, and in a thread without messages: then the assistant greets.
   */
  text: string;
  threadId: string;
  /**
   * Whether the answer has to begin with a call of a tool.
   */
  toolChoice?: ToolChoice | null;
};
export type TurnsSendArgs = {
  /**
   * Which of the server's assistants answers, instead of the thread's.
   */
  agent?: string | null;
  /**
   * Uploads of this thread that the message shows, before its text.
   */
  files?: string[] | null;
  /**
   * The thread's `historyVersion` that the writer saw; `history_conflict` if it moved on.
   */
  historyVersion?: number | null;
  /**
   * Absent means the server's setting.
   */
  ifBusy?: IfBusy | null;
  /**
   * Who is to answer; `runner_unavailable` if it is not who answers in this thread. Absent takes whoever does.
   */
  mode?: Mode | null;
  /**
   * The model of this answer, instead of the thread's.
   */
  model?: string | null;
  /**
   * What the writer is looking at; kept with the message.
   */
  page?: PageContextInput | null;
  /**
   * Repeating it in the same thread gives the same ids and changes nothing.
   */
  requestId?: string | null;
  /**
   * In which of the roles that the user has it is answered; one that the user lacks is not followed.
   */
  role?: string | null;
  /**
   * May be empty if there are files, and in a thread without messages: then the assistant greets.
   */
  text: string;
  threadId: string;
  /**
   * Whether the answer has to begin with a call of a tool.
   */
  toolChoice?: ToolChoice | null;
};
export type TurnsWithdrawArgs = {
  messageId: string;
};
/**
 * A message as the AI SDK's `UIMessage`, with its place. `order` is the message's `seq`.
 */
export type UiMessage = {
  _creationTime: number;
  id: string;
  key: string;
  order: number;
  /**
   * `UIMessagePart`s of the AI SDK.
   */
  parts: unknown[];
  role: string;
  status: string;
  stepOrder: number;
  text: string;
};
/**
 * A page of messages, and the streams that were asked for.
 */
export type UiMessageListing = {
  continueCursor: string;
  isDone: boolean;
  page: UiMessage[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
  streams?: Streams;
};
/**
 * A file as the readers of its thread see it.
 */
export type UploadView = {
  _creationTime: number;
  _id: string;
  createdAt: number;
  fileName: string;
  mediaType: string;
  /**
   * 64 hexadecimal digits.
   */
  sha256: string;
  size: number;
  threadId: string;
};
export type UploadsGetArgs = {
  uploadId: string;
};
export type UploadsListArgs = {
  threadId: string;
};
export type UploadsReadUrlArgs = {
  /**
   * How long the URL can be opened, 1 second to a week.
   */
  ttlSeconds: number;
  uploadId: string;
};
export type UploadsRemoveArgs = {
  uploadId: string;
};
export type UsageView = {
  /**
   * Answers of this month that said what they cost.
   */
  answers: number;
  inputTokens: number;
  /**
   * `2026-11`, in UTC.
   */
  month: string;
  outputTokens: number;
  /**
   * When the month is over, in milliseconds since the Unix epoch.
   */
  resetsAt: number;
  storageBytes: Measure;
  threads: Measure;
  tokens: Measure;
};
/**
 * A user as that user sees it.
 */
export type UserView = {
  _id: string;
  /**
   * The role in which turns are answered that name none.
   */
  effectiveRole?: string;
  email?: string;
  isAdmin?: boolean;
  kind: UserKind;
  name?: string;
  picture?: string;
  roles?: string[];
  viewingAsRole?: string;
};
export type UsersSetRolesArgs = {
  /**
   * All roles of the user from now on; the first is the usual one.
   */
  roles: string[];
  userId: string;
};
export type UsersViewAsArgs = {
  /**
   * Null or absent ends it.
   */
  role?: string | null;
};
/**
 * A window as its user sees it.
 */
export type WindowView = {
  _id: string;
  app: string;
  /**
   * Absent while it is open.
   */
  closedAt?: number;
  openedAt: number;
  /**
   * Absent on a server without roles.
   */
  roleScope?: string;
  threadId: string;
};
export type WindowsPageArgs = {
  /**
   * Only windows of this application; absent is every one.
   */
  app?: string | null;
  paginationOpts: PaginationOpts;
};
/**
 * One page, in the form that `usePaginatedQuery` expects.
 */
export type WindowsPageReturns = {
  continueCursor: string;
  isDone: boolean;
  page: WindowView[];
  pageStatus: PageStatus | null;
  splitCursor: string | null;
};
/**
 * A worker with the token that it signs in with. The token is shown this once.
 */
export type WithToken = {
  /**
   * `machine_<id>:worker_<id>:secret_<secret>`
   */
  token: string;
  worker: WorkerView;
};
/**
 * A worker as the owner of its machine sees it: without the secret and its hash.
 */
export type WorkerView = {
  _creationTime: number;
  _id: string;
  approval: WorkerApproval;
  approvedAt?: number;
  approvedBy?: string;
  connectedAt?: number;
  createdAt: number;
  epoch: number;
  lastHeartbeatAt?: number;
  machineId: string;
  name?: string;
  presence: Presence;
};
export type WorkersApproveArgs = {
  workerId: string;
};
export type WorkersAssignedArgs = {
  /**
   * What `workers:connect` gave.
   */
  epoch: number;
};
export type WorkersClaimArgs = {
  epoch: number;
  /**
   * Which answer; absent is the one that has waited longest.
   */
  generationId?: string | null;
};
export type WorkersCreateArgs = {
  machineId: string;
  name?: string | null;
};
export type WorkersHeartbeatArgs = {
  /**
   * What `workers:connect` gave.
   */
  epoch: number;
};
export type WorkersListArgs = {
  /**
   * Only workers of this machine; absent is every machine of the caller.
   */
  machineId?: string | null;
};
export type WorkersRejectArgs = {
  workerId: string;
};
export type WorkersRemoveArgs = {
  workerId: string;
};
export type WorkersRevokeArgs = {
  workerId: string;
};
export type WorkersRotateArgs = {
  workerId: string;
};
/**
 * Where a text ends.
 */
export type Written = {
  cursor: number;
};

/** Every public function, as the official client takes it. */
export const api = {
  account: {
    deleteMyAccount: makeFunctionReference<"action", AccountDeleteMyAccountArgs, AccountDeleted>("account:deleteMyAccount"),
  },
  "ai/streaming": {
    listMessages: makeFunctionReference<"query", AiStreamingListMessagesArgs, UiMessageListing>("ai/streaming:listMessages"),
  },
  approvals: {
    decide: makeFunctionReference<"mutation", ApprovalsDecideArgs, ApprovalView>("approvals:decide"),
    decideMany: makeFunctionReference<"mutation", ApprovalsDecideManyArgs, ApprovalsDecideManyReturns>("approvals:decideMany"),
    get: makeFunctionReference<"query", ApprovalsGetArgs, ApprovalView>("approvals:get"),
    list: makeFunctionReference<"query", ApprovalsListArgs, ApprovalInbox>("approvals:list"),
    listByThread: makeFunctionReference<"query", ApprovalsListByThreadArgs, ThreadApprovals>("approvals:listByThread"),
    markSeen: makeFunctionReference<"mutation", ApprovalsMarkSeenArgs, ApprovalsMarkSeenReturns>("approvals:markSeen"),
    ofAnswer: makeFunctionReference<"query", ApprovalsOfAnswerArgs, ApprovalsOfAnswerReturns>("approvals:ofAnswer"),
    request: makeFunctionReference<"mutation", ApprovalsRequestArgs, ApprovalView>("approvals:request"),
  },
  artifacts: {
    append: makeFunctionReference<"mutation", ArtifactsAppendArgs, Written>("artifacts:append"),
    begin: makeFunctionReference<"mutation", ArtifactsBeginArgs, Begun>("artifacts:begin"),
    create: makeFunctionReference<"mutation", ArtifactsCreateArgs, Saved>("artifacts:create"),
    deltas: makeFunctionReference<"query", ArtifactsDeltasArgs, TextPage>("artifacts:deltas"),
    diff: makeFunctionReference<"query", ArtifactsDiffArgs, Difference>("artifacts:diff"),
    finish: makeFunctionReference<"mutation", ArtifactsFinishArgs, Saved>("artifacts:finish"),
    get: makeFunctionReference<"query", ArtifactsGetArgs, ArtifactView>("artifacts:get"),
    listByThread: makeFunctionReference<"query", ArtifactsListByThreadArgs, ArtifactsListByThreadReturns>("artifacts:listByThread"),
    update: makeFunctionReference<"mutation", ArtifactsUpdateArgs, Saved>("artifacts:update"),
    versions: makeFunctionReference<"query", ArtifactsVersionsArgs, ArtifactsVersionsReturns>("artifacts:versions"),
  },
  audit: {
    mine: makeFunctionReference<"query", AuditMineArgs, AuditMineReturns>("audit:mine"),
  },
  debug: {
    prompt: makeFunctionReference<"query", DebugPromptArgs, DebugPromptReturns>("debug:prompt"),
  },
  generations: {
    active: makeFunctionReference<"query", GenerationsActiveArgs, GenerationsActiveReturns>("generations:active"),
    append: makeFunctionReference<"mutation", GenerationsAppendArgs, Appended>("generations:append"),
    deltas: makeFunctionReference<"query", GenerationsDeltasArgs, LogPage>("generations:deltas"),
    finish: makeFunctionReference<"mutation", GenerationsFinishArgs, Finished>("generations:finish"),
    get: makeFunctionReference<"query", GenerationsGetArgs, GenerationView>("generations:get"),
    open: makeFunctionReference<"mutation", GenerationsOpenArgs, Opened2>("generations:open"),
    stop: makeFunctionReference<"mutation", GenerationsStopArgs, Stopped>("generations:stop"),
  },
  instructions: {
    get: makeFunctionReference<"query", InstructionsGetArgs, Instructions>("instructions:get"),
    set: makeFunctionReference<"mutation", InstructionsSetArgs, Saved3>("instructions:set"),
    versions: makeFunctionReference<"query", InstructionsVersionsArgs, InstructionsVersionsReturns>("instructions:versions"),
  },
  logs: {
    cleanUp: makeFunctionReference<"mutation", LogsCleanUpArgs, Deleted>("logs:cleanUp"),
  },
  machines: {
    create: makeFunctionReference<"mutation", MachinesCreateArgs, MachinesCreateReturns>("machines:create"),
    list: makeFunctionReference<"query", MachinesListArgs, MachinesListReturns>("machines:list"),
    remove: makeFunctionReference<"mutation", MachinesRemoveArgs, MachinesRemoveReturns>("machines:remove"),
  },
  memory: {
    clear: makeFunctionReference<"mutation", MemoryClearArgs, MemoryClearReturns>("memory:clear"),
    clearAll: makeFunctionReference<"mutation", MemoryClearAllArgs, Cleared>("memory:clearAll"),
    get: makeFunctionReference<"query", MemoryGetArgs, Memory>("memory:get"),
    update: makeFunctionReference<"mutation", MemoryUpdateArgs, Saved3>("memory:update"),
    versions: makeFunctionReference<"query", MemoryVersionsArgs, MemoryVersionsReturns>("memory:versions"),
  },
  messages: {
    append: makeFunctionReference<"mutation", MessagesAppendArgs, MessagesAppendReturns>("messages:append"),
    get: makeFunctionReference<"query", MessagesGetArgs, MessageView>("messages:get"),
    listMessages: makeFunctionReference<"query", MessagesListMessagesArgs, UiMessageListing>("messages:listMessages"),
    page: makeFunctionReference<"query", MessagesPageArgs, MessagesPageReturns>("messages:page"),
  },
  profile: {
    get: makeFunctionReference<"query", ProfileGetArgs, Profile>("profile:get"),
    set: makeFunctionReference<"mutation", ProfileSetArgs, Saved3>("profile:set"),
  },
  push: {
    list: makeFunctionReference<"query", PushListArgs, PushListReturns>("push:list"),
    subscribe: makeFunctionReference<"mutation", PushSubscribeArgs, PushSubscribeReturns>("push:subscribe"),
    unsubscribe: makeFunctionReference<"mutation", PushUnsubscribeArgs, PushUnsubscribeReturns>("push:unsubscribe"),
  },
  rules: {
    create: makeFunctionReference<"mutation", RulesCreateArgs, RuleView>("rules:create"),
    list: makeFunctionReference<"query", RulesListArgs, RulesListReturns>("rules:list"),
    remove: makeFunctionReference<"mutation", RulesRemoveArgs, RulesRemoveReturns>("rules:remove"),
  },
  server: {
    info: makeFunctionReference<"query", ServerInfoArgs, ServerInfo>("server:info"),
  },
  sessions: {
    close: makeFunctionReference<"mutation", SessionsCloseArgs, RuntimeSessionView>("sessions:close"),
    getByThread: makeFunctionReference<"query", SessionsGetByThreadArgs, SessionsGetByThreadReturns>("sessions:getByThread"),
    list: makeFunctionReference<"query", SessionsListArgs, SessionsListReturns>("sessions:list"),
    markLost: makeFunctionReference<"mutation", SessionsMarkLostArgs, RuntimeSessionView>("sessions:markLost"),
    open: makeFunctionReference<"mutation", SessionsOpenArgs, RuntimeSessionView>("sessions:open"),
    revoke: makeFunctionReference<"mutation", SessionsRevokeArgs, SessionsRevokeReturns>("sessions:revoke"),
    revokeOthers: makeFunctionReference<"mutation", SessionsRevokeOthersArgs, SessionsRevokeOthersReturns>("sessions:revokeOthers"),
    update: makeFunctionReference<"mutation", SessionsUpdateArgs, RuntimeSessionView>("sessions:update"),
  },
  shares: {
    copy: makeFunctionReference<"mutation", SharesCopyArgs, Copied>("shares:copy"),
    create: makeFunctionReference<"mutation", SharesCreateArgs, SharesCreateReturns>("shares:create"),
    deltas: makeFunctionReference<"query", SharesDeltasArgs, SharedLogPage>("shares:deltas"),
    fileUrl: makeFunctionReference<"mutation", SharesFileUrlArgs, SignedUrl>("shares:fileUrl"),
    get: makeFunctionReference<"query", SharesGetArgs, ShareView>("shares:get"),
    grant: makeFunctionReference<"mutation", SharesGrantArgs, SharesGrantReturns>("shares:grant"),
    list: makeFunctionReference<"query", SharesListArgs, SharesListReturns>("shares:list"),
    messages: makeFunctionReference<"query", SharesMessagesArgs, SharesMessagesReturns>("shares:messages"),
    revoke: makeFunctionReference<"mutation", SharesRevokeArgs, SharesRevokeReturns>("shares:revoke"),
    view: makeFunctionReference<"query", SharesViewArgs, SharedThread>("shares:view"),
    withMe: makeFunctionReference<"query", SharesWithMeArgs, SharesWithMeReturns>("shares:withMe"),
  },
  streams: {
    readUrl: makeFunctionReference<"mutation", StreamsReadUrlArgs, SignedUrl>("streams:readUrl"),
  },
  summaries: {
    get: makeFunctionReference<"query", SummariesGetArgs, SummaryView>("summaries:get"),
  },
  threads: {
    clear: makeFunctionReference<"mutation", ThreadsClearArgs, Deleted>("threads:clear"),
    clearAll: makeFunctionReference<"mutation", ThreadsClearAllArgs, Deleted>("threads:clearAll"),
    create: makeFunctionReference<"mutation", ThreadsCreateArgs, ThreadsCreateReturns>("threads:create"),
    find: makeFunctionReference<"query", ThreadsFindArgs, ThreadsFindReturns>("threads:find"),
    get: makeFunctionReference<"query", ThreadsGetArgs, ThreadsGetReturns>("threads:get"),
    getOrCreate: makeFunctionReference<"mutation", ThreadsGetOrCreateArgs, Opened>("threads:getOrCreate"),
    getOrCreateDefault: makeFunctionReference<"mutation", ThreadsGetOrCreateDefaultArgs, ThreadsGetOrCreateDefaultReturns>("threads:getOrCreateDefault"),
    listThreadMessages: makeFunctionReference<"query", ThreadsListThreadMessagesArgs, MessageDocListing>("threads:listThreadMessages"),
    page: makeFunctionReference<"query", ThreadsPageArgs, ThreadsPageReturns>("threads:page"),
    remove: makeFunctionReference<"mutation", ThreadsRemoveArgs, ThreadsRemoveReturns>("threads:remove"),
    update: makeFunctionReference<"mutation", ThreadsUpdateArgs, ThreadsUpdateReturns>("threads:update"),
  },
  todos: {
    get: makeFunctionReference<"query", TodosGetArgs, TodosView>("todos:get"),
    update: makeFunctionReference<"mutation", TodosUpdateArgs, Saved2>("todos:update"),
  },
  toolCalls: {
    get: makeFunctionReference<"query", ToolCallsGetArgs, ToolCallView>("toolCalls:get"),
    listByThread: makeFunctionReference<"query", ToolCallsListByThreadArgs, ToolCallsListByThreadReturns>("toolCalls:listByThread"),
    output: makeFunctionReference<"query", ToolCallsOutputArgs, OutputPage>("toolCalls:output"),
  },
  turns: {
    regenerate: makeFunctionReference<"mutation", TurnsRegenerateArgs, Retried>("turns:regenerate"),
    retry: makeFunctionReference<"mutation", TurnsRetryArgs, Retried>("turns:retry"),
    send: makeFunctionReference<"mutation", TurnsSendArgs, Sent>("turns:send"),
    sendAndWait: makeFunctionReference<"action", TurnsSendAndWaitArgs, MessageView>("turns:sendAndWait"),
    withdraw: makeFunctionReference<"mutation", TurnsWithdrawArgs, TurnsWithdrawReturns>("turns:withdraw"),
  },
  uploads: {
    get: makeFunctionReference<"query", UploadsGetArgs, UploadView>("uploads:get"),
    list: makeFunctionReference<"query", UploadsListArgs, UploadsListReturns>("uploads:list"),
    readUrl: makeFunctionReference<"mutation", UploadsReadUrlArgs, SignedUrl>("uploads:readUrl"),
    remove: makeFunctionReference<"mutation", UploadsRemoveArgs, UploadsRemoveReturns>("uploads:remove"),
  },
  usage: {
    me: makeFunctionReference<"query", UsageMeArgs, UsageView>("usage:me"),
  },
  users: {
    me: makeFunctionReference<"query", UsersMeArgs, UsersMeReturns>("users:me"),
    setRoles: makeFunctionReference<"mutation", UsersSetRolesArgs, UserView>("users:setRoles"),
    viewAs: makeFunctionReference<"mutation", UsersViewAsArgs, UserView>("users:viewAs"),
  },
  windows: {
    page: makeFunctionReference<"query", WindowsPageArgs, WindowsPageReturns>("windows:page"),
  },
  workers: {
    approve: makeFunctionReference<"mutation", WorkersApproveArgs, WorkerView>("workers:approve"),
    assigned: makeFunctionReference<"query", WorkersAssignedArgs, WorkersAssignedReturns>("workers:assigned"),
    claim: makeFunctionReference<"mutation", WorkersClaimArgs, WorkersClaimReturns>("workers:claim"),
    connect: makeFunctionReference<"mutation", WorkersConnectArgs, Connected>("workers:connect"),
    create: makeFunctionReference<"action", WorkersCreateArgs, WithToken>("workers:create"),
    heartbeat: makeFunctionReference<"mutation", WorkersHeartbeatArgs, WorkersHeartbeatReturns>("workers:heartbeat"),
    list: makeFunctionReference<"query", WorkersListArgs, WorkersListReturns>("workers:list"),
    listPending: makeFunctionReference<"query", WorkersListPendingArgs, WorkersListPendingReturns>("workers:listPending"),
    reject: makeFunctionReference<"mutation", WorkersRejectArgs, WorkersRejectReturns>("workers:reject"),
    remove: makeFunctionReference<"mutation", WorkersRemoveArgs, WorkersRemoveReturns>("workers:remove"),
    revoke: makeFunctionReference<"mutation", WorkersRevokeArgs, WorkerView>("workers:revoke"),
    rotate: makeFunctionReference<"action", WorkersRotateArgs, WithToken>("workers:rotate"),
  },
};
