//! The summary of a thread: what its older messages said, and whether a newer one is due.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table, Tx};

use super::Thread;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    #[serde(rename = "_id")]
    pub id: Id<Summary>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    /// Empty until the first one is made.
    pub text: String,
    /// The place of the newest message in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through_seq: Option<u64>,
    /// Complete messages in it.
    pub message_count: u64,
    /// How often it was made; each time on top of the time before.
    pub version: u64,
    /// Who made it: a model, or `excerpts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its length, estimated ([`crate::summary::tokens`]).
    pub tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<u64>,
    /// When somebody is to make the next one: the end of the lease while somebody does, a later time after a
    /// failure, nothing when none is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
    /// The next one covers every message: the window of the thread is closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Since when the whole is wanted: whoever waits for it counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_at: Option<u64>,
    /// Who makes it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<String>,
    /// Grows with every lease: whoever has an older one has lost it.
    pub epoch: u64,
    /// Failures since the last success.
    pub failures: u32,
}

static INDEXES: [Index; 2] = [Index::unique("by_thread", &["threadId"]), Index::new("by_due", &["dueAt"])];
pub static TABLE: Table = Table { name: "summaries", prefix: "sum", indexes: &INDEXES };
pub static BY_THREAD: &Index = &INDEXES[0];
pub static BY_DUE: &Index = &INDEXES[1];

impl Document for Summary {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Summary {
    /// Nothing is summarised yet. Not stored.
    pub(crate) fn new(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Self {
        Self {
            id: tx.new_id(),
            creation_time: tx.now() as f64,
            thread_id: thread.clone(),
            text: String::new(),
            through_seq: None,
            message_count: 0,
            version: 0,
            model: None,
            tokens: 0,
            made_at: None,
            due_at: None,
            whole: false,
            wanted_at: None,
            lease_owner: None,
            epoch: 0,
            failures: 0,
        }
    }

    /// The place of the first message that is not in it.
    pub(crate) fn end(&self) -> u64 {
        self.through_seq.map_or(0, |seq| seq + 1)
    }
}

/// A summary as the owner of the thread sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryView {
    /// How often it was made; 0 is not yet.
    pub version: u64,
    /// Empty until it is made.
    pub text: String,
    /// The place of the newest message in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through_seq: Option<u64>,
    /// Complete messages in it.
    pub summarized_message_count: u64,
    /// The model that made it, or `excerpts` where none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its length, estimated.
    pub tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_at: Option<u64>,
}

impl From<Summary> for SummaryView {
    fn from(summary: Summary) -> Self {
        Self {
            version: summary.version,
            text: summary.text,
            through_seq: summary.through_seq,
            summarized_message_count: summary.message_count,
            model: summary.model,
            tokens: summary.tokens,
            made_at: summary.made_at,
        }
    }
}
