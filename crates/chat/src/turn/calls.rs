//! The calls of tools of an answer that the server makes itself: stored when the model made them, run when
//! nobody objects, told in the log when they are over.
//!
//! Every change of a call and its event in the log are one transaction, and the end of the log after it is a
//! boundary: whoever goes on with the answer later finds every call as it stands. [`close`] is the one place where
//! a call becomes over, and refuses one that is. Must never run a tool whose effect is outside of the transaction.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Event, Result};
use spool_store::{Id, Order, Tx};

use super::append;
use crate::builtin;
use crate::limits;
use crate::parts::{Part, ToolState};
use crate::states::{GenerationStatus, GenerationStep};
use crate::tables::{Approval, CallError, Generation, ToolCall, tool_call};

/// Why a call has no result whose answer ended before it.
pub(super) const ANSWER_ENDED: &str = "The answer was ended.";

/// The calls of the newest step, in the order in which the model made them.
pub(crate) fn of_step(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<ToolCall>> {
    let scan = tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(&generation.id).eq(u64::from(generation.steps));
    scan.take(limits::STEP_CALLS)
}

/// Appends events behind which another runner could go on, and notes in the rows of approvals where they are asked
/// for. The caller stores the generation.
pub(crate) fn append_step(tx: &mut Tx<'_>, generation: &mut Generation, events: &[Event]) -> Result<u64> {
    if !events.is_empty() {
        let end = append(tx, generation, events)?;
        note_requests(tx, end, events)?;
        generation.boundary = end;
        generation.losses = 0;
    }
    Ok(generation.boundary)
}

/// `end` is where the events end.
fn note_requests(tx: &mut Tx<'_>, end: u64, events: &[Event]) -> Result<()> {
    let mut at = end.saturating_sub(events.iter().map(Event::units).sum());
    for event in events {
        at += event.units();
        let Event::Approval { approval_id, status: ApprovalStatus::Pending, .. } = event else { continue };
        if let Some(mut asked) = tx.get(&Id::<Approval>::parse(approval_id)?)? {
            asked.asked_at_offset = Some(at);
            tx.put(&asked)?;
        }
    }
    Ok(())
}

pub(crate) fn is_over(state: ToolState) -> bool {
    matches!(state, ToolState::Completed | ToolState::Error | ToolState::Cancelled | ToolState::Denied)
}

/// What became of a call.
pub(crate) struct End {
    pub state: ToolState,
    pub output: Option<Value>,
    pub error: Option<(CallError, String)>,
}

impl End {
    pub fn done(output: Value) -> Self {
        Self { state: ToolState::Completed, output: Some(output), error: None }
    }

    pub fn failed(code: CallError, error: impl Into<String>) -> Self {
        Self { state: ToolState::Error, output: None, error: Some((code, error.into())) }
    }

    pub fn denied(code: CallError, error: impl Into<String>) -> Self {
        Self { state: ToolState::Denied, ..Self::failed(code, error) }
    }

    pub fn cancelled(code: CallError, error: impl Into<String>) -> Self {
        Self { state: ToolState::Cancelled, ..Self::failed(code, error) }
    }
}

/// Ends a call. Returns the event that tells of it.
pub(crate) fn end_call(tx: &mut Tx<'_>, call: &mut ToolCall, end: End) -> Result<Event> {
    close(tx.now(), call, end)?;
    tx.put(&*call)?;
    Ok(ended(call))
}

/// The call is over, for good. The caller stores it.
pub(super) fn close(now: u64, call: &mut ToolCall, end: End) -> Result<()> {
    if is_over(call.state) {
        let message = format!("the call {} is over and does not change any more", call.id);
        return Err(Error::new(Code::InvalidTransition, message));
    }
    call.state = end.state;
    call.output = end.output;
    (call.error_code, call.error) = end.error.unzip();
    call.ended_at = Some(now);
    Ok(())
}

fn ended(call: &ToolCall) -> Event {
    Event::ToolEnd {
        tool_call_id: call.tool_call_id.clone(),
        output: call.output.clone(),
        error: call.error.clone(),
        denied: call.state == ToolState::Denied,
    }
}

/// What a decision does to the call that waits for it, and to its answer. The approval is stored already.
///
/// If a runner holds the answer, it alone writes the log: it sees the count of decisions grow and tells of
/// this one ([`tell_decisions`]). Else the log is told here, and the answer waits for a runner again.
pub(super) fn decided(tx: &mut Tx<'_>, mut generation: Generation, approval: &Approval) -> Result<()> {
    let Some(mut call) = call_of(tx, &generation, approval)? else { return Ok(()) };
    judge(tx, &mut call, approval)?;
    if generation.status.is_held() {
        call.untold = true;
        tx.put(&call)?;
        generation.decisions += 1;
        return tx.put(&generation);
    }
    tx.put(&call)?;
    let events = told(approval, &call);
    append_step(tx, &mut generation, &events)?;
    if generation.status == GenerationStatus::AwaitingApproval {
        generation.status = generation.status.step(GenerationStep::Resume)?;
    }
    tx.put(&generation)
}

/// The call that waits for this approval, which may be about its arguments, a plan or a question.
fn call_of(tx: &mut Tx<'_>, generation: &Generation, approval: &Approval) -> Result<Option<ToolCall>> {
    let waits =
        |call: &ToolCall| call.state == ToolState::AwaitingApproval && call.approval_id.as_ref() == Some(&approval.id);
    Ok(of_step(tx, generation)?.into_iter().find(waits))
}

/// A call of a tool runs after its approval; a plan and a question are done with the decision itself.
fn judge(tx: &mut Tx<'_>, call: &mut ToolCall, approval: &Approval) -> Result<()> {
    let reason = approval.reason.as_deref().filter(|reason| !reason.trim().is_empty());
    let end = match (approval.status, approval.kind) {
        (ApprovalStatus::Pending, _) => return Ok(()),
        (ApprovalStatus::Approved, ApprovalKind::ToolCall) => {
            call.state = ToolState::Pending;
            if let Some(edited) = &approval.edited_input {
                call.input = edited.clone();
            }
            return Ok(());
        }
        (ApprovalStatus::Approved, ApprovalKind::Plan)
        | (ApprovalStatus::Approved | ApprovalStatus::Rejected, ApprovalKind::Question) => {
            End::done(builtin::answered(tx, approval)?)
        }
        (ApprovalStatus::Rejected, _) => {
            let told = reason.map_or(String::new(), |reason| format!(" The reason: {reason}"));
            End::denied(CallError::Rejected, format!("The user rejected this.{told}"))
        }
        (ApprovalStatus::Expired, _) => End::cancelled(CallError::Expired, "Nobody decided in time."),
        (ApprovalStatus::Cancelled, _) => {
            End::cancelled(CallError::Cancelled, "It was cancelled before anybody decided.")
        }
    };
    close(tx.now(), call, end)
}

/// The events of a decision: the approval, and the end of a call that is done with it. A call that people did not let
/// run ends, for readers of the log, with the approval itself, which names it; that of a plan or question names none.
fn told(approval: &Approval, call: &ToolCall) -> Vec<Event> {
    let end = (is_over(call.state) && approval.tool_call_id.is_none()).then(|| ended(call));
    std::iter::once(approval.event()).chain(end).collect()
}

/// The events of the decisions that were made while a runner held the answer, for its log.
pub(crate) fn tell_decisions(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for mut call in of_step(tx, generation)? {
        if !call.untold {
            continue;
        }
        call.untold = false;
        tx.put(&call)?;
        let approval: Option<Id<Approval>> = call.approval_id.clone();
        if let Some(approval) = approval.map(|id| tx.get(&id)).transpose()?.flatten() {
            events.extend(told(&approval, &call));
        }
    }
    Ok(events)
}

/// Calls that are not over end with their answer. Their events are not needed: readers see the answer end. Returns
/// the calls of the answer in their order, the newest [`limits::ANSWER_CALLS`].
pub(super) fn cancel_open(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<ToolCall>> {
    let scan = tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(&generation.id).order(Order::Desc);
    let mut calls = scan.take(limits::ANSWER_CALLS)?;
    calls.reverse();
    for call in calls.iter_mut().filter(|call| !is_over(call.state)) {
        close(tx.now(), call, End::cancelled(CallError::Cancelled, ANSWER_ENDED))?;
        tx.put(&*call)?;
    }
    Ok(calls)
}

/// A result that is too large for a row is a log of the call, which is read in pieces.
pub(crate) fn keep_whole(tx: &mut Tx<'_>, call: &mut ToolCall, whole: &str) -> Result<()> {
    let mut rest = whole;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(limits::OUTPUT_CHUNK_BYTES));
        tx.log_append(call.id.as_str(), piece.len() as u64, piece.to_owned())?;
        rest = after;
    }
    tx.log_seal(call.id.as_str())?;
    call.output_bytes = Some(whole.len() as u64);
    Ok(())
}

/// The parts of an answer say when their calls ran. The log has no times: the rows have. A name that a runner used
/// again is another call each time.
pub(super) fn time_parts(parts: &mut [Part], calls: Vec<ToolCall>) {
    let mut named: HashMap<String, VecDeque<ToolCall>> = HashMap::new();
    for call in calls {
        named.entry(call.tool_call_id.clone()).or_default().push_back(call);
    }
    for part in parts {
        if let Part::ToolCall { tool_call_id, started_at, ended_at, .. } = part
            && let Some(call) = named.get_mut(tool_call_id).and_then(VecDeque::pop_front)
        {
            (*started_at, *ended_at) = (call.started_at, call.ended_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tc_02_whoever_asks_a_call_that_is_over_does_not_end_again() {
        let now = 1_700_000_000_000;
        let id = |prefix: &str| Id::<ToolCall>::fresh(now).as_str().replacen("tc", prefix, 1);
        let row = json!({
            "_id": id("tc"), "_creationTime": 1.0, "threadId": id("thr"), "generationId": id("gen"),
            "messageId": id("msg"), "userId": id("usr"), "step": 1, "place": 0, "toolCallId": "a", "tool": "t",
            "input": {}, "state": "running", "createdAt": 1,
        });
        for end in [
            End::done(json!(1)),
            End::failed(CallError::Failed, "no"),
            End::denied(CallError::Forbidden, "no"),
            End::cancelled(CallError::Cancelled, "no"),
        ] {
            let mut call: ToolCall = serde_json::from_value(row.clone()).unwrap();
            close(5, &mut call, end).unwrap();
            let over = call.clone();
            assert_eq!(close(9, &mut call, End::done(json!(2))).unwrap_err().code, Code::InvalidTransition);
            assert_eq!((call, over.ended_at), (over.clone(), Some(5)));
        }
    }
}
