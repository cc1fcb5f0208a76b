//! The list of what is to be done in a thread: the agent's, and people may change it. One per thread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Author, Thread};

/// How far one entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    Pending,
    InProgress,
    Completed,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Todo {
    /// One line.
    pub text: String,
    pub status: TodoStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Todos {
    #[serde(rename = "_id")]
    pub id: Id<Todos>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    /// Grows by one with every change; the first list is 1.
    pub version: u64,
    pub todos: Vec<Todo>,
    /// Who wrote this version.
    pub author: Author,
    pub updated_at: u64,
}

static INDEXES: [Index; 1] = [Index::unique("by_thread", &["threadId"])];
pub static TABLE: Table = Table { name: "todos", prefix: "tod", indexes: &INDEXES };
pub static BY_THREAD: &Index = &INDEXES[0];

impl Document for Todos {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// The list as the owner of the thread sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TodosView {
    pub thread_id: Id<Thread>,
    /// What to send as `baseVersion`; 0 as long as nobody wrote a list.
    pub version: u64,
    pub todos: Vec<Todo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<u64>,
}

impl TodosView {
    /// The list of a thread that has none.
    pub(crate) fn empty(thread_id: Id<Thread>) -> Self {
        Self { thread_id, version: 0, todos: Vec::new(), author: None, updated_at: None }
    }
}

impl From<Todos> for TodosView {
    fn from(row: Todos) -> Self {
        let Todos { thread_id, version, todos, author, updated_at, .. } = row;
        Self { thread_id, version, todos, author: Some(author), updated_at: Some(updated_at) }
    }
}
