//! Removing threads, clearing them, and the purge of what was removed.
//!
//! Removing marks a row and takes the same time for any size; everything else works in bounded steps
//! that can stop and go on anywhere.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::{Order, Tx};

use super::super::{Deleted, Nothing, remains, uploads, windows};
use super::{One, find_default};
use crate::context::CallContext;
use crate::erasure::{self, Tally};
use crate::limits;
use crate::owned;
use crate::quota;
use crate::states::ThreadStep;
use crate::summary;
use crate::tables::{
    Approval, Generation, Message, Prompt, Thread, ToolCall, approval, generation, message, prompt, thread, tool_call,
};
use crate::turn;

/// `threads:remove`
pub fn remove(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    mark(tx, ctx, thread)
}

/// Marks the thread deleted and stops what runs in it.
pub(in crate::functions) fn mark(tx: &mut Tx<'_>, ctx: &CallContext, thread: Thread) -> Result<()> {
    thread.state().step(ThreadStep::Delete)?;
    mark_any(tx, ctx, thread)
}

/// The same for any live thread: the default one, too, goes with its owner.
pub(crate) fn mark_any(tx: &mut Tx<'_>, ctx: &CallContext, mut thread: Thread) -> Result<()> {
    thread.deleted_at = Some(tx.now());
    thread.updated_at = tx.now();
    thread.default_of = None;
    tx.put(&thread)?;
    quota::remove_thread(tx, &thread.user_id)?;
    windows::close_of(tx, &thread)?;
    turn::cancel_all(tx, &thread.id)?;
    let Some(running) = thread.active_generation_id.clone() else { return Ok(()) };
    let Some(generation) = tx.get(&running)? else { return Ok(()) };
    turn::cancel_unstarted(tx, ctx, thread, generation).map(drop)
}

/// `threads:clear`: the newest messages first, so that the places of the others stay dense.
pub fn clear(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<Deleted> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    clear_some(tx, thread)
}

fn clear_some(tx: &mut Tx<'_>, mut thread: Thread) -> Result<Deleted> {
    if let Some(running) = &thread.active_generation_id {
        return Err(turn::busy(running.as_str()));
    }
    let newest =
        tx.query::<Message>(message::BY_THREAD).eq(&thread.id).order(Order::Desc).take(limits::CLEARED_MESSAGES)?;
    uploads::mark_shown(tx, &thread, newest.iter().flat_map(|message| &message.parts))?;
    for message in &newest {
        let attempts = tx.query::<Generation>(generation::BY_MESSAGE).eq(&message.id).take(limits::LISTED)?;
        for attempt in attempts {
            delete_generation(tx, &attempt)?;
        }
        tx.delete(&message.id)?;
    }
    let deleted = newest.len() as u64;
    if deleted > 0 {
        summary::forget(tx, &thread.id)?;
        thread.next_seq = newest.last().map_or(thread.next_seq, |oldest| oldest.seq);
        thread.message_count = thread.message_count.saturating_sub(deleted);
        thread.history_version += 1;
        thread.updated_at = tx.now();
        tx.put(&thread)?;
    }
    Ok(Deleted { deleted, has_more: thread.message_count > 0 })
}

fn delete_generation(tx: &mut Tx<'_>, generation: &Generation) -> Result<()> {
    remains::leave(tx, generation.id.as_str(), None)?;
    for approval in tx.query::<Approval>(approval::BY_GENERATION).eq(&generation.id).collect()? {
        tx.delete(&approval.id)?;
    }
    for prompt in tx.query::<Prompt>(prompt::BY_GENERATION).eq(&generation.id).collect()? {
        tx.delete(&prompt.id)?;
    }
    for call in tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(&generation.id).collect()? {
        if call.output_bytes.is_some() {
            remains::leave(tx, call.id.as_str(), None)?;
        }
        tx.delete(&call.id)?;
    }
    tx.delete(&generation.id).map(drop)
}

/// `threads:clearAll`: marks every thread but the default one, which is cleared. Counts threads, the
/// cleared default among them if it had messages.
pub fn clear_all(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Deleted> {
    let user = ctx.user()?.clone();
    let scan = tx.query::<Thread>(thread::BY_ACTIVITY).eq(&user).eq(None::<u64>).order(Order::Desc);
    let threads = scan.take(limits::CLEARED_THREADS + 1)?;
    let mut has_more = threads.len() > limits::CLEARED_THREADS;
    let mut deleted = 0;
    for thread in threads.into_iter().take(limits::CLEARED_THREADS).filter(|thread| !thread.is_default) {
        mark(tx, ctx, thread)?;
        deleted += 1;
    }
    if let Some(default) = find_default(tx, &user)?
        && default.message_count > 0
    {
        let cleared = clear_some(tx, default)?;
        has_more |= cleared.has_more;
        deleted += u64::from(!cleared.has_more);
    }
    Ok(Deleted { deleted, has_more })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Purge {
    /// Rows to remove at most in this call; more than a few thousand make a long transaction.
    pub limit: u32,
    /// Only threads that were removed before this time, in milliseconds since the Unix epoch.
    pub before: Option<u64>,
}

/// `threads:purgeable`: an idle server looks before it writes.
pub fn purgeable(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<bool> {
    Ok(tx.query::<Thread>(thread::BY_DELETION).ge(0_u64).first()?.is_some())
}

/// `threads:purge`: removes removed threads with all that depends on them, children first, so that a
/// purge that is cut off leaves no orphans.
pub fn purge(tx: &mut Tx<'_>, _ctx: &CallContext, args: Purge) -> Result<Deleted> {
    let limit = u64::from(args.limit).min(limits::LISTED as u64 * 10);
    let before = args.before.unwrap_or_else(|| tx.now() + 1);
    // What still runs in a removed thread was told to stop, and ends by its lease at the latest.
    let candidates = tx.query::<Thread>(thread::BY_DELETION).ge(0_u64).lt(before).take(limits::LISTED)?;
    let mut idle = candidates.into_iter().filter(|thread| thread.active_generation_id.is_none());
    let mut deleted = 0;
    while deleted < limit {
        let Some(thread) = idle.next() else { return Ok(Deleted { deleted, has_more: false }) };
        deleted += purge_thread(tx, &thread, limit - deleted)?;
    }
    Ok(Deleted { deleted, has_more: true })
}

/// By the graph of ownership. The bytes of files go before their rows: those stay until then, marked, so that
/// a crash forgets none.
fn purge_thread(tx: &mut Tx<'_>, thread: &Thread, limit: u64) -> Result<u64> {
    let mut tally = Tally::new(usize::try_from(limit).unwrap_or(usize::MAX));
    erasure::erase(tx, &thread::TABLE, thread.id.as_str(), &mut tally)?;
    quota::release_storage(tx, &thread.user_id, tally.freed)?;
    Ok(tally.total())
}
