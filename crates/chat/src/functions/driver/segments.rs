//! An answer as it is told to a model again: step by step, each call beside what came of it.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::Result;
use spool_store::{Id, Tx};

use crate::limits;
use crate::parts::Part;
use crate::tables::{Generation, ToolCall, tool_call};
use crate::turn;

/// A stretch of an answer that is told to a model again: what it said, what it called, what it was told
/// meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToldCall>,
    /// What the user said after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steered: Option<String>,
}

/// A call and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToldCall {
    pub tool_call_id: String,
    pub tool: String,
    pub input: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The stretches of an answer: text, then the calls behind it that are of one step. Pure. Calls that are in no row,
/// because a runner outside made them, are of one step until something is said.
fn segments(parts: Vec<Part>, steps: &HashMap<String, u32>) -> Vec<Segment> {
    let mut segments = vec![Segment::default()];
    let mut step = None;
    for part in parts {
        let begins = match (&part, segments.last()) {
            (Part::Text { .. }, Some(last)) => !last.calls.is_empty() || last.steered.is_some(),
            (Part::ToolCall { tool_call_id, .. }, Some(last)) => {
                let before = std::mem::replace(&mut step, steps.get(tool_call_id));
                last.steered.is_some() || (!last.calls.is_empty() && before != step)
            }
            _ => false,
        };
        if begins {
            segments.push(Segment::default());
        }
        let Some(last) = segments.last_mut() else { break };
        match part {
            Part::Text { text } => last.text.push_str(&text),
            Part::ToolCall { tool_call_id, tool, input, output, error, .. } => {
                last.calls.push(ToldCall { tool_call_id, tool, input, output, error });
            }
            Part::Steered { text, .. } => {
                let said = last.steered.get_or_insert_default();
                if !said.is_empty() {
                    said.push_str("\n\n");
                }
                said.push_str(&text);
            }
            _ => {}
        }
    }
    segments
}

/// The stretches of an answer whose parts these are.
pub(super) fn segments_of(tx: &mut Tx<'_>, generation: &Id<Generation>, parts: Vec<Part>) -> Result<Vec<Segment>> {
    let rows = tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(generation).take(limits::ANSWER_CALLS)?;
    let (mut steps, mut errors) = (HashMap::new(), HashMap::new());
    for row in rows {
        errors.extend(row.error.map(|error| (row.tool_call_id.clone(), error)));
        steps.insert(row.tool_call_id, row.step);
    }
    let mut segments = segments(parts, &steps);
    // The log tells people of a rejection, and of its reason with the request; the row says it of the call.
    for call in segments.iter_mut().flat_map(|segment| &mut segment.calls) {
        call.error = errors.remove(&call.tool_call_id).or(call.error.take());
    }
    Ok(segments)
}

/// The answer so far, for whoever goes on with it.
pub(super) fn so_far(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<Segment>> {
    if generation.boundary == 0 {
        return Ok(Vec::new());
    }
    let parts = turn::folded(tx, generation)?;
    segments_of(tx, &generation.id, parts)
}
