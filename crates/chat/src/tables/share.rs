//! A way for others to read one thread: a link, or a named person. It never lets anybody write.
//!
//! A share belongs to its thread, and so to whoever owns that. The token of a link is not stored: it is
//! derived from the row's id by a key of the server, and only its hash is kept, to find the row by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Thread, User};

/// Who can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Whoever has the link.
    Link,
    /// One person, named by id or address.
    Users,
}

/// What of the thread is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShareMode {
    /// What was complete at the moment of sharing, as long as it stays as it was.
    Snapshot,
    /// Everything, as it comes.
    Live,
}

/// What is shown beside texts, sources and the names of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Includes {
    /// What models thought before they answered.
    pub reasoning: bool,
    /// Calls of tools, with their inputs and outputs.
    pub tools: bool,
    /// The bytes of files, not just their names.
    pub files: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    #[serde(rename = "_id")]
    pub id: Id<Share>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub audience: Audience,
    pub mode: ShareMode,
    pub includes: Includes,
    /// SHA-256 of a link's token, 64 lowercase hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// The person, if named by id …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewer_id: Option<Id<User>>,
    /// … or by address, in lower case: whoever signs in with it, now or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewer_email: Option<String>,
    /// The title at the moment of a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The last place of a snapshot; absent if the thread was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through_seq: Option<u64>,
    pub created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// Neither revoked nor marked as expired.
    pub open: bool,
    /// `expiresAt` while it is open, else nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
}

static INDEXES: [Index; 5] = [
    Index::unique("by_token", &["tokenHash"]),
    Index::new("by_thread", &["threadId", "open", "createdAt"]),
    Index::new("by_viewer", &["viewerId", "open", "createdAt"]),
    Index::new("by_email", &["viewerEmail", "open", "createdAt"]),
    Index::new("by_due", &["dueAt"]),
];
pub static TABLE: Table = Table { name: "shares", prefix: "shr", indexes: &INDEXES };
pub static BY_TOKEN: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];
pub static BY_VIEWER: &Index = &INDEXES[2];
pub static BY_EMAIL: &Index = &INDEXES[3];
pub static BY_DUE: &Index = &INDEXES[4];

impl Document for Share {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl Share {
    /// Whether it can be read at `now`. The mark of an expired one comes a moment later.
    pub(crate) fn is_open(&self, now: u64) -> bool {
        self.open && self.expires_at.is_none_or(|expiry| expiry > now)
    }

    /// Nobody reads through it any more.
    pub(crate) fn close(&mut self) {
        self.open = false;
        self.due_at = None;
    }
}

/// A share as the owner of its thread sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareView {
    #[serde(rename = "_id")]
    pub id: Id<Share>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub audience: Audience,
    pub mode: ShareMode,
    pub includes: Includes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_id: Option<Id<User>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_email: Option<String>,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Absent while the share can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    pub open: bool,
    /// The path of a link that is open, `/s/…`. It ends in the token, which is the right to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl ShareView {
    pub(crate) fn new(share: Share, now: u64, path: Option<String>) -> Self {
        let open = share.is_open(now);
        Self {
            id: share.id,
            creation_time: share.creation_time,
            thread_id: share.thread_id,
            audience: share.audience,
            mode: share.mode,
            includes: share.includes,
            viewer_id: share.viewer_id,
            viewer_email: share.viewer_email,
            created_at: share.created_at,
            expires_at: share.expires_at,
            revoked_at: share.revoked_at,
            open,
            path: path.filter(|_| open),
        }
    }
}
