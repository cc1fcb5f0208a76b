//! What is left of something large that was removed: the name under which its data is still stored.
//!
//! The row of the thing itself is gone, so nobody finds it any more. Its data goes in bounded steps; the row
//! here goes last, so a sweep that is cut off is carried on by whoever comes next.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::Stream;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remains {
    #[serde(rename = "_id")]
    pub id: Id<Remains>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// The id of the stream, generation or subscription that is no more, or of a generation whose log is no more.
    pub of: String,
    /// A deleted stream that may have lost its last fork with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<Id<Stream>>,
}

static INDEXES: [Index; 1] = [Index::unique("by_of", &["of"])];
pub static TABLE: Table = Table { name: "remains", prefix: "rem", indexes: &INDEXES };
pub static BY_OF: &Index = &INDEXES[0];

impl Document for Remains {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
