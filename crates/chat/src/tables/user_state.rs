//! What is kept about a user beyond conversations: memory, custom instructions, profile. One document of each
//! kind with a version, and the newest versions of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// Facts that the assistant keeps: a list of [`MemoryEntry`].
    Memory,
    /// What the user tells every conversation: one text.
    CustomInstructions,
    /// What the application says of the user: an object.
    Profile,
}

impl StateKind {
    pub fn as_str(self) -> &'static str {
        match self {
            StateKind::Memory => "memory",
            StateKind::CustomInstructions => "custom_instructions",
            StateKind::Profile => "profile",
        }
    }
}

/// Who wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    User,
    /// A model, with a tool.
    Assistant,
    /// A backend with a service key.
    Application,
}

/// A fact that the assistant keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryEntry {
    /// `m1`, `m2` and so on; never used twice for one user.
    pub id: String,
    pub text: String,
    pub created_at: u64,
    pub source: Source,
    /// Of an entry that the assistant made while it answered in a role: it is told in that role alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl MemoryEntry {
    /// Whether it is told in answers in this role.
    pub fn is_for(&self, role: Option<&str>) -> bool {
        self.role.is_none() || self.role.as_deref() == role
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserState {
    #[serde(rename = "_id")]
    pub id: Id<UserState>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    pub kind: StateKind,
    /// 1 for the first; grows by one with every change, also by a clearing.
    pub version: u64,
    pub content: Value,
    /// Entries of a memory that there ever were: the next one's number.
    #[serde(default)]
    pub entries_made: u64,
    pub updated_at: u64,
}

static INDEXES: [Index; 1] = [Index::unique("by_user", &["userId", "kind"])];
pub static TABLE: Table = Table { name: "user_state", prefix: "ust", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];

impl Document for UserState {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// One version, as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateVersion {
    #[serde(rename = "_id")]
    pub id: Id<StateVersion>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub state_id: Id<UserState>,
    pub version: u64,
    pub content: Value,
    pub source: Source,
    pub at: u64,
}

static VERSION_INDEXES: [Index; 1] = [Index::unique("by_state", &["stateId", "version"])];
pub static VERSION_TABLE: Table = Table { name: "user_state_versions", prefix: "usv", indexes: &VERSION_INDEXES };
pub static VERSION_BY_STATE: &Index = &VERSION_INDEXES[0];

impl Document for StateVersion {
    const TABLE: &'static Table = &VERSION_TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A version as its user sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateVersionView {
    pub version: u64,
    /// Of a memory the list of its entries, of instructions the text, of a profile its fields.
    pub content: Value,
    pub source: Source,
    pub at: u64,
}

impl From<StateVersion> for StateVersionView {
    fn from(row: StateVersion) -> Self {
        Self { version: row.version, content: row.content, source: row.source, at: row.at }
    }
}
