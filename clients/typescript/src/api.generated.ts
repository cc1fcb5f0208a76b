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
export type ArtifactStatus = ("draft" | "approved" | "rejected" | "archived") | "superseded";
/**
 * Who wrote a version.
 */
export type Author = "user" | "agent";
export type PageStatus = "SplitRecommended" | "SplitRequired";
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
      error?: string | null;
      output?: unknown;
      toolCallId: string;
      type: "tool_end";
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
export type GenerationStatus =
  ("queued" | "streaming" | "complete" | "error" | "stopped") | "claimed" | "interrupted";
/**
 * Who makes the answer.
 */
export type Runner = "hosted" | "external";
export type GenerationsActiveArgs = Record<string, never>;
export type GenerationsActiveReturns = GenerationView[];
/**
 * What a visitor without an account may do.
 */
export type GuestPolicy = "off" | "local" | "server";
/**
 * What to do if an answer is being made in the thread.
 */
export type IfBusy = "refuse" | "queue";
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
      snippet?: string;
      title: string;
      type: "source";
      url: string;
    }
  | {
      artifactId: string;
      kind?: string;
      title?: string;
      type: "artifact";
      version: number;
    }
  | {
      approvalId: string;
      kind?: ApprovalKind;
      status?: ApprovalStatus;
      toolCallId?: string;
      type: "approval";
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
 * How far a tool call is.
 */
export type ToolState =
  "pending" | "awaiting_approval" | "running" | "completed" | "error" | "cancelled" | "denied";
export type Role = "user" | "assistant" | "system" | "tool";
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
      snippet?: string | null;
      title: string;
      type: "source";
      url: string;
    }
  | {
      artifactId: string;
      kind?: string | null;
      title?: string | null;
      type: "artifact";
      version: number;
    }
  | {
      approvalId: string;
      kind?: ApprovalKind | null;
      status?: ApprovalStatus | null;
      toolCallId?: string | null;
      type: "approval";
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
export type ServerInfoArgs = Record<string, never>;
export type SessionsListArgs = Record<string, never>;
export type SessionsListReturns = SessionView[];
export type SessionsRevokeOthersReturns = null;
export type SessionsRevokeReturns = null;
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
export type UploadsListReturns = UploadView[];
export type UploadsRemoveReturns = null;
export type UserKind = ("full" | "service") | "anonymous";
export type UsersMeArgs = Record<string, never>;
export type UsersMeReturns = UserView | null;

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
   * With `producer`: the highest number taken from it, and whether this one had been taken before.
   */
  producerSeq?: number;
  reason?: string;
};
/**
 * An approval as the owner of its thread and its asker see it.
 */
export type ApprovalView = {
  _creationTime: number;
  _id: string;
  artifactId?: string;
  /**
   * The offset of the answer's log after the request, if it is in the log.
   */
  askedAtOffset?: number;
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
  /**
   * The arguments as they were asked about.
   */
  input?: unknown;
  kind: ApprovalKind;
  messageId: string;
  question?: string;
  reason?: string;
  resolvedAt?: number;
  resolvedBy?: string;
  status: ApprovalStatus;
  threadId: string;
  tool?: string;
  toolCallId?: string;
  /**
   * The version that was asked about.
   */
  version?: number;
};
export type ApprovalsDecideArgs = {
  approvalId: string;
  approve: boolean;
  /**
   * What the caller believes to decide about. If it is something else, nothing is decided.
   */
  claim?: Claim | null;
  /**
   * With a plan that is approved: this text instead, which becomes the artifact's new version.
   */
  editedContent?: string | null;
  /**
   * With a tool call that is approved: run it with these arguments instead.
   */
  editedInput?: unknown;
  /**
   * Told to the asker.
   */
  reason?: string | null;
};
/**
 * What a client says that it was shown.
 */
export type Claim = {
  input: unknown;
  threadId: string;
  toolCallId: string;
};
export type ApprovalsGetArgs = {
  approvalId: string;
};
export type ApprovalsListArgs = {
  paginationOpts: PaginationOpts;
};
export type ApprovalsListByThreadArgs = {
  paginationOpts: PaginationOpts;
  threadId: string;
};
export type ApprovalsRequestArgs = {
  /**
   * With kind `plan`: the artifact, and the version that is to be approved; absent is the newest.
   */
  artifactId?: string | null;
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
   * The newest version: what to send as `baseVersion`.
   */
  version: number;
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
   * The newest version: what to send as `baseVersion`.
   */
  current: number;
  generationId?: string;
  kind: string;
  messageId?: string;
  status: ArtifactStatus;
  threadId: string;
  title: string;
  toolCallId?: string;
  version: number;
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
  generationId?: string;
  messageId?: string;
  status: ArtifactStatus;
  title: string;
  toolCallId?: string;
  version: number;
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
export type Usage = {
  cachedTokens?: number;
  inputTokens: number;
  outputTokens: number;
  reasoningTokens?: number;
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
 * How a generation has ended.
 */
export type Finished = {
  /**
   * Where the log ended.
   */
  cursor: number;
  status: GenerationStatus;
};
/**
 * A generation as the owner of its thread sees it.
 */
export type GenerationView = {
  _creationTime: number;
  _id: string;
  attempt: number;
  createdAt: number;
  /**
   * Where the log ended when this was read. New tokens alone do not make a live result new.
   */
  cursor: number;
  endedAt?: number;
  error?: Failure;
  finishReason?: string;
  messageId: string;
  model: string;
  provider?: string;
  runner: Runner;
  startedAt?: number;
  status: GenerationStatus;
  stopRequestedAt?: number;
  threadId: string;
  usage?: Usage;
};
export type GenerationsAppendArgs = {
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
 * A page of approvals, and how many wait for a decision.
 */
export type Inbox = {
  continueCursor: string;
  isDone: boolean;
  page: ApprovalView[];
  pageStatus: PageStatus | null;
  pendingCount: number;
  splitCursor: string | null;
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
  origin: Origin;
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
 * The rows of an answer made outside.
 */
export type Opened = {
  generationId: string;
  messageId: string;
  userMessageId: string | null;
};
/**
 * The rows of an attempt.
 */
export type Retried = {
  generationId: string;
  messageId: string;
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
export type SessionsRevokeArgs = {
  sessionId: string;
};
export type SessionsRevokeOthersArgs = {
  sessionId: string;
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
  context?: string;
  createdAt: number;
  externalId?: string;
  /**
   * What to send as `historyVersion` to add to exactly this history.
   */
  historyVersion: number;
  isDefault: boolean;
  lastActivityAt: number;
  messageCount: number;
  model?: string;
  pinned: boolean;
  status: ThreadStatus;
  tags: string[];
  title: string;
  titleSource: TitleSource;
  updatedAt: number;
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
};
export type ThreadsFindArgs = {
  externalId: string;
};
export type ThreadsGetArgs = {
  threadId: string;
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
};
export type TurnsRegenerateArgs = {
  messageId: string;
  /**
   * Another model for the new attempt.
   */
  model?: string | null;
};
export type TurnsRetryArgs = {
  messageId: string;
  /**
   * Another model for the new attempt.
   */
  model?: string | null;
};
export type TurnsSendAndWaitArgs = {
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
   * The model of this answer, instead of the thread's.
   */
  model?: string | null;
  /**
   * Repeating it in the same thread gives the same ids and changes nothing.
   */
  requestId?: string | null;
  /**
   * May be empty if there are files.
   */
  text: string;
  threadId: string;
};
export type TurnsSendArgs = {
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
   * The model of this answer, instead of the thread's.
   */
  model?: string | null;
  /**
   * Repeating it in the same thread gives the same ids and changes nothing.
   */
  requestId?: string | null;
  /**
   * May be empty if there are files.
   */
  text: string;
  threadId: string;
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
/**
 * A user as that user sees it.
 */
export type UserView = {
  _id: string;
  email?: string;
  /**
   * Whether this person runs the server; absent if not.
   */
  isAdmin?: boolean;
  kind: UserKind;
  name?: string;
  picture?: string;
};

/** Every public function, as the official client takes it. */
export const api = {
  "ai/streaming": {
    listMessages: makeFunctionReference<"query", AiStreamingListMessagesArgs, UiMessageListing>("ai/streaming:listMessages"),
  },
  approvals: {
    decide: makeFunctionReference<"mutation", ApprovalsDecideArgs, ApprovalView>("approvals:decide"),
    get: makeFunctionReference<"query", ApprovalsGetArgs, ApprovalView>("approvals:get"),
    list: makeFunctionReference<"query", ApprovalsListArgs, Inbox>("approvals:list"),
    listByThread: makeFunctionReference<"query", ApprovalsListByThreadArgs, Inbox>("approvals:listByThread"),
    request: makeFunctionReference<"mutation", ApprovalsRequestArgs, ApprovalView>("approvals:request"),
  },
  artifacts: {
    create: makeFunctionReference<"mutation", ArtifactsCreateArgs, Saved>("artifacts:create"),
    get: makeFunctionReference<"query", ArtifactsGetArgs, ArtifactView>("artifacts:get"),
    listByThread: makeFunctionReference<"query", ArtifactsListByThreadArgs, ArtifactsListByThreadReturns>("artifacts:listByThread"),
    update: makeFunctionReference<"mutation", ArtifactsUpdateArgs, Saved>("artifacts:update"),
    versions: makeFunctionReference<"query", ArtifactsVersionsArgs, ArtifactsVersionsReturns>("artifacts:versions"),
  },
  generations: {
    active: makeFunctionReference<"query", GenerationsActiveArgs, GenerationsActiveReturns>("generations:active"),
    append: makeFunctionReference<"mutation", GenerationsAppendArgs, Appended>("generations:append"),
    deltas: makeFunctionReference<"query", GenerationsDeltasArgs, LogPage>("generations:deltas"),
    finish: makeFunctionReference<"mutation", GenerationsFinishArgs, Finished>("generations:finish"),
    get: makeFunctionReference<"query", GenerationsGetArgs, GenerationView>("generations:get"),
    open: makeFunctionReference<"mutation", GenerationsOpenArgs, Opened>("generations:open"),
    stop: makeFunctionReference<"mutation", GenerationsStopArgs, Stopped>("generations:stop"),
  },
  messages: {
    append: makeFunctionReference<"mutation", MessagesAppendArgs, MessagesAppendReturns>("messages:append"),
    get: makeFunctionReference<"query", MessagesGetArgs, MessageView>("messages:get"),
    listMessages: makeFunctionReference<"query", MessagesListMessagesArgs, UiMessageListing>("messages:listMessages"),
    page: makeFunctionReference<"query", MessagesPageArgs, MessagesPageReturns>("messages:page"),
  },
  server: {
    info: makeFunctionReference<"query", ServerInfoArgs, ServerInfo>("server:info"),
  },
  sessions: {
    list: makeFunctionReference<"query", SessionsListArgs, SessionsListReturns>("sessions:list"),
    revoke: makeFunctionReference<"mutation", SessionsRevokeArgs, SessionsRevokeReturns>("sessions:revoke"),
    revokeOthers: makeFunctionReference<"mutation", SessionsRevokeOthersArgs, SessionsRevokeOthersReturns>("sessions:revokeOthers"),
  },
  streams: {
    readUrl: makeFunctionReference<"mutation", StreamsReadUrlArgs, SignedUrl>("streams:readUrl"),
  },
  threads: {
    clear: makeFunctionReference<"mutation", ThreadsClearArgs, Deleted>("threads:clear"),
    clearAll: makeFunctionReference<"mutation", ThreadsClearAllArgs, Deleted>("threads:clearAll"),
    create: makeFunctionReference<"mutation", ThreadsCreateArgs, ThreadsCreateReturns>("threads:create"),
    find: makeFunctionReference<"query", ThreadsFindArgs, ThreadsFindReturns>("threads:find"),
    get: makeFunctionReference<"query", ThreadsGetArgs, ThreadsGetReturns>("threads:get"),
    getOrCreateDefault: makeFunctionReference<"mutation", ThreadsGetOrCreateDefaultArgs, ThreadsGetOrCreateDefaultReturns>("threads:getOrCreateDefault"),
    listThreadMessages: makeFunctionReference<"query", ThreadsListThreadMessagesArgs, MessageDocListing>("threads:listThreadMessages"),
    page: makeFunctionReference<"query", ThreadsPageArgs, ThreadsPageReturns>("threads:page"),
    remove: makeFunctionReference<"mutation", ThreadsRemoveArgs, ThreadsRemoveReturns>("threads:remove"),
    update: makeFunctionReference<"mutation", ThreadsUpdateArgs, ThreadsUpdateReturns>("threads:update"),
  },
  turns: {
    regenerate: makeFunctionReference<"mutation", TurnsRegenerateArgs, Retried>("turns:regenerate"),
    retry: makeFunctionReference<"mutation", TurnsRetryArgs, Retried>("turns:retry"),
    send: makeFunctionReference<"mutation", TurnsSendArgs, Sent>("turns:send"),
    sendAndWait: makeFunctionReference<"action", TurnsSendAndWaitArgs, MessageView>("turns:sendAndWait"),
  },
  uploads: {
    get: makeFunctionReference<"query", UploadsGetArgs, UploadView>("uploads:get"),
    list: makeFunctionReference<"query", UploadsListArgs, UploadsListReturns>("uploads:list"),
    readUrl: makeFunctionReference<"mutation", UploadsReadUrlArgs, SignedUrl>("uploads:readUrl"),
    remove: makeFunctionReference<"mutation", UploadsRemoveArgs, UploadsRemoveReturns>("uploads:remove"),
  },
  users: {
    me: makeFunctionReference<"query", UsersMeArgs, UsersMeReturns>("users:me"),
  },
};
