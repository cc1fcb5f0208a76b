//! A worker: a process on a user's machine that makes answers.
//!
//! Whether it may work (approval) and whether it is there (presence) are two things. Its secret is a
//! credential; only the hash of it is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Credential, Machine, User};
use crate::states::WorkerApproval;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    #[serde(rename = "_id")]
    pub id: Id<Worker>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub machine_id: Id<Machine>,
    /// The owner of the machine.
    pub user_id: Id<User>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub approval: WorkerApproval,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Id<User>>,
    /// The one secret that is good now.
    pub credential_id: Id<Credential>,
    /// Grows whenever another process becomes this worker, and when none may be any more: whoever has an
    /// older one is fenced off.
    pub epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<u64>,
    /// Until when the newest heartbeat counts. Presence is computed from it; it is cleared once it is over,
    /// so that live queries hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_until: Option<u64>,
    pub created_at: u64,
}

static INDEXES: [Index; 3] = [
    Index::new("by_user", &["userId", "approval", "createdAt"]),
    Index::new("by_machine", &["machineId", "createdAt"]),
    Index::new("by_presence", &["onlineUntil"]),
];
pub static TABLE: Table = Table { name: "workers", prefix: "wkr", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];
pub static BY_MACHINE: &Index = &INDEXES[1];
pub static BY_PRESENCE: &Index = &INDEXES[2];

impl Document for Worker {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// Whether a worker is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    Online,
    Offline,
}

impl Worker {
    /// Computed, never stored: a worker is there as long as its newest heartbeat counts.
    pub(crate) fn presence(&self, now: u64) -> Presence {
        let heard = self.approval == WorkerApproval::Approved && self.online_until.is_some_and(|until| until > now);
        if heard { Presence::Online } else { Presence::Offline }
    }
}

/// A worker as the owner of its machine sees it: without the secret and its hash.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    #[serde(rename = "_id")]
    pub id: Id<Worker>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub machine_id: Id<Machine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub approval: WorkerApproval,
    pub presence: Presence,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Id<User>>,
    pub epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<u64>,
    pub created_at: u64,
}

impl WorkerView {
    pub(crate) fn new(worker: Worker, now: u64) -> Self {
        Self {
            presence: worker.presence(now),
            id: worker.id,
            creation_time: worker.creation_time,
            machine_id: worker.machine_id,
            name: worker.name,
            approval: worker.approval,
            approved_at: worker.approved_at,
            approved_by: worker.approved_by,
            epoch: worker.epoch,
            connected_at: worker.connected_at,
            last_heartbeat_at: worker.last_heartbeat_at,
            created_at: worker.created_at,
        }
    }
}
