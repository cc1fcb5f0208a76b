//! The invariants of windows, summaries and what is kept about users.

use spool_protocol::Result;
use spool_store::{Order, Tx};

use super::Findings;
use crate::limits;
use crate::tables::{StateVersion, Summary, UserState, Window, user_state};

pub(super) fn window(tx: &mut Tx<'_>, row: &Window, findings: &mut Findings<'_>) -> Result<()> {
    let thread = tx.get(&row.thread_id)?;
    findings.expect(thread.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let open = row.closed_at.is_none();
    findings.expect(row.open_of.as_ref() == open.then_some(&row.user_id), "window_open", || {
        "openOf does not match closedAt and the user".to_owned()
    });
    if let Some(thread) = thread {
        let pointed = thread.window_id.as_ref() == Some(&row.id);
        findings.expect(pointed, "window_thread", || format!("{} is the thread of another window", thread.id));
        let whose = thread.user_id == row.user_id && (!open || thread.deleted_at.is_none());
        findings.expect(whose, "window_thread", || format!("{} is removed, or another user's", thread.id));
    }
    Ok(())
}

pub(super) fn summary(tx: &mut Tx<'_>, row: &Summary, findings: &mut Findings<'_>) -> Result<()> {
    let thread = tx.get(&row.thread_id)?;
    findings.expect(thread.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    if let Some(thread) = thread.filter(|thread| thread.deleted_at.is_none()) {
        findings.expect(row.end() <= thread.next_seq, "summary_end", || {
            format!("it covers {} places, the thread has {}", row.end(), thread.next_seq)
        });
        let counted = row.message_count <= row.end();
        findings
            .expect(counted, "summary_end", || format!("{} messages are in {} places", row.message_count, row.end()));
    }
    let made = [row.through_seq.is_some(), row.made_at.is_some(), row.model.is_some(), !row.text.is_empty()];
    findings.expect(made.iter().all(|made| *made == (row.version > 0)), "summary_made", || {
        format!("version {} does not go with what is there", row.version)
    });
    findings.expect(row.lease_owner.is_none() || row.due_at.is_some(), "lease", || {
        "somebody makes it, and has all the time in the world".to_owned()
    });
    Ok(())
}

pub(super) fn user_state(tx: &mut Tx<'_>, row: &UserState, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.user_id)?.is_some(), "user_exists", || format!("{} is missing", row.user_id));
    let scan = tx.query::<StateVersion>(user_state::VERSION_BY_STATE).eq(&row.id).order(Order::Desc);
    let newest = scan.first()?;
    let same = newest.is_some_and(|newest| newest.version == row.version && newest.content == row.content);
    findings.expect(same, "state_version", || format!("the newest version is not version {} as it is", row.version));
    let kept = tx.query::<StateVersion>(user_state::VERSION_BY_STATE).eq(&row.id).count()?;
    findings.expect(kept <= limits::STATE_VERSIONS, "state_version", || format!("{kept} versions are kept"));
    Ok(())
}

pub(super) fn state_version(tx: &mut Tx<'_>, row: &StateVersion, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.state_id)?.is_some(), "state_exists", || format!("{} is missing", row.state_id));
    Ok(())
}
