//! Browsers that are told when something waits for their person, by Web Push (RFC 8030).
//!
//! An endpoint is the right to send there, and `auth` is a secret: neither is logged or answered by a mutation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushSubscription {
    #[serde(rename = "_id")]
    pub id: Id<PushSubscription>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    pub endpoint: String,
    /// SHA-256 of the endpoint: a browser belongs to whoever signed in with it last.
    pub endpoint_hash: String,
    /// The browser's public key and its secret, base64url (RFC 8291).
    pub p256dh: String,
    pub auth: String,
    pub created_at: u64,
    /// Tries in a row that did not reach it.
    pub failures: u32,
}

static INDEXES: [Index; 2] =
    [Index::new("by_user", &["userId", "createdAt"]), Index::unique("by_endpoint", &["endpointHash"])];
pub static TABLE: Table = Table { name: "push_subscriptions", prefix: "psh", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];
pub static BY_ENDPOINT: &Index = &INDEXES[1];

impl Document for PushSubscription {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A subscription as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushView {
    #[serde(rename = "_id")]
    pub id: Id<PushSubscription>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// By it a browser recognises its own.
    pub endpoint: String,
    pub created_at: u64,
    pub failures: u32,
}

impl From<PushSubscription> for PushView {
    fn from(row: PushSubscription) -> Self {
        Self {
            id: row.id,
            creation_time: row.creation_time,
            endpoint: row.endpoint,
            created_at: row.created_at,
            failures: row.failures,
        }
    }
}
