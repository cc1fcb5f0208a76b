//! A document that a conversation made: a plan, a report, code. Its versions are rows of their own, and
//! their contents too, so that neither a list nor a history loads a text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Generation, Message, Thread, User};
use crate::states::ArtifactStatus;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    #[serde(rename = "_id")]
    pub id: Id<Artifact>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    /// `plan`, `report`, `document`, `code`, or an application's own word.
    pub kind: String,
    pub title: String,
    /// That of the newest version.
    pub status: ArtifactStatus,
    /// The newest version that is whole; the first is 1, and 0 says that the first is being written.
    pub version: u64,
    /// The version that is being written now, by a draft ([`super::ArtifactDraft`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writing: Option<u64>,
    /// What its maker calls it. Making it again gives the same artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id<Message>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Bytes of the newest version.
    pub content_bytes: u64,
    pub created_at: u64,
    pub updated_at: u64,
}

static INDEXES: [Index; 3] = [
    Index::new("by_thread", &["threadId", "createdAt"]),
    Index::unique("by_key", &["threadId", "key"]),
    Index::new("by_status", &["threadId", "kind", "status"]),
];
pub static TABLE: Table = Table { name: "artifacts", prefix: "art", indexes: &INDEXES };
pub static BY_THREAD: &Index = &INDEXES[0];
pub static BY_KEY: &Index = &INDEXES[1];
pub static BY_STATUS: &Index = &INDEXES[2];

impl Document for Artifact {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// Who wrote a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    User,
    Agent,
}

/// One version, without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactVersion {
    #[serde(rename = "_id")]
    pub id: Id<ArtifactVersion>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub artifact_id: Id<Artifact>,
    pub version: u64,
    pub title: String,
    pub status: ArtifactStatus,
    pub author: Author,
    /// The account that wrote it: a person's, or that of a service key.
    pub user_id: Id<User>,
    pub content_id: Id<ArtifactContent>,
    pub content_bytes: u64,
    /// SHA-256 of the content, 64 lowercase hex digits.
    pub content_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id<Message>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Whether the answer that wrote it was over before the text was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    pub created_at: u64,
}

static VERSION_INDEXES: [Index; 2] =
    [Index::unique("by_artifact", &["artifactId", "version"]), Index::new("by_thread", &["threadId", "createdAt"])];
pub static VERSION_TABLE: Table = Table { name: "artifact_versions", prefix: "arv", indexes: &VERSION_INDEXES };
pub static VERSION_BY_ARTIFACT: &Index = &VERSION_INDEXES[0];
pub static VERSION_BY_THREAD: &Index = &VERSION_INDEXES[1];

impl Document for ArtifactVersion {
    const TABLE: &'static Table = &VERSION_TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// What a version says. Written once, with its version, and never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactContent {
    #[serde(rename = "_id")]
    pub id: Id<ArtifactContent>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub content: String,
}

pub static CONTENT_TABLE: Table = Table { name: "artifact_contents", prefix: "arc", indexes: &[] };

impl Document for ArtifactContent {
    const TABLE: &'static Table = &CONTENT_TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// An artifact as the owner of its thread sees it in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactSummary {
    #[serde(rename = "_id")]
    pub id: Id<Artifact>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub kind: String,
    pub title: String,
    pub status: ArtifactStatus,
    /// The newest version that is whole: what to send as `baseVersion`. 0 says that the first is being written.
    pub version: u64,
    /// The version that is being written now: `artifacts:deltas` follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writing: Option<u64>,
    pub content_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id<Message>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    pub created_at: u64,
    pub updated_at: u64,
}

impl From<Artifact> for ArtifactSummary {
    fn from(artifact: Artifact) -> Self {
        Self {
            id: artifact.id,
            creation_time: artifact.creation_time,
            thread_id: artifact.thread_id,
            kind: artifact.kind,
            title: artifact.title,
            status: artifact.status,
            version: artifact.version,
            writing: artifact.writing,
            content_bytes: artifact.content_bytes,
            key: artifact.key,
            generation_id: artifact.generation_id,
            message_id: artifact.message_id,
            tool_call_id: artifact.tool_call_id,
            created_at: artifact.created_at,
            updated_at: artifact.updated_at,
        }
    }
}

/// One version as the owner of its thread sees it in the history.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    pub artifact_id: Id<Artifact>,
    pub version: u64,
    pub title: String,
    pub status: ArtifactStatus,
    pub author: Author,
    pub content_bytes: u64,
    pub content_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id<Message>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Whether the answer that wrote it was over before the text was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    pub created_at: u64,
}

impl From<ArtifactVersion> for VersionView {
    fn from(row: ArtifactVersion) -> Self {
        Self {
            artifact_id: row.artifact_id,
            version: row.version,
            title: row.title,
            status: row.status,
            author: row.author,
            content_bytes: row.content_bytes,
            content_hash: row.content_hash,
            generation_id: row.generation_id,
            message_id: row.message_id,
            tool_call_id: row.tool_call_id,
            cut: row.cut,
            created_at: row.created_at,
        }
    }
}
