//! What a generation's log is made of. Every wire (Convex deltas, SSE, Durable Streams, AI SDK) is cut
//! from these events, at the same offsets.
//!
//! An **offset** counts units from the start of the log: one per UTF-8 byte of `text` and `reasoning`,
//! one for every other event. So any character boundary is a place to resume, whatever the batching was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tokens of one answer, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    #[serde(default)]
    pub input_tokens: u64,
    #[serde(default)]
    pub output_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinalStatus {
    Complete,
    Error,
    Stopped,
    Interrupted,
}

/// Why a generation failed, as people and programs may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// One of the closed error codes.
    pub code: String,
    pub message: String,
    /// Whether trying again may help without a change.
    pub retryable: bool,
}

/// What a person is asked to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// One version of an artifact.
    Plan,
    /// One call of a tool with exactly these arguments.
    ToolCall,
    /// A question that is answered with yes or no.
    Question,
}

/// Where an approval stands. Everything but `pending` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    Pending,
    Approved,
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// The answer that asked is over.
    Cancelled,
}

/// One entry of a generation log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    Text {
        text: String,
    },
    Reasoning {
        text: String,
    },
    ToolStart {
        tool_call_id: String,
        tool: String,
        input: Value,
    },
    ToolEnd {
        tool_call_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// It never ran: the caller may not call it, or a rule forbids it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        denied: bool,
    },
    /// What the user said while the answer was being made; the model reads it before its next step.
    Steered {
        message_id: String,
        text: String,
    },
    Source {
        title: String,
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snippet: Option<String>,
    },
    /// A document that was made or changed: its id opens, at the latest with this event.
    Artifact {
        artifact_id: String,
        version: u64,
        kind: String,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
    },
    /// A person is asked, or has answered. The row has the rest: `approvals:get`.
    Approval {
        approval_id: String,
        kind: ApprovalKind,
        status: ApprovalStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_call_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        artifact_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<String>,
        /// What the person said with the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// If it is there, exactly this was approved: the call runs with it instead of its own arguments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited_input: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    },
    /// A file that belongs to the answer. A runner names the upload; the server adds what its row says.
    File {
        upload_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// What the runner is doing, for people: "waiting for the model", "reading 3 pages".
    Activity {
        kind: String,
        label: String,
    },
    /// The last event of every log; nothing follows it.
    Status {
        status: FinalStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finish_reason: Option<String>,
    },
}

impl Event {
    /// Length in offset units; at least 1 for everything but empty text.
    pub fn units(&self) -> u64 {
        match self {
            Event::Text { text } | Event::Reasoning { text } => text.len() as u64,
            Event::ToolStart { .. }
            | Event::ToolEnd { .. }
            | Event::Steered { .. }
            | Event::Source { .. }
            | Event::Artifact { .. }
            | Event::Approval { .. }
            | Event::File { .. }
            | Event::Activity { .. }
            | Event::Status { .. } => 1,
        }
    }

    /// The event without its first `skip` units. `None` if nothing is left or if `skip` falls inside a
    /// character: no client was ever given such an offset.
    pub fn skip(&self, skip: u64) -> Option<Event> {
        if skip == 0 {
            return Some(self.clone());
        }
        let rest =
            |text: &str| Some(text.get(usize::try_from(skip).ok()?..)?.to_owned()).filter(|rest| !rest.is_empty());
        match self {
            Event::Text { text } => rest(text).map(|text| Event::Text { text }),
            Event::Reasoning { text } => rest(text).map(|text| Event::Reasoning { text }),
            _ => None,
        }
    }

    /// The `type` tag, which is also the SSE event name.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Text { .. } => "text",
            Event::Reasoning { .. } => "reasoning",
            Event::ToolStart { .. } => "tool_start",
            Event::ToolEnd { .. } => "tool_end",
            Event::Steered { .. } => "steered",
            Event::Source { .. } => "source",
            Event::Artifact { .. } => "artifact",
            Event::Approval { .. } => "approval",
            Event::File { .. } => "file",
            Event::Activity { .. } => "activity",
            Event::Status { .. } => "status",
        }
    }

    /// Appends `event` to `events`, joining neighbouring text (and reasoning) into one event: a late
    /// joiner gets the answer so far in one piece.
    pub fn push_coalesced(events: &mut Vec<Event>, event: Event) {
        match (events.last_mut(), event) {
            (Some(Event::Text { text }), Event::Text { text: more })
            | (Some(Event::Reasoning { text }), Event::Reasoning { text: more }) => text.push_str(&more),
            (_, event) => {
                if event.units() > 0 {
                    events.push(event);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Event {
        Event::Text { text: text.into() }
    }

    #[test]
    fn skipping_keeps_every_character_boundary_and_refuses_the_inside_of_one() {
        let event = text("aé");
        assert_eq!(event.units(), 3);
        assert_eq!(event.skip(1), Some(text("é")));
        assert_eq!(event.skip(2), None);
        assert_eq!(event.skip(3), None);
    }

    #[test]
    fn coalescing_joins_neighbours_of_one_kind_only() {
        let mut events = Vec::new();
        for event in [text("a"), text(""), text("b"), Event::Reasoning { text: "r".into() }, text("c")] {
            Event::push_coalesced(&mut events, event);
        }
        assert_eq!(events, [text("ab"), Event::Reasoning { text: "r".into() }, text("c")]);
    }
}
