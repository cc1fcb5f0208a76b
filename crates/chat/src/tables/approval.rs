//! A question to a person, and the answer. What is asked about is frozen in the row with its hash: what
//! was approved is exactly what was shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use spool_protocol::{ApprovalKind, ApprovalStatus, Event};
use spool_store::{Document, Id, Index, Table, Tx};

use super::{Artifact, Generation, Message, Thread, User};
use crate::context::CallContext;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    #[serde(rename = "_id")]
    pub id: Id<Approval>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// Whose decision it is: the owner of the thread.
    pub user_id: Id<User>,
    pub thread_id: Id<Thread>,
    pub generation_id: Id<Generation>,
    pub message_id: Id<Message>,
    pub kind: ApprovalKind,
    /// What its asker calls it within the answer. Asking again gives the same approval.
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<Id<Artifact>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// SHA-256 of what is asked about: the canonical arguments, the plan's content, or the question.
    pub hash: String,
    pub status: ApprovalStatus,
    /// For the indexes: whether it is pending, which lists show first.
    pub pending: bool,
    /// `expiresAt` while it is pending, else nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
    /// Absent if it waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The offset of the answer's log after the request, if it is in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at_offset: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the person approved instead of `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_input: Option<Value>,
    /// The version that the person approved instead of `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<u64>,
    /// Who decided, as the token says. Nobody did if it expired or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<Id<User>>,
    pub created_at: u64,
}

static INDEXES: [Index; 5] = [
    Index::new("by_user", &["userId", "pending", "createdAt"]),
    Index::new("by_thread", &["threadId", "pending", "createdAt"]),
    Index::new("by_generation", &["generationId", "pending"]),
    Index::unique("by_key", &["generationId", "key"]),
    Index::new("by_due", &["dueAt"]),
];
pub static TABLE: Table = Table { name: "approvals", prefix: "apr", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];
pub static BY_GENERATION: &Index = &INDEXES[2];
pub static BY_KEY: &Index = &INDEXES[3];
pub static BY_DUE: &Index = &INDEXES[4];

impl Document for Approval {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Approval {
    /// A request of an answer that is being made, which waits as long as the server's setting says. Not stored
    /// yet, and still without what it asks about.
    pub(crate) fn of_answer(
        tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, generation: &Generation, kind: ApprovalKind, key: String,
        hash: String,
    ) -> Self {
        let now = tx.now();
        let expires_at = ctx.settings.approval_ms.map(|ms| now + ms);
        Self {
            id: tx.new_id(),
            creation_time: now as f64,
            user_id: thread.user_id.clone(),
            thread_id: thread.id.clone(),
            generation_id: generation.id.clone(),
            message_id: generation.message_id.clone(),
            kind,
            key,
            tool_call_id: None,
            tool: None,
            input: None,
            artifact_id: None,
            version: None,
            question: None,
            hash,
            status: ApprovalStatus::Pending,
            pending: true,
            due_at: expires_at,
            expires_at,
            asked_at_offset: None,
            reason: None,
            edited_input: None,
            edited_version: None,
            resolved_at: None,
            resolved_by: None,
            created_at: now,
        }
    }

    /// The approval as the log of its answer tells it.
    pub(crate) fn event(&self) -> Event {
        Event::Approval {
            approval_id: self.id.as_str().to_owned(),
            kind: self.kind,
            status: self.status,
            tool_call_id: self.tool_call_id.clone(),
            artifact_id: self.artifact_id.as_ref().map(|id| id.as_str().to_owned()),
            version: self.edited_version.or(self.version),
            question: self.question.clone(),
            reason: self.reason.clone(),
            expires_at: self.expires_at,
        }
    }
}

/// SHA-256 of a text, 64 lowercase hex digits.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one text that stands for a JSON value, whatever order its keys came in.
pub fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

/// An approval as the owner of its thread and its asker see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    #[serde(rename = "_id")]
    pub id: Id<Approval>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub generation_id: Id<Generation>,
    pub message_id: Id<Message>,
    pub kind: ApprovalKind,
    pub status: ApprovalStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The arguments as they were asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<Id<Artifact>>,
    /// The version that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// SHA-256 of what was asked about.
    pub hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// If it is there, exactly this was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_input: Option<Value>,
    /// If it is there, exactly this version was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<Id<User>>,
    /// The offset of the answer's log after the request, if it is in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at_offset: Option<u64>,
    pub created_at: u64,
}

impl From<Approval> for ApprovalView {
    fn from(approval: Approval) -> Self {
        Self {
            id: approval.id,
            creation_time: approval.creation_time,
            thread_id: approval.thread_id,
            generation_id: approval.generation_id,
            message_id: approval.message_id,
            kind: approval.kind,
            status: approval.status,
            tool_call_id: approval.tool_call_id,
            tool: approval.tool,
            input: approval.input,
            artifact_id: approval.artifact_id,
            version: approval.version,
            question: approval.question,
            hash: approval.hash,
            expires_at: approval.expires_at,
            reason: approval.reason,
            edited_input: approval.edited_input,
            edited_version: approval.edited_version,
            resolved_at: approval.resolved_at,
            resolved_by: approval.resolved_by,
            asked_at_offset: approval.asked_at_offset,
            created_at: approval.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ap_01_the_order_of_keys_does_not_change_the_hash_and_a_value_does() {
        let text = |json: &str| hash(&canonical(&serde_json::from_str(json).unwrap()));
        assert_eq!(text(r#"{"a":1,"b":{"c":[1,2],"d":2}}"#), text(r#"{"b":{"d":2,"c":[1,2]},"a":1}"#));
        assert_ne!(text(r#"{"a":1}"#), text(r#"{"a":2}"#));
        assert_ne!(text(r#"{"a":[1,2]}"#), text(r#"{"a":[2,1]}"#));
        assert_eq!(canonical(&json!({})), "{}");
    }
}
