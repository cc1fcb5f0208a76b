//! What one user may use, checked inside the transaction that uses it, so that two requests at the same
//! time cannot both take the last of it.
//!
//! Quotas are of people. A service acts for its owner, and the server for itself: they have none.

use spool_protocol::{Code, Error, Result};
use spool_store::Tx;

use crate::context::CallContext;
use crate::functions::guests;
use crate::principal::Principal;
use crate::tables::{Spent, Thread, User, UserKind, thread};

const DAY_MS: u64 = 86_400_000;

/// Before a thread is made. `quota_exceeded` if the caller has as many as it may.
pub(crate) fn check_thread(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<()> {
    let Some(guest) = guest(tx, ctx)? else { return Ok(()) };
    guests::check_unclaimed(&guest)?;
    let Some(limit) = ctx.settings.guests.max_threads else { return Ok(()) };
    let has = tx.query::<Thread>(thread::BY_ACTIVITY).eq(&guest.id).eq(None::<u64>).count()?;
    if has < limit {
        return Ok(());
    }
    Err(exceeded("threads", limit, format!("A guest may have {limit} threads. Sign in, or remove one.")))
}

/// Before a message is stored, or an answer made again. Counts it; `quota_exceeded` if the caller has sent as
/// many as it may on this day.
pub(crate) fn check_message(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<()> {
    let Some(limit) = ctx.settings.guests.max_messages_per_day else { return Ok(()) };
    let Some(mut guest) = guest(tx, ctx)? else { return Ok(()) };
    let day = tx.now() / DAY_MS;
    let messages = guest.spent.filter(|spent| spent.day == day).map_or(0, |spent| spent.messages);
    if messages >= limit {
        let text = format!("A guest may send {limit} messages a day. Sign in, or go on tomorrow.");
        let reset = (day + 1) * DAY_MS;
        let error = exceeded("messages_per_day", limit, text);
        return Err(error.with("resetAt", reset).with("retryAfterMs", reset - tx.now()));
    }
    guest.spent = Some(Spent { day, messages: messages + 1 });
    tx.put(&guest)
}

/// The caller, if it is a guest.
fn guest(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<Option<User>> {
    let Principal::User { user } = &ctx.principal else { return Ok(None) };
    Ok(tx.get(user)?.filter(|user| user.kind == UserKind::Anonymous))
}

/// `quota` is the name of the setting without its `max_`.
fn exceeded(quota: &str, limit: u64, message: String) -> Error {
    Error::new(Code::QuotaExceeded, message).with("quota", quota).with("limit", limit)
}
