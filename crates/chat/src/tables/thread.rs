//! A conversation of one user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table, Tx};

use super::{Generation, User, Window, Worker};
use crate::states::{ThreadState, ThreadStatus};

/// Where a title came from. Only a placeholder is ever replaced by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TitleSource {
    Placeholder,
    /// Made from the first user message.
    Auto,
    User,
    Runtime,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    #[serde(rename = "_id")]
    pub id: Id<Thread>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    pub title: String,
    pub title_source: TitleSource,
    pub status: ThreadStatus,
    pub pinned: bool,
    pub tags: Vec<String>,
    /// Which part of an application the thread belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which of the configured assistants answers, where it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The worker that answers here; without one the server does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Id<Worker>>,
    /// The role in which the newest answer is or was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_role: Option<String>,
    pub is_default: bool,
    /// The owner while this is the live default thread, else nothing: makes the default unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_of: Option<Id<User>>,
    /// The place of the next message. Places are dense, so this is also how many there are.
    pub next_seq: u64,
    pub message_count: u64,
    /// Grows by one whenever somebody adds to or removes from the history.
    pub history_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_generation_id: Option<Id<Generation>>,
    pub last_activity_at: u64,
    pub created_at: u64,
    pub updated_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<u64>,
    /// The client's own name for the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Of a thread that has a window: its application, and the role in which the user is answered in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_id: Option<Id<Window>>,
}

static INDEXES: [Index; 7] = [
    Index::new("by_activity", &["userId", "deletedAt", "lastActivityAt"]),
    Index::new("by_pinned", &["userId", "deletedAt", "pinned", "lastActivityAt"]),
    Index::new("by_context", &["userId", "deletedAt", "context", "lastActivityAt"]),
    Index::new("by_context_pinned", &["userId", "deletedAt", "context", "pinned", "lastActivityAt"]),
    Index::new("by_external", &["userId", "deletedAt", "externalId"]),
    Index::unique("by_default", &["defaultOf"]),
    Index::new("by_deletion", &["deletedAt"]),
];
pub static TABLE: Table = Table { name: "threads", prefix: "thr", indexes: &INDEXES };
pub static BY_ACTIVITY: &Index = &INDEXES[0];
pub static BY_PINNED: &Index = &INDEXES[1];
pub static BY_CONTEXT: &Index = &INDEXES[2];
pub static BY_CONTEXT_PINNED: &Index = &INDEXES[3];
pub static BY_EXTERNAL: &Index = &INDEXES[4];
pub static BY_DEFAULT: &Index = &INDEXES[5];
pub static BY_DELETION: &Index = &INDEXES[6];

impl Document for Thread {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Thread {
    /// A new, empty thread. Not stored yet.
    pub(crate) fn new(tx: &mut Tx<'_>, user: &Id<User>, title: String, title_source: TitleSource) -> Self {
        let now = tx.now();
        Self {
            id: tx.new_id(),
            creation_time: now as f64,
            user_id: user.clone(),
            title,
            title_source,
            status: ThreadStatus::Active,
            pinned: false,
            tags: Vec::new(),
            context: None,
            model: None,
            agent_id: None,
            worker_id: None,
            last_role: None,
            is_default: false,
            default_of: None,
            next_seq: 0,
            message_count: 0,
            history_version: 0,
            active_generation_id: None,
            last_activity_at: now,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            external_id: None,
            app: None,
            role_scope: None,
            window_id: None,
        }
    }

    pub(crate) fn state(&self) -> ThreadState {
        match self.deleted_at {
            Some(_) => ThreadState::Deleted,
            None => ThreadState::Live { status: self.status, is_default: self.is_default },
        }
    }

    /// Takes the next place in the order of messages.
    pub(crate) fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.message_count += 1;
        seq
    }

    /// Marks that something happened in the conversation.
    pub(crate) fn touch(&mut self, now: u64) {
        self.last_activity_at = now;
        self.updated_at = now;
    }
}

/// A thread as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadView {
    #[serde(rename = "_id")]
    pub id: Id<Thread>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub title: String,
    pub title_source: TitleSource,
    pub status: ThreadStatus,
    pub pinned: bool,
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<Id<Worker>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_role: Option<String>,
    pub is_default: bool,
    pub message_count: u64,
    /// What to send as `historyVersion` to add to exactly this history.
    pub history_version: u64,
    /// The answer that is being made now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_generation_id: Option<Id<Generation>>,
    pub last_activity_at: u64,
    pub created_at: u64,
    pub updated_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Of a thread that has a window (`threads:getOrCreate`): its application, role and window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_id: Option<Id<Window>>,
}

impl From<&Thread> for ThreadView {
    fn from(thread: &Thread) -> Self {
        Self {
            id: thread.id.clone(),
            creation_time: thread.creation_time,
            title: thread.title.clone(),
            title_source: thread.title_source,
            status: thread.status,
            pinned: thread.pinned,
            tags: thread.tags.clone(),
            context: thread.context.clone(),
            model: thread.model.clone(),
            agent_id: thread.agent_id.clone(),
            worker_id: thread.worker_id.clone(),
            last_role: thread.last_role.clone(),
            is_default: thread.is_default,
            message_count: thread.message_count,
            history_version: thread.history_version,
            active_generation_id: thread.active_generation_id.clone(),
            last_activity_at: thread.last_activity_at,
            created_at: thread.created_at,
            updated_at: thread.updated_at,
            external_id: thread.external_id.clone(),
            app: thread.app.clone(),
            role_scope: thread.role_scope.clone(),
            window_id: thread.window_id.clone(),
        }
    }
}
