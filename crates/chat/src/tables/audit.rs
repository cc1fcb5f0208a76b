//! The audit trail: who did what to the rights and the data of people, and who was refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    /// Refused: the caller may not.
    Denied,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    #[serde(rename = "_id")]
    pub id: Id<AuditEntry>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub at: u64,
    /// The caller's [`crate::Principal::key`].
    pub actor: String,
    /// The caller, if it is a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Id<User>>,
    /// A name like `approval.decide`, or the path of a function that was refused.
    pub action: String,
    /// What it was done to: an id or another name, never content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub outcome: Outcome,
    /// Why it was refused: a code of the error list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The caller's address, or its hash, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How many refusals this entry stands for that were too many to be noted one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u64>,
}

static INDEXES: [Index; 3] =
    [Index::new("by_age", &["at"]), Index::new("by_user", &["userId", "at"]), Index::new("by_subject", &["subject"])];
pub static TABLE: Table = Table { name: "audit", prefix: "aud", indexes: &INDEXES };
pub static BY_AGE: &Index = &INDEXES[0];
pub static BY_USER: &Index = &INDEXES[1];
pub static BY_SUBJECT: &Index = &INDEXES[2];

impl Document for AuditEntry {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    #[serde(rename = "_id")]
    pub id: Id<AuditEntry>,
    pub at: u64,
    pub actor: String,
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u64>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id, at, actor, action, subject, outcome, reason, address, request_id, suppressed, .. } = entry;
        Self { id, at, actor, action, subject, outcome, reason, address, request_id, suppressed }
    }
}
