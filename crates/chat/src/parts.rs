//! The ordered parts of a message.
//!
//! Text is kept byte for byte, never rewritten or evaluated. Opaque JSON is kept as it is, provided
//! that the sync protocol can carry it ([`wire`]).

mod fold;
mod wire;

pub use fold::{Fold, card, fold, rewrite_text};
pub use wire::{check_events, check_json, check_parts, safe_json};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus};

use crate::args;

/// How far a tool call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolState {
    Pending,
    AwaitingApproval,
    Running,
    Completed,
    Error,
    Cancelled,
    Denied,
}

/// Writes the kinds of parts once and derives two forms: [`Part`], tagged by `type`, and `ByName`, which
/// reads the same fields without buffering them, so that an error knows the path inside the part.
macro_rules! part_kinds {
    ($($kinds:tt)*) => {
        /// One piece of a message.
        #[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
        #[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
        pub enum Part { $($kinds)* }

        #[derive(Deserialize)]
        #[serde(remote = "Part", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
        enum ByName { $($kinds)* }
    };
}

part_kinds! {
    Text { text: String },
    Reasoning { text: String },
    ToolCall {
        tool_call_id: String,
        tool: String,
        state: ToolState,
        input: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_at: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_call_id: Option<String>,
    },
    /// What the user said while the answer was being made. The message itself follows the answer.
    Steered { message_id: String, text: String },
    Source {
        title: String,
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snippet: Option<String>,
        /// What the stream of the answer called it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_id: Option<String>,
    },
    Artifact {
        artifact_id: String,
        version: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// As it was when it was told of; its row says what it is now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
    },
    Approval {
        approval_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<ApprovalKind>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<ApprovalStatus>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_call_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        artifact_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        question: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edited_input: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    },
    /// One of the thread's uploads. Whatever else is known of it comes from its row, never from a client.
    File {
        upload_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    Activity {
        kind: String,
        label: String,
        at: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_at: Option<u64>,
    },
    /// Whatever an application keeps with a message; the server does not look inside.
    Data { media_type: String, json: Value },
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = serde_json::Map::<String, Value>::deserialize(deserializer)?;
        let kind = match fields.remove("type") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(args::nested_fault("type", "expected a string")),
            None => return Err(de::Error::missing_field("type")),
        };
        let named = Value::Object(std::iter::once((kind.clone(), Value::Object(fields))).collect());
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(named, &mut track);
        ByName::deserialize(tracked).map_err(|error| {
            let path = track.path().to_string();
            let inside = path.strip_prefix(kind.as_str()).map_or("type", |rest| rest.trim_start_matches('.'));
            args::nested_fault(inside, &error.to_string())
        })
    }
}

/// The text parts joined, byte for byte; nothing else is text.
pub fn text(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| if let Part::Text { text } = part { Some(text.as_str()) } else { None })
        .collect();
    texts.concat()
}

/// Whether nobody would see anything: no parts but blank text.
pub fn are_blank(parts: &[Part]) -> bool {
    parts.iter().all(|part| matches!(part, Part::Text { text } if text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ms_07_every_kind_of_part_round_trips() {
        let parts = json!([
            { "type": "text", "text": "I want `${process.env.X}` eval(…) \u{7}" },
            { "type": "reasoning", "text": "hm" },
            { "type": "tool_call", "toolCallId": "t1", "tool": "search", "state": "completed", "input": { "q": 1 },
              "output": [null, 1.5], "startedAt": 1, "endedAt": 2, "parentToolCallId": "t0" },
            { "type": "source", "title": "T", "url": "https://example.com", "snippet": "s" },
            { "type": "artifact", "artifactId": "art_1", "version": 3, "status": "draft" },
            { "type": "approval", "approvalId": "apr_1", "question": "Really?", "editedInput": { "a": 1 } },
            { "type": "file", "uploadId": "upl_1" },
            { "type": "activity", "kind": "read", "label": "reading", "at": 5 },
            { "type": "data", "mediaType": "application/json", "json": { "deep": [{ "x": "y" }] } },
        ]);
        let read: Vec<Part> = serde_json::from_value(parts.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), parts);
        assert_eq!(text(&read), "I want `${process.env.X}` eval(…) \u{7}");
    }

    #[test]
    fn ms_09_reasoning_is_never_text() {
        let text_of = text(&[
            Part::Reasoning { text: "secret".into() },
            Part::Text { text: "a".into() },
            Part::Text { text: " b".into() },
        ]);
        assert_eq!(text_of, "a b");
    }
}
