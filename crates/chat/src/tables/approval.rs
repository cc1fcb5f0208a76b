//! A question to a person, and the answer. What is asked about is frozen in the row with its hash: what
//! was approved is exactly what was shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use spool_protocol::{ApprovalKind, ApprovalStatus, Event};
use spool_store::{Document, Id, Index, Table};

use super::{Artifact, Generation, Message, Rule, Thread, User};
use crate::limits;

/// What a person says to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Approve,
    Reject,
}

/// The decision of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    pub user_id: Id<User>,
    /// What the person is called now. Not stored: it goes with the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub decision: Decision,
    pub at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn one() -> u32 {
    1
}

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
    /// Answers to the question that the asker proposes. The person may give another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The agent whose call it is; only its rules and those of no agent judge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The configuration marks it so: no rule that somebody remembered ever allows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub high_risk: bool,
    /// How many people have to approve.
    #[serde(default = "one")]
    pub approvers_needed: u32,
    /// What people decided, one of each, in the order in which they did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
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
    /// What the person answered to the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The rule of the owner that decided, if no person had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<Id<Rule>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<u64>,
    /// Who decided, as the token says: of several the last, of a rule whose it is. Nobody did if it expired or was
    /// cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<Id<User>>,
    pub created_at: u64,
}

static INDEXES: [Index; 9] = [
    Index::new("by_user", &["userId", "pending", "createdAt"]),
    Index::new("by_thread", &["threadId", "pending", "createdAt"]),
    Index::new("by_generation", &["generationId", "pending"]),
    Index::unique("by_key", &["generationId", "key"]),
    Index::new("by_due", &["dueAt"]),
    Index::new("by_user_status", &["userId", "status", "createdAt"]),
    Index::new("by_user_kind", &["userId", "kind", "pending", "createdAt"]),
    Index::new("by_votes", &["pending", "approversNeeded", "createdAt"]),
    Index::new("by_thread_votes", &["threadId", "pending", "approversNeeded", "createdAt"]),
];
pub static TABLE: Table = Table { name: "approvals", prefix: "apr", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];
pub static BY_GENERATION: &Index = &INDEXES[2];
pub static BY_KEY: &Index = &INDEXES[3];
pub static BY_DUE: &Index = &INDEXES[4];
pub static BY_USER_STATUS: &Index = &INDEXES[5];
pub static BY_USER_KIND: &Index = &INDEXES[6];
/// What several people have to decide.
pub static BY_VOTES: &Index = &INDEXES[7];
/// The same in one thread.
pub static BY_THREAD_VOTES: &Index = &INDEXES[8];

impl Document for Approval {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Approval {
    /// About how many bytes the row has: what is asked about makes it large, nothing else.
    pub(crate) fn weight(&self) -> usize {
        self.input.as_ref().map_or(0, |input| input.to_string().len()) + 1_000
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
            edited_input: self.edited_input.clone(),
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

/// Whether two JSON values say the same, whatever the order of keys. Numbers are compared as clients have them, who
/// know one kind: 5.0 is 5. Stops at the first difference, and copies nothing: a claim may be large.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64().is_some_and(|value| b.as_f64() == Some(value)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
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
    /// The arguments as they were asked about. Lists leave out large ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// In a list, the bytes of the arguments that it leaves out: `approvals:get` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<Id<Artifact>>,
    /// The version that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Answers that the asker proposes; the person may give another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The text of the plan, in `approvals:get` for people who decide about it and do not see the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub high_risk: bool,
    /// How many people have to approve. One rejection rejects.
    pub approvers_needed: u32,
    /// Who decided what, in the order in which they did.
    pub votes: Vec<Vote>,
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
    /// What the person answered to the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The rule that decided, if no person had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<Id<Rule>>,
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
            input_bytes: None,
            artifact_id: approval.artifact_id,
            version: approval.version,
            question: approval.question,
            options: approval.options,
            content: None,
            agent_id: approval.agent_id,
            high_risk: approval.high_risk,
            approvers_needed: approval.approvers_needed,
            votes: approval.votes,
            hash: approval.hash,
            expires_at: approval.expires_at,
            reason: approval.reason,
            edited_input: approval.edited_input,
            edited_version: approval.edited_version,
            answer: approval.answer,
            rule_id: approval.rule_id,
            resolved_at: approval.resolved_at,
            resolved_by: approval.resolved_by,
            asked_at_offset: approval.asked_at_offset,
            created_at: approval.created_at,
        }
    }
}

impl ApprovalView {
    /// As a list has it: with the arguments, unless they are large.
    pub(crate) fn listed(approval: Approval) -> Self {
        let mut view = Self::from(approval);
        let bytes = view.input.as_ref().map_or(0, |input| input.to_string().len());
        if bytes > limits::LISTED_INPUT_BYTES {
            view.input = None;
            view.input_bytes = Some(bytes as u64);
        }
        view
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

    #[test]
    fn ap_01_a_claim_says_the_same_in_any_order_and_with_any_spelling_of_a_number() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        for (a, b, expected) in [
            (r#"{"a":5.0,"b":[{"c":null}]}"#, r#"{"b":[{"c":null}],"a":5}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            (r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#, false),
            ("[1,2]", "[2,1]", false),
            ("[1]", "[1,1]", false),
            ("5", "\"5\"", false),
            ("1", "true", false),
            ("null", "{}", false),
        ] {
            assert_eq!(same(&value(a), &value(b)), expected, "{a} {b}");
            assert_eq!(same(&value(b), &value(a)), expected, "{b} {a}");
        }
    }
}
