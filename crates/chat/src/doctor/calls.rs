//! Invariants of calls of tools, of kept prompts, and of chunks that wait for others.

use spool_protocol::Result;
use spool_store::Tx;

use super::Findings;
use super::streams::is_swept;
use crate::parts::ToolState;
use crate::tables::{Arrivals, Prompt, ToolCall};
use crate::turn::calls::is_over;

pub(super) fn call(tx: &mut Tx<'_>, row: &ToolCall, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let generation = tx.get(&row.generation_id)?;
    let over = is_over(row.state);
    findings.expect(over == row.ended_at.is_some(), "call_ends", || "endedAt does not match the state".to_owned());
    let works = generation.is_some_and(|generation| !generation.status.is_terminal());
    findings.expect(over || works, "call_has_a_runner", || "it is not over, and nobody carries it out".to_owned());
    let asks = row.state != ToolState::AwaitingApproval || row.approval_id.is_some();
    findings.expect(asks, "call_is_asked_about", || "it waits for a decision, and nobody was asked".to_owned());
    Ok(())
}

pub(super) fn prompt(tx: &mut Tx<'_>, row: &Prompt, findings: &mut Findings<'_>) -> Result<()> {
    let generation = tx.get(&row.generation_id)?;
    let same = generation.is_some_and(|generation| generation.thread_id == row.thread_id);
    findings.expect(same, "prompt_of_generation", || format!("{} is missing, or elsewhere", row.generation_id));
    Ok(())
}

/// Chunks wait for others only while somebody may still send those.
pub(super) fn arrivals(tx: &mut Tx<'_>, row: &Arrivals, findings: &mut Findings<'_>) -> Result<()> {
    let generation = tx.get(&row.generation_id)?;
    let made = match generation {
        Some(generation) => !generation.status.is_terminal() && generation.runner.is_outside(),
        None => is_swept(tx, row.generation_id.as_str())?,
    };
    findings.expect(made, "arrivals_awaited", || format!("{} is over, or missing", row.generation_id));
    let ordered = row.early.is_sorted_by(|one, next| one.sequence < next.sequence);
    let behind = row.early.first().is_none_or(|first| first.sequence > row.next);
    findings.expect(ordered && behind, "arrivals_order", || format!("what waits for {} is not in order", row.next));
    Ok(())
}
