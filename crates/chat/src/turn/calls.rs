//! The calls of tools of an answer that the server makes itself: stored when the model made them, run when
//! nobody objects, told in the log when they are over.
//!
//! Every change of a call and its event in the log are one transaction, and the end of the log after it is a
//! boundary: whoever goes on with the answer later finds every call as it stands. Must never run a tool
//! whose effect is outside of the transaction.

use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Event, Result};
use spool_store::{Id, Tx};

use super::append;
use crate::builtin;
use crate::limits;
use crate::parts::ToolState;
use crate::states::{GenerationStatus, GenerationStep};
use crate::tables::{Approval, Generation, ToolCall, tool_call};

/// The calls of the newest step, in the order in which the model made them.
pub(crate) fn of_step(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<ToolCall>> {
    let scan = tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(&generation.id).eq(u64::from(generation.steps));
    scan.take(limits::STEP_CALLS)
}

/// Appends events behind which another runner could go on. The caller stores the generation.
pub(crate) fn append_step(tx: &mut Tx<'_>, generation: &mut Generation, events: &[Event]) -> Result<u64> {
    if !events.is_empty() {
        generation.boundary = append(tx, generation, events)?;
        generation.losses = 0;
    }
    Ok(generation.boundary)
}

pub(crate) fn is_over(state: ToolState) -> bool {
    matches!(state, ToolState::Completed | ToolState::Error | ToolState::Cancelled | ToolState::Denied)
}

/// What became of a call.
pub(crate) struct End {
    pub state: ToolState,
    pub output: Option<Value>,
    pub error: Option<String>,
}

impl End {
    pub fn done(output: Value) -> Self {
        Self { state: ToolState::Completed, output: Some(output), error: None }
    }

    pub fn failed(error: impl Into<String>) -> Self {
        Self { state: ToolState::Error, output: None, error: Some(error.into()) }
    }

    pub fn denied(error: impl Into<String>) -> Self {
        Self { state: ToolState::Denied, ..Self::failed(error) }
    }
}

/// Ends a call. Returns the event that tells of it.
pub(crate) fn end_call(tx: &mut Tx<'_>, call: &mut ToolCall, end: End) -> Result<Event> {
    call.state = end.state;
    call.output = end.output;
    call.error = end.error;
    call.ended_at = Some(tx.now());
    tx.put(&*call)?;
    Ok(ended(call))
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
    match (approval.status, approval.kind) {
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
            call.state = ToolState::Completed;
            call.output = Some(builtin::answered(tx, approval)?);
        }
        (ApprovalStatus::Rejected, _) => {
            call.state = ToolState::Denied;
            let told = reason.map_or(String::new(), |reason| format!(" The reason: {reason}"));
            call.error = Some(format!("The user rejected this.{told}"));
        }
        (ApprovalStatus::Expired, _) => {
            call.state = ToolState::Cancelled;
            call.error = Some("Nobody decided in time.".to_owned());
        }
        (ApprovalStatus::Cancelled, _) => {
            call.state = ToolState::Cancelled;
            call.error = Some("It was cancelled before anybody decided.".to_owned());
        }
    }
    call.ended_at = Some(tx.now());
    Ok(())
}

/// The events of a decision: the approval, and the end of a call that is done with it. A call that was
/// rejected ends, for readers of the log, with the approval itself.
fn told(approval: &Approval, call: &ToolCall) -> Vec<Event> {
    let end = (call.state == ToolState::Completed).then(|| ended(call));
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

/// Calls that are not over end with their answer. Their events are not needed: readers see the answer end.
pub(super) fn cancel_open(tx: &mut Tx<'_>, generation: &Generation) -> Result<()> {
    for mut call in of_step(tx, generation)? {
        if !is_over(call.state) {
            call.error = Some("The answer was ended.".to_owned());
            call.state = ToolState::Cancelled;
            call.ended_at = Some(tx.now());
            tx.put(&call)?;
        }
    }
    Ok(())
}
