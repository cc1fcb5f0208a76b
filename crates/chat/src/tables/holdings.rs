//! What a user has now: counters beside the rows, so that a limit can be checked without counting.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdings {
    #[serde(rename = "_id")]
    pub id: Id<Holdings>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    /// Threads that are not removed.
    pub threads: u64,
    /// Bytes of files that are not removed, and of all versions of artifacts that are not purged.
    pub storage_bytes: u64,
}

static INDEXES: [Index; 1] = [Index::unique("by_user", &["userId"])];
pub static TABLE: Table = Table { name: "holdings", prefix: "hld", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];

impl Document for Holdings {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
