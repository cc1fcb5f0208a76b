//! An answer as it is told to a model again: step by step, each call beside what came of it.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::Result;
use spool_store::{Id, Tx};

use crate::limits;
use crate::parts::{Part, ToolState};
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
    /// Why there is no result. Present if the call did not run, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a model is told of a call that has no words of its own.
fn unsaid(state: ToolState) -> Option<&'static str> {
    match state {
        ToolState::Completed => None,
        ToolState::Denied => Some("The user rejected this."),
        ToolState::Error => Some("It failed."),
        ToolState::Cancelled | ToolState::Pending | ToolState::AwaitingApproval | ToolState::Running => {
            Some("It was cancelled: there is no result.")
        }
    }
}

/// The stretches of an answer: text, then the calls behind it that are of one step. Pure. A call is told as its row
/// has it, which knows more than the log: what a person made of its arguments, and why it did not run. Calls that are
/// in no row, because a provider made them, and those of runners outside are of one step until something is said.
fn segments(parts: Vec<Part>, mut rows: HashMap<String, ToolCall>) -> Vec<Segment> {
    let mut segments = vec![Segment::default()];
    let mut step = None;
    for part in parts {
        let row = match &part {
            Part::ToolCall { tool_call_id, .. } => rows.remove(tool_call_id),
            _ => None,
        };
        let begins = match (&part, segments.last()) {
            (Part::Text { .. }, Some(last)) => !last.calls.is_empty() || last.steered.is_some(),
            (Part::ToolCall { .. }, Some(last)) => {
                let before = std::mem::replace(&mut step, row.as_ref().map(|row| row.step).filter(|step| *step > 0));
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
            Part::ToolCall { tool_call_id, tool, state, input, output, error, .. } => {
                let (input, said) = match row {
                    Some(row) => (row.input, row.error),
                    None => (input, None),
                };
                let unsaid = || unsaid(state).filter(|_| output.is_none()).map(str::to_owned);
                let error = said.or(error).or_else(unsaid);
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
    let (mut named, mut twice) = (HashMap::new(), HashSet::new());
    for call in rows {
        let name = call.tool_call_id.clone();
        if named.insert(name.clone(), call).is_some() {
            twice.insert(name);
        }
    }
    // A name that a runner outside used again is told as the log has it: in its place, that is enough.
    named.retain(|name, _| !twice.contains(name));
    Ok(segments(parts, named))
}

/// The answer so far, for whoever goes on with it.
pub(super) fn so_far(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<Segment>> {
    if generation.boundary == 0 {
        return Ok(Vec::new());
    }
    let parts = turn::folded(tx, generation)?;
    segments_of(tx, &generation.id, parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tc_06_a_call_that_did_not_run_says_why_though_nobody_gave_a_reason() {
        let call = |state| Part::ToolCall {
            tool_call_id: format!("{state:?}"),
            tool: "t".into(),
            state,
            input: json!({}),
            output: None,
            error: None,
            started_at: None,
            ended_at: None,
            parent_tool_call_id: None,
        };
        let states = [ToolState::Denied, ToolState::Cancelled, ToolState::Error, ToolState::Completed];
        let told = segments(states.into_iter().map(call).collect(), HashMap::new()).remove(0).calls;
        let said: Vec<bool> = told.iter().map(|call| call.error.is_some()).collect();
        assert_eq!(said, [true, true, true, false]);
        assert_eq!(told[0].error.as_deref(), Some("The user rejected this."));
    }
}
