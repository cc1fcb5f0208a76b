//! One message of a thread. Its text is not stored twice: it is the join of its text parts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Failure, Usage};
use spool_store::{Document, Id, Index, Table, Tx};

use super::{Generation, Thread, ToolChoice};
use crate::parts::{self, Part};
use crate::states::MessageStatus;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    System,
    Tool,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    User,
    Agent,
    Worker,
    /// A client that was allowed to write another role than its user's.
    Client,
    Import,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    #[serde(rename = "_id")]
    pub id: Id<Message>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub seq: u64,
    pub role: Role,
    pub status: MessageStatus,
    pub parts: Vec<Part>,
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The generation that writes or wrote this answer (the newest attempt).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    /// The first generation that answered this user message: what a repeated request is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Id<Generation>>,
    /// The thread while this user message waits for its turn, else nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_in: Option<Id<Thread>>,
    /// With `queuedIn`: the running answer is to read it before its next step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub steers: bool,
    /// The answer that read this user message while it was being made, and shows it among its parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steered: Option<Id<Generation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of a user message: the role that the writer asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    pub created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Of a user message without anything in it: the conversation was opened with it, and the assistant greets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opening: bool,
    /// Of a user message: what the writer was looking at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageContext>,
}

/// What a user looks at while writing, in the application's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageContext {
    pub page_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_thread", &["threadId", "seq"]),
    Index::unique("by_request", &["threadId", "requestId"]),
    Index::new("by_queue", &["queuedIn", "seq"]),
];
pub static TABLE: Table = Table { name: "messages", prefix: "msg", indexes: &INDEXES };
pub static BY_THREAD: &Index = &INDEXES[0];
pub static BY_REQUEST: &Index = &INDEXES[1];
pub static BY_QUEUE: &Index = &INDEXES[2];

impl Document for Message {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Message {
    /// A complete message without parts. Not stored yet.
    pub(crate) fn new(tx: &mut Tx<'_>, thread: &Id<Thread>, seq: u64, role: Role, origin: Origin) -> Self {
        let now = tx.now();
        Self {
            id: tx.new_id(),
            creation_time: now as f64,
            thread_id: thread.clone(),
            seq,
            role,
            status: MessageStatus::Complete,
            parts: Vec::new(),
            origin,
            request_id: None,
            generation_id: None,
            answered_by: None,
            queued_in: None,
            steers: false,
            steered: None,
            tool_choice: None,
            model: None,
            role_hint: None,
            provider: None,
            agent_id: None,
            usage: None,
            finish_reason: None,
            error: None,
            attempt: None,
            created_at: now,
            completed_at: Some(now),
            external_id: None,
            opening: false,
            page: None,
        }
    }

    /// The text parts joined, byte for byte. Reasoning is never part of it.
    pub fn text(&self) -> String {
        parts::text(&self.parts)
    }
}

/// A message as the owner of its thread sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    #[serde(rename = "_id")]
    pub id: Id<Message>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    /// The place in the thread: 0, 1, 2 and so on, without gaps.
    pub seq: u64,
    pub role: Role,
    pub status: MessageStatus,
    pub parts: Vec<Part>,
    /// The text parts joined.
    pub text: String,
    pub origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// It waits for the next step of the running answer, not for its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub steers: bool,
    /// The answer that read it while it was being made, and shows it among its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steered: Option<Id<Generation>>,
    /// The user opened the conversation without a word; there is nothing to show of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub opening: bool,
    /// What the writer was looking at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PageContext>,
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        Self {
            text: message.text(),
            id: message.id,
            creation_time: message.creation_time,
            thread_id: message.thread_id,
            seq: message.seq,
            role: message.role,
            status: message.status,
            parts: message.parts,
            origin: message.origin,
            request_id: message.request_id,
            generation_id: message.generation_id,
            model: message.model,
            provider: message.provider,
            agent_id: message.agent_id,
            usage: message.usage,
            finish_reason: message.finish_reason,
            error: message.error,
            attempt: message.attempt,
            created_at: message.created_at,
            completed_at: message.completed_at,
            external_id: message.external_id,
            steers: message.steers,
            steered: message.steered,
            opening: message.opening,
            page: message.page,
        }
    }
}
