//! What of a message a share shows: the allow-list, and nothing that is not on it. Pure.
//!
//! Every kind of part and event is named here, so that a new kind is decided about before it compiles.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use spool_protocol::{Event, FinalStatus};
use spool_store::Id;

use crate::parts::{self, Part, ToolState};
use crate::states::MessageStatus;
use crate::tables::{Generation, Includes, Message, Role, Share, ShareMode};

/// A piece of a message as the readers of a share see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum SharedPart {
    Text {
        text: String,
    },
    /// Only if the share includes reasoning.
    Reasoning {
        text: String,
    },
    /// Only if the share includes tools.
    ToolCall {
        tool_call_id: String,
        tool: String,
        state: ToolState,
        input: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Source {
        title: String,
        url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        snippet: Option<String>,
    },
    File {
        /// Only if the share includes files: `shares:fileUrl` opens it.
        #[serde(skip_serializing_if = "Option::is_none")]
        upload_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
}

/// A message as the readers of a share see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedMessage {
    /// The place in the thread. Places of messages that are not shown are left out.
    pub seq: u64,
    /// `user` or `assistant`.
    pub role: Role,
    pub status: MessageStatus,
    pub parts: Vec<SharedPart>,
    /// The text parts joined.
    pub text: String,
    pub created_at: u64,
    /// Of an answer that is being made: `shares:deltas` follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
}

/// An event of a running answer as the readers of a share see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum SharedEvent {
    Text {
        text: String,
    },
    /// Only if the share includes reasoning.
    Reasoning {
        text: String,
    },
    /// Only if the share includes tools.
    ToolStart {
        tool_call_id: String,
        tool: String,
        input: Value,
    },
    /// Only if the share includes tools.
    ToolEnd {
        tool_call_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Source {
        title: String,
        url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        snippet: Option<String>,
    },
    File {
        #[serde(skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// The answer is over. Why it failed is its owner's business.
    Status {
        status: FinalStatus,
    },
}

/// Whether the share shows this message at all. A snapshot shows what was complete at its moment and has
/// not been made anew since: what its owner took back or changed later is gone from it too.
pub fn is_shown(share: &Share, message: &Message) -> bool {
    let role = matches!(message.role, Role::User | Role::Assistant);
    role && match share.mode {
        ShareMode::Live => true,
        ShareMode::Snapshot => {
            let then = share.through_seq.is_some_and(|last| message.seq <= last);
            let whole = message.completed_at.is_some_and(|at| at <= share.created_at);
            then && whole && message.status.is_terminal()
        }
    }
}

/// The message as the share shows it, or nothing.
pub fn message(share: &Share, message: Message) -> Option<SharedMessage> {
    if !is_shown(share, &message) {
        return None;
    }
    let running = !message.status.is_terminal() && message.role == Role::Assistant;
    Some(SharedMessage {
        seq: message.seq,
        role: message.role,
        status: message.status,
        text: parts::text(&message.parts),
        parts: message.parts.into_iter().filter_map(|shown| part(share.includes, shown)).collect(),
        created_at: message.created_at,
        generation_id: message.generation_id.filter(|_| running),
    })
}

fn part(includes: Includes, part: Part) -> Option<SharedPart> {
    match part {
        Part::Text { text } => Some(SharedPart::Text { text }),
        Part::Reasoning { text } => includes.reasoning.then_some(SharedPart::Reasoning { text }),
        Part::ToolCall { tool_call_id, tool, state, input, output, error, .. } => {
            includes.tools.then_some(SharedPart::ToolCall { tool_call_id, tool, state, input, output, error })
        }
        Part::Source { title, url, snippet, .. } => Some(SharedPart::Source { title, url, snippet }),
        Part::File { upload_id, media_type, name, size } => {
            Some(SharedPart::File { upload_id: includes.files.then_some(upload_id), media_type, name, size })
        }
        // What was said to a running answer is a message of its own, too.
        Part::Steered { .. }
        | Part::Artifact { .. }
        | Part::Approval { .. }
        | Part::Activity { .. }
        | Part::Data { .. } => None,
    }
}

/// The event as the share shows it, or nothing.
pub fn event(includes: Includes, event: Event) -> Option<SharedEvent> {
    match event {
        Event::Text { text } => Some(SharedEvent::Text { text }),
        Event::Reasoning { text } => includes.reasoning.then_some(SharedEvent::Reasoning { text }),
        Event::ToolStart { tool_call_id, tool, input } => {
            includes.tools.then_some(SharedEvent::ToolStart { tool_call_id, tool, input })
        }
        Event::ToolEnd { tool_call_id, output, error, .. } => {
            includes.tools.then_some(SharedEvent::ToolEnd { tool_call_id, output, error })
        }
        Event::Source { title, url, snippet } => Some(SharedEvent::Source { title, url, snippet }),
        Event::File { media_type, name, size, .. } => Some(SharedEvent::File { media_type, name, size }),
        Event::Status { status, .. } => Some(SharedEvent::Status { status }),
        Event::Steered { .. } | Event::Artifact { .. } | Event::Approval { .. } | Event::Activity { .. } => None,
    }
}
