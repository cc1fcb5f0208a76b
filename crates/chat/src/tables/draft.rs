//! A version of an artifact that is being written. Its text is in the store's log that has the draft's id as
//! its name; an offset counts UTF-8 bytes. The row ends with the writing, and its log goes after it.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Artifact, Author, Generation, Message, Thread, User};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactDraft {
    #[serde(rename = "_id")]
    pub id: Id<ArtifactDraft>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub artifact_id: Id<Artifact>,
    /// The version that it becomes: one more than the newest that is whole.
    pub version: u64,
    pub title: String,
    pub author: Author,
    /// The account that writes it: a person's, or that of a service key.
    pub user_id: Id<User>,
    /// Who began it ([`crate::Principal::key`]): beginning again gives the same draft.
    pub writer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id<Message>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    pub created_at: u64,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_artifact", &["artifactId"]),
    Index::new("by_thread", &["threadId", "createdAt"]),
    Index::new("by_generation", &["generationId"]),
];
pub static TABLE: Table = Table { name: "artifact_drafts", prefix: "ard", indexes: &INDEXES };
pub static BY_ARTIFACT: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];
pub static BY_GENERATION: &Index = &INDEXES[2];

impl Document for ArtifactDraft {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
