//! The AI SDK's UI message stream (header `x-vercel-ai-ui-message-stream: v1`): its chunks, and how they
//! are framed. [`Encoder`] makes them from the events of a log.
//!
//! Clients of `ai` 5.0, 6.0 and 7.0 check every chunk against a strict schema and give up on the first
//! unknown type or field. So what is here is the part that all of them know, field by field; what only
//! newer ones know has to be asked for ([`Dialect::Six`], [`Dialect::Seven`]).

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

mod asking;
mod encoder;

pub use asking::{Waiting, Waits, is_call};
pub use encoder::{Encoder, Opening};

/// What the reader understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// What every release of 5, 6 and 7 accepts.
    #[default]
    Common,
    /// `ai` 6, which was asked for: approvals of tool calls, and a reason with `finish`.
    Six,
    /// `ai` 7, which was asked for: what 6 knows, and a reason with `abort`.
    Seven,
}

impl Dialect {
    /// Whether the client asks its user about a tool call. It can only while no stream is open, so streams
    /// end where a call waits for a decision, and go on with the request that carries it.
    pub fn asks(self) -> bool {
        self != Dialect::Common
    }
}

/// One chunk of the stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Chunk {
    /// The message begins; the client takes over its id.
    Start {
        message_id: String,
    },
    StartStep,
    TextStart {
        id: String,
    },
    TextDelta {
        id: String,
        delta: String,
    },
    TextEnd {
        id: String,
    },
    ReasoningStart {
        id: String,
    },
    ReasoningDelta {
        id: String,
        delta: String,
    },
    ReasoningEnd {
        id: String,
    },
    /// `provider_executed` tells clients that the call is not theirs to carry out or to answer. It is true
    /// but for a call that their user is asked about: 6.0 sends no decision about any other.
    ToolInputAvailable {
        tool_call_id: String,
        tool_name: String,
        input: Value,
        provider_executed: bool,
    },
    ToolOutputAvailable {
        tool_call_id: String,
        output: Value,
        provider_executed: bool,
    },
    ToolOutputError {
        tool_call_id: String,
        error_text: String,
        provider_executed: bool,
    },
    /// The user is asked about a call that was said before.
    ToolApprovalRequest {
        approval_id: String,
        tool_call_id: String,
    },
    ToolOutputDenied {
        tool_call_id: String,
    },
    /// An artifact in its newest version; the same id again takes the place of the first.
    #[serde(rename = "data-artifact")]
    Artifact {
        id: String,
        data: Value,
    },
    /// An approval as it stands; the same id again takes the place of the first.
    #[serde(rename = "data-approval")]
    Approval {
        id: String,
        data: Value,
    },
    SourceUrl {
        source_id: String,
        url: String,
        title: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        provider_metadata: Option<Value>,
    },
    /// A file of the answer. The log knows no addresses: whoever sends the chunk gives it one.
    File {
        url: String,
        media_type: String,
    },
    /// What the runner is doing. Transient: clients are told, and keep nothing.
    #[serde(rename = "data-activity")]
    Activity {
        data: Value,
        transient: bool,
    },
    FinishStep,
    Finish {
        #[serde(skip_serializing_if = "Option::is_none")]
        finish_reason: Option<&'static str>,
    },
    Abort {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    Error {
        error_text: String,
    },
}

impl Chunk {
    fn activity(kind: &str, label: &str) -> Self {
        Chunk::Activity { data: json!({ "kind": kind, "label": label }), transient: true }
    }
}

/// What stands at the end of every stream that was not cut.
pub const DONE: &str = "data: [DONE]\n\n";

/// Writes the chunks of one event as server-sent events. Only the last carries the offset as its `id:`:
/// whoever has seen that line has everything before the offset, and nothing of what comes after it. Without
/// an offset there is no such line.
pub fn write_sse(chunks: &[Chunk], offset: impl Into<Option<u64>>, out: &mut String) {
    let offset = offset.into();
    for (at, chunk) in chunks.iter().enumerate() {
        // JSON on one line: no payload can end the `data:` line and forge another.
        let Ok(json) = serde_json::to_string(chunk) else { continue };
        if at + 1 == chunks.len()
            && let Some(offset) = offset
        {
            let _ = writeln!(out, "id: {offset}");
        }
        out.push_str("data: ");
        out.push_str(&json);
        out.push_str("\n\n");
    }
}

#[cfg(test)]
mod tests;
