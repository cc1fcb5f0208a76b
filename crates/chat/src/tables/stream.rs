//! A durable stream: a named log of one owner, as the Durable Streams wire serves it. Its data is in the
//! store's log that has the stream's id as its name.
//!
//! Offsets of the wire count messages (JSON) or bytes from the start of the stream. A fork shares the
//! offsets of its source up to `base`; its own log begins there, so offset `base + n` is unit `n` of it.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

/// Where a fork left its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fork {
    /// The path that the creator named.
    pub from: String,
    /// The offset as given or resolved, and the units past it: what a repeated creation is compared with.
    pub offset: u64,
    pub sub_offset: u64,
    /// Whether the creator said how long the fork lives; else it was told by the source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_lifetime: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    #[serde(rename = "_id")]
    pub id: Id<Stream>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// A user's id, or the name that stands for everybody while the wire is open for development.
    pub owner: String,
    pub path: String,
    /// As the creator wrote it.
    pub content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// RFC 3339, as the creator wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When the stream is over, in ms; moves with every use if there is a TTL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    pub touched_at: u64,
    pub closed: bool,
    /// The last `Stream-Seq`, one per stream whoever writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<Id<Stream>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Fork>,
    /// The offset at which this stream's own log begins; 0 unless it is a fork.
    pub base: u64,
    /// Deleted or expired, and kept only because forks read it.
    pub gone: bool,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_path", &["owner", "path"]),
    Index::new("by_deadline", &["deadline"]),
    Index::new("by_source", &["sourceId"]),
];
pub static TABLE: Table = Table { name: "streams", prefix: "str", indexes: &INDEXES };
pub static BY_PATH: &Index = &INDEXES[0];
pub static BY_DEADLINE: &Index = &INDEXES[1];
pub static BY_SOURCE: &Index = &INDEXES[2];

impl Document for Stream {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// The type and subtype, in lower case and without parameters.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Stream {
    /// Whether units are JSON messages; else they are bytes.
    pub fn is_json(&self) -> bool {
        media_type(&self.content_type) == "application/json"
    }

    pub fn is_over(&self, now: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}
