//! How far a runner is that numbers its chunks: which goes into the log next, and which came before their time.
//! The row ends with the answer.

use serde::{Deserialize, Serialize};
use spool_protocol::Event;
use spool_store::{Document, Id, Index, Table};

use super::Generation;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrivals {
    #[serde(rename = "_id")]
    pub id: Id<Arrivals>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub generation_id: Id<Generation>,
    /// The number of the chunk that goes into the log next.
    pub next: u64,
    /// Those behind it that are there already, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<EarlyChunk>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyChunk {
    pub sequence: u64,
    pub events: Vec<Event>,
}

static INDEXES: [Index; 1] = [Index::unique("by_generation", &["generationId"])];
pub static TABLE: Table = Table { name: "arrivals", prefix: "arv", indexes: &INDEXES };
pub static BY_GENERATION: &Index = &INDEXES[0];

impl Document for Arrivals {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
