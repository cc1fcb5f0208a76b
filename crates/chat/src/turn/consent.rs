//! What a decision does to the answer that waits for it.

use spool_protocol::{ApprovalKind, ApprovalStatus, Event, Result};
use spool_store::{Id, Tx};

use super::{append, calls, follow, start};
use crate::context::CallContext;
use crate::functions::runtime;
use crate::limits;
use crate::parts::{self, Part};
use crate::states::{ApprovalStep, GenerationStatus, approval};
use crate::tables::{Approval, Generation, Runner, Thread, approval as table};

/// Adds events to the log of an answer that a runner outside makes and that is not over. Returns the new
/// end, or nothing: the server's own driver is the only writer of its logs, and a sealed log stays as it is.
pub(crate) fn tell(tx: &mut Tx<'_>, mut generation: Generation, events: &[Event]) -> Result<Option<u64>> {
    if !generation.runner.is_outside() || generation.status.is_terminal() {
        return Ok(None);
    }
    if generation.status == GenerationStatus::Claimed {
        start(tx, &mut generation)?;
    }
    follow(tx, &generation, events)?;
    append(tx, &generation, events).map(Some)
}

/// Ends a pending approval, and tells of it where it is shown. The caller has said who and why.
pub(crate) fn resolve(tx: &mut Tx<'_>, row: &mut Approval, step: ApprovalStep) -> Result<()> {
    row.status = approval::step(row.status, step)?;
    row.pending = false;
    row.due_at = None;
    row.resolved_at = Some(tx.now());
    tx.put(&*row)?;
    runtime::resolved(tx, row)?;
    let Some(generation) = tx.get(&row.generation_id)? else { return Ok(()) };
    if generation.status.is_terminal() {
        reflect(tx, row)
    } else if generation.runner == Runner::Hosted {
        calls::decided(tx, generation, row)
    } else {
        tell(tx, generation, &[row.event()]).map(drop)
    }
}

/// The message of an answer that is over shows what became of the approval.
fn reflect(tx: &mut Tx<'_>, row: &Approval) -> Result<()> {
    let Some(mut message) = tx.get(&row.message_id)? else { return Ok(()) };
    let is_it = |part: &&mut Part| matches!(part, Part::Approval { approval_id, .. } if approval_id == row.id.as_str());
    let (Some(shown), Some(card)) = (message.parts.iter_mut().find(is_it), parts::card(row.event())) else {
        return Ok(());
    };
    *shown = card;
    tx.put(&message)
}

/// A runner that waits for nobody any more is missed after its usual silence.
pub(crate) fn stop_waiting(tx: &mut Tx<'_>, ctx: &CallContext, row: &Approval) -> Result<()> {
    let waits = tx.query::<Approval>(table::BY_GENERATION).eq(&row.generation_id).eq(true).first()?.is_some();
    let Some(mut generation) = tx.get(&row.generation_id)? else { return Ok(()) };
    if waits || generation.lease_expires_at.is_none() || generation.runner != Runner::External {
        return Ok(());
    }
    generation.lease_expires_at = Some(tx.now() + ctx.settings.external_lease_ms);
    tx.put(&generation)
}

/// The answer is about to be over: nobody waits for its decisions any more. A plan may be decided later,
/// too, if a runner outside asked; it is carried out by another answer.
pub(super) fn cancel_pending(tx: &mut Tx<'_>, generation: &Generation) -> Result<()> {
    let hosted = generation.runner == Runner::Hosted;
    let scan = tx.query::<Approval>(table::BY_GENERATION).eq(&generation.id).eq(true);
    for mut row in scan.take(limits::PENDING_APPROVALS)? {
        if hosted || row.kind != ApprovalKind::Plan {
            resolve(tx, &mut row, ApprovalStep::Cancel)?;
        }
    }
    Ok(())
}

/// A thread is removed, and what waits in it with it.
pub(crate) fn cancel_all(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<()> {
    let scan = tx.query::<Approval>(table::BY_THREAD).eq(thread).eq(true);
    for mut row in scan.take(limits::PENDING_APPROVALS)? {
        debug_assert_eq!(row.status, ApprovalStatus::Pending);
        resolve(tx, &mut row, ApprovalStep::Cancel)?;
    }
    Ok(())
}
