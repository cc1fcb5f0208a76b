//! Messages to the outside that are owed: written in the transaction that asks a person, gone when they were
//! delivered or given up.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Approval, PushSubscription, Thread};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    #[serde(rename = "_id")]
    pub id: Id<Notice>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub approval_id: Id<Approval>,
    /// The browser to tell; absent is the webhook of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<Id<PushSubscription>>,
    /// When to try, in milliseconds since the Unix epoch; while somebody tries, when another may.
    pub due_at: u64,
    /// Tries that failed.
    pub attempts: u32,
    pub created_at: u64,
}

static INDEXES: [Index; 3] = [
    Index::new("by_due", &["dueAt"]),
    Index::new("by_thread", &["threadId"]),
    Index::new("by_subscription", &["subscriptionId"]),
];
pub static TABLE: Table = Table { name: "notices", prefix: "ntc", indexes: &INDEXES };
pub static BY_DUE: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];
pub static BY_SUBSCRIPTION: &Index = &INDEXES[2];

impl Document for Notice {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
