//! What became of the calls of a stored message, in the words of the stream that the message was. Pure.

use std::collections::HashSet;

use serde_json::Value;
use spool_protocol::ApprovalStatus;

use crate::parts::{Part, ToolState};

/// The calls that people said no to.
pub(super) struct Rejected(HashSet<String>);

pub(super) enum Outcome {
    Result(Value),
    Failure(String),
    /// It waits or runs, as far as anybody has said.
    Open,
}

impl Rejected {
    pub(super) fn in_parts(parts: &[Part]) -> Self {
        let rejected = |part: &Part| match part {
            Part::Approval { status: Some(ApprovalStatus::Rejected), tool_call_id, .. } => tool_call_id.clone(),
            _ => None,
        };
        Self(parts.iter().filter_map(rejected).collect())
    }

    /// The stream says with the rejection why, with other ends what went wrong.
    pub(super) fn outcome(
        &self, call: &str, state: ToolState, output: Option<Value>, error: Option<String>,
    ) -> Outcome {
        match (state, error, output) {
            (ToolState::Denied, reason, _) if self.0.contains(call) => {
                Outcome::Failure(reason.map_or_else(|| "denied".to_owned(), |reason| format!("denied: {reason}")))
            }
            (_, Some(error), _) => Outcome::Failure(error),
            (_, None, Some(output)) => Outcome::Result(output),
            (ToolState::Completed, None, None) => Outcome::Result(Value::Null),
            (ToolState::Denied, None, None) => Outcome::Failure("denied".to_owned()),
            (ToolState::Cancelled, None, None) => Outcome::Failure("cancelled".to_owned()),
            (ToolState::Error, None, None) => Outcome::Failure("failed".to_owned()),
            (ToolState::Pending | ToolState::AwaitingApproval | ToolState::Running, None, None) => Outcome::Open,
        }
    }
}
