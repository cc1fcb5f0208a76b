//! A machine of a user, on which workers run. A row and a name; whatever it can do, its workers do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    #[serde(rename = "_id")]
    pub id: Id<Machine>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    pub name: String,
    pub created_at: u64,
}

static INDEXES: [Index; 1] = [Index::new("by_user", &["userId", "createdAt"])];
pub static TABLE: Table = Table { name: "machines", prefix: "mch", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];

impl Document for Machine {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// How many workers a machine has, by what they are good for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkerCounts {
    pub pending: u64,
    pub online: u64,
    pub offline: u64,
    pub revoked: u64,
}

/// A machine as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineView {
    #[serde(rename = "_id")]
    pub id: Id<Machine>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub name: String,
    pub workers: WorkerCounts,
    pub created_at: u64,
}

impl MachineView {
    pub(crate) fn new(machine: Machine, workers: WorkerCounts) -> Self {
        Self {
            id: machine.id,
            creation_time: machine.creation_time,
            name: machine.name,
            workers,
            created_at: machine.created_at,
        }
    }
}
