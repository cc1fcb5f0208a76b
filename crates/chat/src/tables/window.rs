//! A window: one stretch of talk between a user and an application in one role, ended by inactivity.
//!
//! Its thread knows when it was active last, so the window does not say it again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Thread, User};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    #[serde(rename = "_id")]
    pub id: Id<Window>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    /// Which application the conversation belongs to.
    pub app: String,
    /// The role in which the user is answered in it; empty on a server without roles.
    pub role_scope: String,
    pub thread_id: Id<Thread>,
    /// The user while the window is open, else nothing: makes the open one unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_of: Option<Id<User>>,
    /// The thread of the window before this one whose summary goes on here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_from: Option<Id<Thread>>,
    pub opened_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u64>,
}

static INDEXES: [Index; 4] = [
    Index::unique("by_open", &["openOf", "app", "roleScope"]),
    Index::unique("by_thread", &["threadId"]),
    Index::new("by_user", &["userId", "openedAt"]),
    Index::new("by_app", &["userId", "app", "openedAt"]),
];
pub static TABLE: Table = Table { name: "windows", prefix: "win", indexes: &INDEXES };
pub static BY_OPEN: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];
pub static BY_USER: &Index = &INDEXES[2];
pub static BY_APP: &Index = &INDEXES[3];

impl Document for Window {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A window as its user sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowView {
    #[serde(rename = "_id")]
    pub id: Id<Window>,
    pub app: String,
    /// Absent on a server without roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_scope: Option<String>,
    pub thread_id: Id<Thread>,
    pub opened_at: u64,
    /// Absent while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u64>,
}

impl From<Window> for WindowView {
    fn from(window: Window) -> Self {
        Self {
            role_scope: Some(window.role_scope).filter(|role| !role.is_empty()),
            id: window.id,
            app: window.app,
            thread_id: window.thread_id,
            opened_at: window.opened_at,
            closed_at: window.closed_at,
        }
    }
}
