//! What a thread is to the program that works on it: the name of its session there, and the phase of a run
//! that plans, asks and executes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Artifact, Thread};
use crate::states::{Phase, PhaseNames, SessionStatus};

/// The runtime of agents that the server runs itself.
pub const HOSTED: &str = "spool";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeSession {
    #[serde(rename = "_id")]
    pub id: Id<RuntimeSession>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    /// Which program: `claude-agent-sdk`, `opencode`, `spool`, or a backend's own word.
    pub runtime: String,
    /// The thread while the session is not over, else nothing: makes it the only one of its runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_in: Option<Id<Thread>>,
    pub status: SessionStatus,
    /// What the runtime calls its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Only of a run in phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The plan of the run, and the version that is asked about or was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_artifact_id: Option<Id<Artifact>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u64>,
    /// Why the last plan was not carried out, until there is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<String>,
    /// Where the runtime works (`local`, `sandbox`), and who provides that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub last_used_at: u64,
    pub created_at: u64,
    pub updated_at: u64,
}

static INDEXES: [Index; 2] =
    [Index::new("by_thread", &["threadId", "lastUsedAt"]), Index::unique("by_open", &["openIn", "runtime"])];
pub static TABLE: Table = Table { name: "runtime_sessions", prefix: "rts", indexes: &INDEXES };
pub static BY_THREAD: &Index = &INDEXES[0];
pub static BY_OPEN: &Index = &INDEXES[1];

impl Document for RuntimeSession {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A session as the owner of its thread and backends see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeSessionView {
    #[serde(rename = "_id")]
    pub id: Id<RuntimeSession>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub runtime: String,
    pub status: SessionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What people read for the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_artifact_id: Option<Id<Artifact>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u64>,
    /// Why the last plan was not carried out, until there is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub last_used_at: u64,
    pub created_at: u64,
    pub updated_at: u64,
}

impl RuntimeSessionView {
    pub fn of(row: RuntimeSession, names: &PhaseNames) -> Self {
        Self {
            phase_name: row.phase.map(|phase| names.of(phase).to_owned()),
            id: row.id,
            creation_time: row.creation_time,
            thread_id: row.thread_id,
            runtime: row.runtime,
            status: row.status,
            external_id: row.external_id,
            phase: row.phase,
            plan_artifact_id: row.plan_artifact_id,
            plan_version: row.plan_version,
            rejection: row.rejection,
            mode: row.mode,
            provider: row.provider,
            last_used_at: row.last_used_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
