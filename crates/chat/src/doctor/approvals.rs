//! The invariants of what people decide and are told, one row and its neighbours at a time.

use spool_protocol::{ApprovalKind, ApprovalStatus, Result};
use spool_store::Tx;

use super::Findings;
use crate::tables::{Approval, Decision, Effect, Inbox, Notice, PushSubscription, Rule, approval};

pub(super) fn approval(tx: &mut Tx<'_>, row: &Approval, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let pending = row.status == ApprovalStatus::Pending;
    let marked = row.pending == pending && row.due_at == row.expires_at.filter(|_| pending);
    findings.expect(marked, "pending_marks", || "pending and dueAt do not match the status".to_owned());
    let decided = matches!(row.status, ApprovalStatus::Approved | ApprovalStatus::Rejected);
    findings.expect(row.resolved_by.is_some() == decided, "decided_by", || {
        "somebody decided exactly what is approved or rejected".to_owned()
    });
    let asker = tx.get(&row.generation_id)?;
    let waits = asker.is_some_and(|generation| !generation.status.is_terminal());
    let may_wait = !pending || row.kind == ApprovalKind::Plan || waits;
    findings.expect(may_wait, "somebody_waits", || "it is pending, and nobody waits for it".to_owned());
    let frozen = row.input.as_ref().is_none_or(|input| approval::hash(&approval::canonical(input)) == row.hash);
    findings.expect(frozen, "frozen_input", || "the arguments are not those of the hash".to_owned());
    votes(row, findings);
    Ok(())
}

/// Each person has one vote, and together they say what the status says. Rows from before votes have none.
fn votes(row: &Approval, findings: &mut Findings<'_>) {
    let mut people: Vec<&str> = row.votes.iter().map(|vote| vote.user_id.as_str()).collect();
    people.sort_unstable();
    people.dedup();
    findings.expect(people.len() == row.votes.len(), "one_vote_each", || "somebody decided twice".to_owned());
    let approved = row.votes.iter().filter(|vote| vote.decision == Decision::Approve).count();
    let rejected = row.votes.len() - approved;
    let enough = approved >= row.approvers_needed as usize;
    let counted = row.votes.is_empty()
        || match row.status {
            ApprovalStatus::Approved => enough && rejected == 0,
            ApprovalStatus::Rejected => rejected == 1,
            ApprovalStatus::Pending | ApprovalStatus::Expired | ApprovalStatus::Cancelled => !enough && rejected == 0,
        };
    findings.expect(counted, "votes_counted", || format!("{approved} approved and {rejected} rejected"));
    let unanswered = row.votes.is_empty() && row.rule_id.is_none() && row.approvers_needed > 1;
    let decided = matches!(row.status, ApprovalStatus::Approved | ApprovalStatus::Rejected);
    findings.expect(!(unanswered && decided), "votes_counted", || "several had to decide, and nobody did".to_owned());
    let allowed = row.rule_id.is_some() && row.status == ApprovalStatus::Approved;
    findings.expect(!(allowed && (row.high_risk || row.approvers_needed > 1)), "high_risk", || {
        "a rule allowed what is of high risk".to_owned()
    });
}

pub(super) fn rule(tx: &mut Tx<'_>, row: &Rule, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.user_id)?.is_some(), "user_exists", || format!("{} is missing", row.user_id));
    let whole = row.arguments.iter().all(|condition| condition.equals.is_some() != condition.like.is_some());
    findings.expect(whole, "condition", || "a condition says one thing".to_owned());
    let remembered = row.created_from.is_none() || row.effect != Effect::Ask;
    findings.expect(remembered, "remembered", || "a decision leaves a rule that allows or denies".to_owned());
    findings.expect(row.last_used_at.is_some() == (row.uses > 0), "uses", || {
        format!("{} uses, the last {:?}", row.uses, row.last_used_at)
    });
    Ok(())
}

pub(super) fn inbox(tx: &mut Tx<'_>, row: &Inbox, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.user_id)?.is_some(), "user_exists", || format!("{} is missing", row.user_id));
    Ok(())
}

pub(super) fn push(tx: &mut Tx<'_>, row: &PushSubscription, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.user_id)?.is_some(), "user_exists", || format!("{} is missing", row.user_id));
    let hashed = approval::hash(&row.endpoint) == row.endpoint_hash;
    findings.expect(hashed, "endpoint_hash", || "the hash is of another endpoint".to_owned());
    Ok(())
}

pub(super) fn notice(tx: &mut Tx<'_>, row: &Notice, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let heard = match &row.subscription_id {
        Some(id) => tx.get(id)?.is_some(),
        None => true,
    };
    findings.expect(heard, "receiver_exists", || "the browser that it is for is gone".to_owned());
    Ok(())
}
