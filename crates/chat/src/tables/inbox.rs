//! Up to when somebody has seen their approvals. One row a person, made when they look for the first time.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    #[serde(rename = "_id")]
    pub id: Id<Inbox>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    /// Milliseconds since the Unix epoch. What was asked later is unread.
    pub seen_at: u64,
}

static INDEXES: [Index; 1] = [Index::unique("by_user", &["userId"])];
pub static TABLE: Table = Table { name: "inboxes", prefix: "ibx", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];

impl Document for Inbox {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
