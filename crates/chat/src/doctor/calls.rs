//! Invariants of calls of tools and of kept prompts.

use spool_protocol::Result;
use spool_store::Tx;

use super::Findings;
use crate::parts::ToolState;
use crate::tables::{Prompt, ToolCall};
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
