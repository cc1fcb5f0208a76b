//! A stored message as the `MessageDoc`s of `@convex-dev/agent`: one for each step of an answer, with the
//! same places and contents as its hook makes of the stream of that answer. Pure.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::calls::{Outcome, Rejected};
use super::{role, status, text};
use crate::parts::Part;
use crate::tables::{Message, Role};

/// One step of a message. `order` is the message's `seq`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDoc {
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: String,
    pub order: u64,
    pub step_order: u64,
    pub status: &'static str,
    /// Whether the step calls a tool.
    pub tool: bool,
    /// A `ModelMessage` of the AI SDK.
    pub message: Value,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// At least one, so that every message has its place.
pub(super) fn docs(message: Message) -> Vec<MessageDoc> {
    let sources: Vec<Value> = message.parts.iter().enumerate().filter_map(|(at, part)| source(at, part)).collect();
    let rejected = Rejected::in_parts(&message.parts);
    let steps = steps(&message.parts);
    let doc = |(step, parts): (usize, &[Part])| {
        let text = text(parts);
        let content: Vec<Value> = match message.role {
            Role::User | Role::System => Vec::new(),
            Role::Assistant | Role::Tool => parts.iter().flat_map(|part| content(part, &rejected)).collect(),
        };
        let content = match message.role {
            Role::User | Role::System => Value::String(text.clone()),
            Role::Assistant | Role::Tool => Value::Array(content),
        };
        let id = message.id.as_str();
        MessageDoc {
            id: if step == 0 { id.to_owned() } else { format!("{id}-{step}") },
            creation_time: message.creation_time,
            thread_id: message.thread_id.as_str().to_owned(),
            order: message.seq,
            step_order: step as u64,
            // Whoever shows it has the stream for what is not over.
            status: if status(message.status) == "streaming" { "pending" } else { status(message.status) },
            tool: parts.iter().any(|part| matches!(part, Part::ToolCall { .. })),
            message: json!({ "role": role(message.role), "content": content }),
            text,
            reasoning: reasoning(parts),
            sources: Some(sources.clone()).filter(|sources| !sources.is_empty()),
            agent_name: message.agent_id.clone(),
            model: message.model.clone(),
            provider: message.provider.clone(),
            error: message.error.as_ref().map(|error| error.message.clone()),
        }
    };
    steps.into_iter().enumerate().map(doc).collect()
}

/// A step ends with the calls of tools: what is said after them is another.
fn steps(parts: &[Part]) -> Vec<&[Part]> {
    let speaks = |part: &Part| matches!(part, Part::Text { .. } | Part::Reasoning { .. });
    let mut steps = Vec::new();
    let (mut rest, mut called) = (parts, false);
    let mut at = 0;
    while let Some(part) = rest.get(at) {
        if called && speaks(part) {
            let (step, next) = rest.split_at(at);
            steps.push(step);
            (rest, at, called) = (next, 0, false);
        }
        called |= rest.get(at).is_some_and(|part| matches!(part, Part::ToolCall { .. }));
        at += 1;
    }
    steps.push(rest);
    steps
}

fn reasoning(parts: &[Part]) -> Option<String> {
    let said = parts.iter().filter_map(|part| match part {
        Part::Reasoning { text } => Some(text.as_str()),
        _ => None,
    });
    Some(said.collect::<Vec<_>>().join(" ")).filter(|reasoning| !reasoning.is_empty())
}

fn source(at: usize, part: &Part) -> Option<Value> {
    match part {
        Part::Source { title, url, source_id, .. } => {
            let id = source_id.clone().unwrap_or_else(|| format!("p{at}"));
            Some(json!({ "type": "source", "sourceType": "url", "id": id, "url": url, "title": title }))
        }
        _ => None,
    }
}

/// The content parts of one part: a call that has ended has its result behind it.
fn content(part: &Part, rejected: &Rejected) -> Vec<Value> {
    match part {
        Part::Text { text } => vec![json!({ "type": "text", "text": text })],
        Part::Reasoning { text } => vec![json!({ "type": "reasoning", "text": text })],
        Part::ToolCall { tool_call_id, tool, state, input, output, error, .. } => {
            let call = json!({ "type": "tool-call", "toolCallId": tool_call_id, "toolName": tool, "input": input, "args": input, "providerExecuted": true });
            let output = match rejected.outcome(tool_call_id, *state, output.clone(), error.clone()) {
                Outcome::Failure(error) => json!({ "type": "error-json", "value": error }),
                Outcome::Result(Value::String(said)) => json!({ "type": "text", "value": said }),
                Outcome::Result(output) => json!({ "type": "json", "value": output }),
                Outcome::Open => return vec![call],
            };
            let result =
                json!({ "type": "tool-result", "toolCallId": tool_call_id, "toolName": tool, "output": output });
            vec![call, result]
        }
        Part::Steered { .. }
        | Part::Source { .. }
        | Part::Artifact { .. }
        | Part::Approval { .. }
        | Part::File { .. }
        | Part::Activity { .. }
        | Part::Data { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::ToolState;

    #[test]
    fn what_is_said_after_tools_is_another_step() {
        let text = |text: &str| Part::Text { text: text.into() };
        let call = |id: &str| Part::ToolCall {
            tool_call_id: id.into(),
            tool: "t".into(),
            state: ToolState::Completed,
            input: json!({}),
            output: None,
            error: None,
            started_at: None,
            ended_at: None,
            parent_tool_call_id: None,
        };
        let parts = [text("a"), call("1"), call("2"), text("b"), call("3"), text("c")];
        let lengths: Vec<usize> = steps(&parts).into_iter().map(<[Part]>::len).collect();
        assert_eq!(lengths, [3, 2, 1]);
        assert_eq!(steps(&[]).len(), 1);
        assert_eq!(content(&call("1"), &Rejected::in_parts(&parts)).len(), 2);
    }
}
