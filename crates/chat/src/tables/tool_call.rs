//! One call of a tool by a model: what was asked, for whom, in which role, and what became of it. A call
//! that is over is never changed: the rows are the audit trail of what assistants did.
//!
//! Whoever makes the answer, its calls are rows: those of the server's own answers are made rows before they
//! run, those of answers made outside when the runner tells of them. The generation says who the runner is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_store::{Document, Id, Index, Table};

use super::{Approval, Generation, Message, Thread, User};
use crate::parts::ToolState;

/// Why a call has no result. A closed list; docs/tools.md has it for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallError {
    /// There is no tool of that name.
    UnknownTool,
    /// The arguments are not what the tool takes.
    InvalidInput,
    /// The same call was made too often in the answer.
    Repeated,
    /// The caller may not call it: it is not offered in the role or phase, or a rule of the user forbids it.
    Forbidden,
    /// A person said no.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// The answer ended before the call did.
    Cancelled,
    /// It was not run: the tool refused the arguments, or its address may not be called.
    Refused,
    /// It was not run: the tool is gone, or cannot be reached.
    Unavailable,
    /// It ran, or may have run, and says that it failed, or says nothing that can be read.
    #[default]
    Failed,
    /// No answer in time. It may have run.
    TimedOut,
    /// It ran, and its result is too large to be read.
    TooLarge,
    /// The server died while it ran, and it is not called again.
    EffectUnknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    #[serde(rename = "_id")]
    pub id: Id<ToolCall>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub generation_id: Id<Generation>,
    pub message_id: Id<Message>,
    /// For whom it runs: the owner of the thread.
    pub user_id: Id<User>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The role in which the user is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<String>,
    /// The step of the answer that made it; the first is 1. 0 in an answer made outside, whose steps are not known.
    pub step: u32,
    /// Its place among the calls of its step.
    pub place: u32,
    /// What the log and the message call it. A runner outside may use a name again; that is another call.
    pub tool_call_id: String,
    pub tool: String,
    /// What it runs with: the arguments of the model, or what a person made of them.
    pub input: Value,
    pub state: ToolState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Bytes of the whole result, where `output` is only its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// With `error`: what kind of failure it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<CallError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Id<Approval>>,
    /// It changes nothing outside, so that it runs from the start, and again after a crash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads: bool,
    /// Its approval was decided, and the log does not say so yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
    pub created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_generation", &["generationId", "step", "place"]),
    Index::new("by_call", &["generationId", "toolCallId"]),
    Index::new("by_thread", &["threadId", "createdAt"]),
];
pub static TABLE: Table = Table { name: "tool_calls", prefix: "tc", indexes: &INDEXES };
pub static BY_GENERATION: &Index = &INDEXES[0];
pub static BY_CALL: &Index = &INDEXES[1];
pub static BY_THREAD: &Index = &INDEXES[2];

impl Document for ToolCall {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A call as the owner of its thread sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolCallView {
    #[serde(rename = "_id")]
    pub id: Id<ToolCall>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub generation_id: Id<Generation>,
    pub message_id: Id<Message>,
    pub user_id: Id<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<String>,
    /// 0 in an answer made outside.
    pub step: u32,
    pub tool_call_id: String,
    pub tool: String,
    pub input: Value,
    pub state: ToolState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Bytes of the whole result, where `output` is only its beginning: `toolCalls:output` reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why there is no result, where there is an `error`; absent in calls of versions before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<CallError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Id<Approval>>,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

impl From<ToolCall> for ToolCallView {
    fn from(call: ToolCall) -> Self {
        Self {
            id: call.id,
            creation_time: call.creation_time,
            thread_id: call.thread_id,
            generation_id: call.generation_id,
            message_id: call.message_id,
            user_id: call.user_id,
            agent_id: call.agent_id,
            effective_role: call.effective_role,
            step: call.step,
            tool_call_id: call.tool_call_id,
            tool: call.tool,
            input: call.input,
            state: call.state,
            output: call.output,
            output_bytes: call.output_bytes,
            error: call.error,
            error_code: call.error_code,
            approval_id: call.approval_id,
            created_at: call.created_at,
            started_at: call.started_at,
            ended_at: call.ended_at,
        }
    }
}
