//! Approvals that nobody decided in time.

use spool_protocol::Result;
use spool_store::Tx;

use super::super::{Deleted, Nothing};
use crate::context::CallContext;
use crate::limits;
use crate::states::ApprovalStep;
use crate::tables::{Approval, approval};
use crate::turn;

/// `approvals:nextExpiry`: when the next approval is over, in milliseconds since the Unix epoch.
pub fn next_expiry(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    Ok(tx.query::<Approval>(approval::BY_DUE).ge(0_u64).first()?.and_then(|approval| approval.due_at))
}

/// `approvals:expire`: marks what is over, and tells the runner that waits.
pub fn expire(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Deleted> {
    let now = tx.now();
    let due = tx.query::<Approval>(approval::BY_DUE).ge(0_u64).le(now).take(limits::EXPIRED_APPROVALS)?;
    let ended = due.len();
    for mut approval in due {
        turn::resolve(tx, &mut approval, ApprovalStep::Expire)?;
        turn::stop_waiting(tx, ctx, &approval)?;
    }
    Ok(Deleted { deleted: ended as u64, has_more: ended >= limits::EXPIRED_APPROVALS })
}
