//! A file of a thread. The row says what it is; its bytes lie in the data directory under the row's id.
//!
//! The bytes are there before the row and go after it is marked, so a row without a mark always has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Thread, User};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    #[serde(rename = "_id")]
    pub id: Id<Upload>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    /// The owner of the thread, whoever uploaded.
    pub user_id: Id<User>,
    /// For people only: no part of any path.
    pub file_name: String,
    pub media_type: String,
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// The uploader's own name for the request, so that it can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub created_at: u64,
    /// Nobody sees it any more; the server removes the bytes, then the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<u64>,
}

static INDEXES: [Index; 4] = [
    Index::new("by_thread", &["threadId", "deletedAt"]),
    Index::unique("by_request", &["threadId", "requestId"]),
    Index::new("by_deletion", &["deletedAt"]),
    Index::new("by_user", &["userId", "deletedAt"]),
];
pub static TABLE: Table = Table { name: "uploads", prefix: "upl", indexes: &INDEXES };
pub static BY_THREAD: &Index = &INDEXES[0];
pub static BY_REQUEST: &Index = &INDEXES[1];
pub static BY_DELETION: &Index = &INDEXES[2];
pub static BY_USER: &Index = &INDEXES[3];

impl Document for Upload {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A file as the readers of its thread see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadView {
    #[serde(rename = "_id")]
    pub id: Id<Upload>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub file_name: String,
    pub media_type: String,
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    pub created_at: u64,
}

impl From<Upload> for UploadView {
    fn from(upload: Upload) -> Self {
        Self {
            id: upload.id,
            creation_time: upload.creation_time,
            thread_id: upload.thread_id,
            file_name: upload.file_name,
            media_type: upload.media_type,
            size: upload.size,
            sha256: upload.sha256,
            created_at: upload.created_at,
        }
    }
}
