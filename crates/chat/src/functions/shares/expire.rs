//! Shares whose time is over. A live query does not run again because time passes, so a mark in the row
//! ends the views that are open; new ones check the time themselves.

use spool_protocol::Result;
use spool_store::Tx;

use super::super::{Deleted, Nothing};
use crate::context::CallContext;
use crate::limits;
use crate::tables::{Share, share};

/// `shares:nextExpiry`: when the next share is over, in milliseconds since the Unix epoch.
pub fn next_expiry(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    Ok(tx.query::<Share>(share::BY_DUE).ge(0_u64).first()?.and_then(|share| share.due_at))
}

/// `shares:expire`: marks what is over.
pub fn expire(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Deleted> {
    let now = tx.now();
    let due = tx.query::<Share>(share::BY_DUE).ge(0_u64).le(now).take(limits::LISTED)?;
    let ended = due.len();
    for mut share in due {
        share.close();
        tx.put(&share)?;
    }
    Ok(Deleted { deleted: ended as u64, has_more: ended >= limits::LISTED })
}
