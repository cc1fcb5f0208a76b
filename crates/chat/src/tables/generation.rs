//! One attempt at an answer: who runs it, how far it is, how it ended. Its text is in the store's log
//! that has the generation's id as its name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Failure, Usage};
use spool_store::{Document, Id, Index, Table};

use super::{Message, Thread, User, Worker};
use crate::states::GenerationStatus;

/// Who makes the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runner {
    /// The server's own turn driver.
    Hosted,
    /// A backend with a service key.
    External,
    /// A worker on a machine of the thread's owner.
    Worker,
}

impl Runner {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hosted => "hosted",
            Self::External => "external",
            Self::Worker => "worker",
        }
    }

    /// Whether the answer is made outside: then its log is written by appends of the runner, and only its
    /// row can stop it.
    pub fn is_outside(self) -> bool {
        self != Self::Hosted
    }
}

/// Whether the first step has to call a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    Auto,
    Required,
    None,
    /// This one.
    Named(String),
}

/// What became of the log of an answer after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogState {
    /// Its neighbouring texts are joined.
    Compacted,
    /// It is gone, or going: the message tells what it said.
    Removed,
}

impl LogState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compacted => "compacted",
            Self::Removed => "removed",
        }
    }
}

/// A model that failed, and why, before another try in the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    pub model: String,
    pub provider: String,
    pub error: Failure,
    /// How many of the oldest messages of its prompt are not sent any more, because it was too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u32>,
    pub at: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    #[serde(rename = "_id")]
    pub id: Id<Generation>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub message_id: Id<Message>,
    pub user_id: Id<User>,
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub runner: Runner,
    /// With runner `worker`: which one, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Id<Worker>>,
    /// The role in which the answer is given, as the server worked it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<String>,
    /// Which of the configured assistants answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    pub status: GenerationStatus,
    /// 1 for the first try of a message.
    pub attempt: u32,
    /// The thread while this is not over, else nothing: makes the running generation unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_thread_id: Option<Id<Thread>>,
    /// Who holds or held the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<String>,
    /// Grows with every claim: a runner with an older one has lost the generation.
    pub lease_epoch: u64,
    /// Calls of the model in this attempt that have ended with calls of tools.
    #[serde(default)]
    pub steps: u32,
    /// The offset of the log at which the newest step was whole: what is behind it is a draft of the next. A
    /// runner that is lost with nothing behind it can be replaced.
    #[serde(default)]
    pub boundary: u64,
    /// Runners that were lost since then.
    #[serde(default)]
    pub losses: u32,
    /// Grows with every decision that is made while a runner holds the answer: the runner tells of it.
    #[serde(default)]
    pub decisions: u32,
    /// How a call of a tool is chosen in the first step, where the sender said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Calls of models that failed before another was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// Set exactly while somebody holds the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<u64>,
    /// Whether a runner has begun: from then on nobody else may begin again.
    pub started_mark: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_requested_at: Option<u64>,
    /// Where the log ended, once it is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_end: Option<u64>,
    /// Nothing while the log is as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_state: Option<LogState>,
    /// Whether the runner ended it with another text than the log has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_differs: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    pub created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

static INDEXES: [Index; 8] = [
    Index::unique("by_active_thread", &["activeThreadId"]),
    Index::new("by_runner", &["runner", "status", "createdAt"]),
    Index::new("by_lease", &["leaseExpiresAt"]),
    Index::new("by_user", &["userId", "status"]),
    Index::new("by_message", &["messageId"]),
    Index::new("by_thread", &["threadId", "createdAt"]),
    Index::new("by_worker", &["workerId", "status", "createdAt"]),
    Index::new("by_log", &["logState", "endedAt"]),
];
pub static TABLE: Table = Table { name: "generations", prefix: "gen", indexes: &INDEXES };
pub static BY_ACTIVE_THREAD: &Index = &INDEXES[0];
pub static BY_RUNNER: &Index = &INDEXES[1];
pub static BY_LEASE: &Index = &INDEXES[2];
pub static BY_USER: &Index = &INDEXES[3];
pub static BY_MESSAGE: &Index = &INDEXES[4];
pub static BY_THREAD: &Index = &INDEXES[5];
pub static BY_WORKER: &Index = &INDEXES[6];
pub static BY_LOG: &Index = &INDEXES[7];

impl Document for Generation {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A generation as the owner of its thread sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerationView {
    #[serde(rename = "_id")]
    pub id: Id<Generation>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub message_id: Id<Message>,
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub runner: Runner,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Id<Worker>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    pub status: GenerationStatus,
    pub attempt: u32,
    /// Calls of the model that have ended with calls of tools.
    pub steps: u32,
    /// Models that failed before this one answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// Where the log ended when this was read. New tokens alone do not make a live result new.
    pub cursor: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_requested_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

impl Generation {
    /// Whether the log can still be read: of one that was removed only a piece may be left, for a moment.
    pub(crate) fn has_log(&self) -> bool {
        self.log_state != Some(LogState::Removed)
    }
}

impl GenerationView {
    /// `cursor` is where the log ends.
    pub(crate) fn new(generation: Generation, cursor: u64) -> Self {
        Self {
            cursor,
            id: generation.id,
            creation_time: generation.creation_time,
            thread_id: generation.thread_id,
            message_id: generation.message_id,
            model: generation.model,
            provider: generation.provider,
            runner: generation.runner,
            worker_id: generation.worker_id,
            effective_role: generation.effective_role,
            agent_id: generation.agent_id,
            status: generation.status,
            attempt: generation.attempt,
            steps: generation.steps,
            fallbacks: generation.fallbacks,
            stop_requested_at: generation.stop_requested_at,
            usage: generation.usage,
            error: generation.error,
            finish_reason: generation.finish_reason,
            created_at: generation.created_at,
            started_at: generation.started_at,
            ended_at: generation.ended_at,
        }
    }
}
