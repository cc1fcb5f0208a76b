//! How far one writer of one stream or answer is: makes repeated appends harmless and fences lost writers off.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Producer {
    #[serde(rename = "_id")]
    pub id: Id<Producer>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// The stream, or the generation, that it writes.
    pub stream_id: String,
    /// The writer's own name.
    pub producer: String,
    pub epoch: u64,
    pub last_seq: u64,
}

static INDEXES: [Index; 1] = [Index::unique("by_stream", &["streamId", "producer"])];
pub static TABLE: Table = Table { name: "stream_producers", prefix: "prd", indexes: &INDEXES };
pub static BY_STREAM: &Index = &INDEXES[0];

impl Document for Producer {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
