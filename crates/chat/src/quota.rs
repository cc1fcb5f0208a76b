//! What one user may use and have, checked in the transaction that starts the work.
//!
//! The numbers are counters in rows, so a check costs one read whatever the user has; the functions that
//! make and remove things keep them, and the doctor counts again. Limits are for people: a service key
//! works for the operator, and what it does for a user is counted but never refused.

use spool_protocol::{Code, Error, Result, Usage as Tokens};
use spool_store::{Id, Tx};

use crate::context::CallContext;
use crate::limits;
use crate::month;
use crate::principal::Principal;
use crate::tables::{
    ArtifactVersion, Holdings, Spent, Thread, Upload, Usage, User, UserKind, artifact, holdings, thread, upload, usage,
};

const DAY_MS: u64 = 86_400_000;

/// The limits of every user; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Tokens of models, in and out, in a calendar month (UTC).
    pub tokens_per_month: Option<u64>,
    /// Threads that are not removed.
    pub threads: Option<u64>,
    /// Bytes of files and artifacts.
    pub storage_bytes: Option<u64>,
}

/// Refuses another turn once the month's tokens are used up. What an answer will cost nobody knows before, so
/// the last one may go beyond.
pub fn check_tokens(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<()> {
    let (Some(limit), Principal::User { user }) = (ctx.settings.quotas.tokens_per_month, &ctx.principal) else {
        return Ok(());
    };
    let used = usage_of(tx, user)?.map_or(0, |usage| usage.tokens());
    if used < limit {
        return Ok(());
    }
    let resets_at = month::end(tx.now());
    let message = format!("The {limit} tokens of this month are used up.");
    Err(exceeded("tokens", message, limit, used)
        .with("resetsAt", resets_at)
        .with("retryAfterMs", resets_at.saturating_sub(tx.now())))
}

/// Refuses another thread for a user who has as many as the server grants.
pub(crate) fn check_thread(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<()> {
    if let Some(limit) = ctx.settings.guests.max_threads
        && let Some(guest) = guest(tx, ctx)?
    {
        let used = holdings_of(tx, &guest.id)?.threads;
        if used >= limit {
            let message = format!("A guest may have {limit} threads. Sign in, or remove one.");
            return Err(exceeded("guest_threads", message, limit, used));
        }
    }
    let (Some(limit), Principal::User { user }) = (ctx.settings.quotas.threads, &ctx.principal) else {
        return Ok(());
    };
    let used = holdings_of(tx, user)?.threads;
    if used < limit {
        return Ok(());
    }
    Err(exceeded("threads", format!("There are {used} threads, and {limit} may be. Remove some."), limit, used))
}

/// Refuses `bytes` more for a user whose files and artifacts would then be too large together.
pub fn check_storage(tx: &mut Tx<'_>, ctx: &CallContext, bytes: u64) -> Result<()> {
    let Principal::User { user } = &ctx.principal else { return Ok(()) };
    check_storage_of(tx, ctx, user, bytes)
}

/// The same for a user for whom the server itself works.
pub(crate) fn check_storage_of(tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, bytes: u64) -> Result<()> {
    let Some(limit) = ctx.settings.quotas.storage_bytes else { return Ok(()) };
    let used = holdings_of(tx, user)?.storage_bytes;
    if used.saturating_add(bytes) <= limit {
        return Ok(());
    }
    let message = format!("Files and artifacts have {used} bytes, and {limit} may be. Remove some.");
    Err(exceeded("storage", message, limit, used).with("wanted", bytes))
}

/// Before a message is stored, or an answer made again. Counts it; refuses a guest who has sent as many as a
/// guest may on this day (UTC).
pub(crate) fn check_message(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<()> {
    let Some(limit) = ctx.settings.guests.max_messages_per_day else { return Ok(()) };
    let Some(mut guest) = guest(tx, ctx)? else { return Ok(()) };
    let day = tx.now() / DAY_MS;
    let used = guest.spent.filter(|spent| spent.day == day).map_or(0, |spent| spent.messages);
    if used >= limit {
        let message = format!("A guest may send {limit} messages a day. Sign in, or go on tomorrow.");
        let resets_at = (day + 1) * DAY_MS;
        let error = exceeded("messages_per_day", message, limit, used);
        return Err(error.with("resetsAt", resets_at).with("retryAfterMs", resets_at - tx.now()));
    }
    guest.spent = Some(Spent { day, messages: used + 1 });
    tx.put(&guest)
}

/// The caller, if it is a guest.
fn guest(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<Option<User>> {
    let Principal::User { user } = &ctx.principal else { return Ok(None) };
    Ok(tx.get(user)?.filter(|user| user.kind == UserKind::Anonymous))
}

fn exceeded(what: &str, message: String, limit: u64, used: u64) -> Error {
    Error::new(Code::QuotaExceeded, message).with("quota", what).with("limit", limit).with("used", used)
}

/// Notes what an answer of `user` cost. Called by the transaction that ends it.
pub(crate) fn add_tokens(tx: &mut Tx<'_>, user: &Id<User>, tokens: &Tokens) -> Result<()> {
    let mut row = match usage_of(tx, user)? {
        Some(row) => row,
        None => Usage {
            id: tx.new_id(),
            creation_time: tx.now() as f64,
            user_id: user.clone(),
            month: month::of(tx.now()),
            input_tokens: 0,
            output_tokens: 0,
            answers: 0,
        },
    };
    row.input_tokens = row.input_tokens.saturating_add(tokens.input_tokens);
    row.output_tokens = row.output_tokens.saturating_add(tokens.output_tokens);
    row.answers += 1;
    tx.put(&row)
}

/// The counters of this month, if there was an answer in it.
pub(crate) fn usage_of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Option<Usage>> {
    let month = month::of(tx.now());
    tx.query::<Usage>(usage::BY_MONTH).eq(user).eq(month.as_str()).first()
}

/// Counts a thread that was just stored.
pub(crate) fn add_thread(tx: &mut Tx<'_>, user: &Id<User>) -> Result<()> {
    take(tx, user, |row| row.threads += 1)
}

/// Counts `bytes` that were just stored.
pub(crate) fn add_storage(tx: &mut Tx<'_>, user: &Id<User>, bytes: u64) -> Result<()> {
    take(tx, user, |row| row.storage_bytes += bytes)
}

/// Counts what is added. Where there is no row, the store is counted, and what was just stored with it.
fn take(tx: &mut Tx<'_>, user: &Id<User>, add: impl FnOnce(&mut Holdings)) -> Result<()> {
    match find(tx, user)? {
        Some(mut row) => {
            add(&mut row);
            tx.put(&row)
        }
        None => {
            let row = measured(tx, user)?;
            tx.put(&row)
        }
    }
}

/// A thread of `user` was removed.
pub(crate) fn remove_thread(tx: &mut Tx<'_>, user: &Id<User>) -> Result<()> {
    give_back(tx, user, |row| row.threads = row.threads.saturating_sub(1))
}

/// `bytes` of `user` were removed.
pub(crate) fn release_storage(tx: &mut Tx<'_>, user: &Id<User>, bytes: u64) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    give_back(tx, user, |row| row.storage_bytes = row.storage_bytes.saturating_sub(bytes))
}

/// Without a row nothing is noted: whoever needs the numbers next will count.
fn give_back(tx: &mut Tx<'_>, user: &Id<User>, take: impl FnOnce(&mut Holdings)) -> Result<()> {
    let Some(mut row) = find(tx, user)? else { return Ok(()) };
    take(&mut row);
    tx.put(&row)
}

fn find(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Option<Holdings>> {
    tx.query::<Holdings>(holdings::BY_USER).eq(user).first()
}

/// Rows went from one user to another: both are counted anew when their numbers are needed.
pub(crate) fn recount(tx: &mut Tx<'_>, users: [&Id<User>; 2]) -> Result<()> {
    for user in users {
        if let Some(row) = find(tx, user)? {
            tx.delete(&row.id)?;
        }
    }
    Ok(())
}

/// What a user has now.
pub(crate) fn holdings_of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Holdings> {
    match find(tx, user)? {
        Some(row) => Ok(row),
        None => measured(tx, user),
    }
}

/// A row for a user who has none: rows that are older than this table are counted once.
fn measured(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Holdings> {
    let (threads, storage) = measure(tx, user, limits::MEASURED_ROWS)?;
    let storage_bytes = storage.unwrap_or_default();
    let (id, creation_time) = (tx.new_id(), tx.now() as f64);
    Ok(Holdings { id, creation_time, user_id: user.clone(), threads, storage_bytes })
}

/// The truth: threads, and bytes of files and artifacts; `None` where those are more than `most` rows.
pub(crate) fn measure(tx: &mut Tx<'_>, user: &Id<User>, most: usize) -> Result<(u64, Option<u64>)> {
    let threads = tx.query::<Thread>(thread::BY_ACTIVITY).eq(user).eq(None::<u64>).count()?;
    let mut left = most;
    let uploads = tx.query::<Upload>(upload::BY_USER).eq(user).eq(None::<u64>).take(left)?;
    let mut bytes: u64 = uploads.iter().map(|upload| upload.size).sum();
    left -= uploads.len();
    let all = tx.query::<Thread>(thread::BY_ACTIVITY).eq(user).take(left)?;
    left -= all.len();
    for thread in &all {
        let versions = tx.query::<ArtifactVersion>(artifact::VERSION_BY_THREAD).eq(&thread.id).take(left)?;
        bytes += versions.iter().map(|version| version.content_bytes).sum::<u64>();
        left -= versions.len();
    }
    Ok((threads, (left > 0).then_some(bytes)))
}
