//! The calls of tools of an answer that a runner outside makes: each is a row like those of the server's own, from
//! the moment at which the log tells of it.
//!
//! Follows the events in the transaction that appends them, as [`crate::parts::Fold`] does for the message. Must never
//! decide anything: what a runner outside calls is its own business.

use serde_json::{Value, json};
use spool_protocol::{ApprovalStatus, Event, Result};
use spool_store::{Id, Order, Tx};

use super::calls::{ANSWER_ENDED, End, close, is_over, keep_whole};
use super::message_of;
use crate::limits::{self, check_count};
use crate::parts::{ToolState, safe_json};
use crate::tables::{Approval, CallError, Generation, ToolCall, tool_call};

/// Makes rows of calls that begin, and ends those that end. Returns the names of calls that ended and had not begun,
/// or were over: the log has their ends, and no part and no row shows them.
pub(crate) fn follow(tx: &mut Tx<'_>, generation: &Generation, events: &[Event]) -> Result<Vec<String>> {
    let mut unpaired = Vec::new();
    for event in events {
        match event {
            Event::ToolStart { tool_call_id, tool, input } => begin(tx, generation, (tool_call_id, tool, input))?,
            Event::ToolEnd { tool_call_id, output, error, denied } => {
                let Some(mut call) = open(tx, generation, tool_call_id)? else {
                    unpaired.push(tool_call_id.clone());
                    continue;
                };
                let mut end = match (denied, error) {
                    (true, error) => {
                        End::denied(CallError::Forbidden, error.as_deref().unwrap_or("It was not allowed."))
                    }
                    (false, Some(error)) => End::failed(CallError::Failed, error),
                    (false, None) => End::done(Value::Null),
                };
                end.output = output.clone().map(safe_json);
                if let Some(whole) = end.output.as_mut().and_then(shorten) {
                    keep_whole(tx, &mut call, &whole)?;
                }
                close(tx.now(), &mut call, end)?;
                tx.put(&call)?;
            }
            Event::Approval { approval_id, status, tool_call_id: Some(id), reason, .. } => {
                if let Some(call) = open(tx, generation, id)? {
                    decide(tx, call, approval_id, *status, reason.as_deref())?;
                }
            }
            _ => {}
        }
    }
    Ok(unpaired)
}

fn begin(tx: &mut Tx<'_>, generation: &Generation, (id, tool, input): (&str, &str, &Value)) -> Result<()> {
    let newest = tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(&generation.id).order(Order::Desc).first()?;
    let place = newest.map_or(0, |call| call.place + 1);
    check_count("calls of the answer", place as usize + 1, limits::ANSWER_CALLS)?;
    let now = tx.now();
    let row = ToolCall {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: generation.thread_id.clone(),
        generation_id: generation.id.clone(),
        message_id: generation.message_id.clone(),
        user_id: generation.user_id.clone(),
        agent_id: match &generation.agent_id {
            Some(agent) => Some(agent.clone()),
            None => message_of(tx, generation)?.agent_id,
        },
        effective_role: generation.effective_role.clone(),
        step: 0,
        place,
        tool_call_id: id.to_owned(),
        tool: tool.to_owned(),
        input: safe_json(input.clone()),
        state: ToolState::Running,
        output: None,
        output_bytes: None,
        error: None,
        error_code: None,
        approval_id: None,
        reads: false,
        untold: false,
        created_at: now,
        started_at: Some(now),
        ended_at: None,
    };
    tx.put(&row)
}

/// The newest call of that name which is not over.
fn open(tx: &mut Tx<'_>, generation: &Generation, id: &str) -> Result<Option<ToolCall>> {
    let named = tx.query::<ToolCall>(tool_call::BY_CALL).eq(&generation.id).eq(id).take(limits::ANSWER_CALLS)?;
    Ok(named.into_iter().filter(|call| !is_over(call.state)).max_by_key(|call| call.place))
}

/// The call waits for a person, goes on with what the person made of it, or never runs.
fn decide(
    tx: &mut Tx<'_>, mut call: ToolCall, approval: &str, status: ApprovalStatus, reason: Option<&str>,
) -> Result<()> {
    let now = tx.now();
    let approval_id: Id<Approval> = Id::parse(approval)?;
    match status {
        ApprovalStatus::Pending => {
            call.state = ToolState::AwaitingApproval;
            call.started_at = None;
        }
        ApprovalStatus::Approved => {
            call.state = ToolState::Running;
            call.started_at = Some(now);
            if let Some(edited) = tx.get(&approval_id)?.and_then(|row| row.edited_input) {
                call.input = edited;
            }
        }
        ApprovalStatus::Rejected => {
            let said = reason.unwrap_or("The user rejected this.");
            close(now, &mut call, End::denied(CallError::Rejected, said))?;
        }
        ApprovalStatus::Expired => {
            close(now, &mut call, End::cancelled(CallError::Expired, "Nobody decided in time."))?;
        }
        ApprovalStatus::Cancelled => {
            close(now, &mut call, End::cancelled(CallError::Cancelled, ANSWER_ENDED))?;
        }
    }
    call.approval_id = Some(approval_id);
    tx.put(&call)
}

/// Cuts a result that is too large for a row, as those of the server's own answers are cut. Returns the whole of it.
fn shorten(output: &mut Value) -> Option<String> {
    let whole = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
    if whole.len() <= limits::RESULT_BYTES {
        return None;
    }
    let beginning = whole.floor_char_boundary(limits::RESULT_BYTES);
    *output = json!({ "truncated": true, "bytes": whole.len(), "beginning": whole[..beginning] });
    Some(whole)
}
