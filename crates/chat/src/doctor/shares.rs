//! The invariants of shares, one row and its neighbours at a time.

use spool_protocol::Result;
use spool_store::Tx;

use super::Findings;
use crate::tables::{Audience, Share, ShareMode};

pub(super) fn share(tx: &mut Tx<'_>, row: &Share, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let named = usize::from(row.viewer_id.is_some()) + usize::from(row.viewer_email.is_some());
    let (token, people) = match row.audience {
        Audience::Link => (true, 0),
        Audience::Users => (false, 1),
    };
    let reached = row.token_hash.is_some() == token && named == people;
    findings.expect(reached, "share_audience", || "a link has a token, a share with a person names one".to_owned());
    let closed = row.revoked_at.is_some();
    findings.expect(!(closed && row.open), "share_closed", || "it is revoked and can be read".to_owned());
    let due = row.expires_at.filter(|_| row.open);
    findings.expect(row.due_at == due, "share_due", || format!("dueAt is {:?}, not {due:?}", row.due_at));
    let kept = row.title.is_some() == (row.mode == ShareMode::Snapshot);
    findings.expect(kept, "share_snapshot", || "exactly a snapshot keeps its title".to_owned());
    Ok(())
}
