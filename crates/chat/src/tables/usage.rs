//! What a user has used in a month: counters that the end of every answer adds to.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    #[serde(rename = "_id")]
    pub id: Id<Usage>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    /// `2026-11`, in UTC.
    pub month: String,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Answers that said what they cost.
    pub answers: u64,
}

static INDEXES: [Index; 1] = [Index::unique("by_month", &["userId", "month"])];
pub static TABLE: Table = Table { name: "usage", prefix: "use", indexes: &INDEXES };
pub static BY_MONTH: &Index = &INDEXES[0];

impl Document for Usage {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Usage {
    pub(crate) fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}
