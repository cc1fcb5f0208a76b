//! When a thread is summarised, and how far.
//!
//! A summary is due as a row: [`consider`] and [`want_whole`] say so in the transaction of what made it due,
//! and whoever makes it holds a lease on that row. Must never call a model: the server does, beside the turn.

mod text;

pub use text::{cap, excerpts, shortened, tokens};

use spool_protocol::Result;
use spool_store::{Id, Order, Tx};

use crate::context::CallContext;
use crate::limits;
use crate::parts;
use crate::states::MessageStatus;
use crate::tables::{Generation, Message, Runner, Summary, Thread, Window, message, summary};

/// When summaries are made, as the configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryPolicy {
    /// More complete messages than this that are in no summary make one due; 0 is never, for closed windows too.
    pub after: usize,
    /// The newest complete messages, which stay as they are.
    pub keep: usize,
    /// Longest summary, by [`tokens`].
    pub max_tokens: u64,
    /// Who makes them; absent is the model of the thread.
    pub model: Option<String>,
    /// How long a turn waits for the summary of the window before its own, in milliseconds.
    pub wait_ms: u64,
}

impl Default for SummaryPolicy {
    fn default() -> Self {
        Self { after: 15, keep: 10, max_tokens: 500, model: None, wait_ms: 20_000 }
    }
}

/// The row of a thread's summary; it may be without a text yet.
pub(crate) fn of(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Option<Summary>> {
    tx.query(summary::BY_THREAD).eq(thread).first()
}

/// After an answer of this server: makes a summary due if too many messages are in none, and one that failed
/// before due now. What runs outside keeps its own history, and what is said there is not sent to a model here.
pub(crate) fn consider(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, ended: &Generation) -> Result<()> {
    let policy = &ctx.settings.summaries;
    let (after, wanted) = (policy.after as u64, thread.deleted_at.is_none());
    // Places are dense, so a short thread ends here without a read.
    if after == 0 || ended.runner != Runner::Hosted || !wanted || thread.next_seq <= after {
        return Ok(());
    }
    let row = of(tx, &thread.id)?;
    let start = row.as_ref().map_or(0, Summary::end);
    // And most turns end here without reading a message.
    if thread.next_seq.saturating_sub(start) <= after || !is_due(tx, ctx, thread, start, false)? {
        return Ok(());
    }
    let mut row = row.unwrap_or_else(|| Summary::new(tx, &thread.id));
    if row.lease_owner.is_none() && row.due_at.is_none_or(|at| at > tx.now()) {
        row.due_at = Some(tx.now());
        tx.put(&row)?;
    }
    Ok(())
}

/// A window was closed: makes a summary of all that is in none due, so that the next window can go on from it.
pub(crate) fn want_whole(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread) -> Result<()> {
    if ctx.settings.summaries.after == 0 || thread.worker_id.is_some() {
        return Ok(());
    }
    let row = of(tx, &thread.id)?;
    if !is_due(tx, ctx, thread, row.as_ref().map_or(0, Summary::end), true)? {
        return Ok(());
    }
    let mut row = row.unwrap_or_else(|| Summary::new(tx, &thread.id));
    row.whole = true;
    row.wanted_at = Some(tx.now());
    row.failures = 0;
    if row.lease_owner.is_none() {
        row.due_at = Some(tx.now());
    }
    tx.put(&row)
}

/// Whether enough messages from the place `start` on are complete: any, or more than the policy says.
pub(crate) fn is_due(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, start: u64, whole: bool) -> Result<bool> {
    let enough = if whole { 1 } else { ctx.settings.summaries.after + 1 };
    let rows = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).ge(start).take(limits::SUMMARY_ROWS)?;
    Ok(rows.iter().filter(|message| counts(message)).take(enough).count() == enough)
}

/// Whether a message is part of the conversation: complete, and not blank.
pub(crate) fn counts(message: &Message) -> bool {
    message.status == MessageStatus::Complete && !parts::are_blank(&message.parts)
}

/// The next messages to be summarised, oldest first: those from `start` on, but for the newest that stay as they
/// are, and no more than one call of a model takes.
pub(crate) fn next_messages(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, start: u64, whole: bool,
) -> Result<Vec<Message>> {
    let rows = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).ge(start).take(limits::SUMMARY_ROWS)?;
    let is_over = |message: &Message| !matches!(message.status, MessageStatus::Pending | MessageStatus::Streaming);
    let mut messages: Vec<Message> = rows.into_iter().take_while(is_over).filter(counts).collect();
    let keep = if whole { 0 } else { ctx.settings.summaries.keep };
    messages.truncate(messages.len().saturating_sub(keep).min(limits::SUMMARY_MESSAGES));
    let mut bytes = 0;
    let fit = messages.iter().take_while(|message| {
        let before = bytes;
        bytes += message.text().len().min(limits::SUMMARY_MESSAGE_BYTES);
        before == 0 || bytes <= limits::SUMMARY_BYTES
    });
    let fit = fit.count();
    messages.truncate(fit);
    Ok(messages)
}

/// The summary that a thread was given on its way: of the window before its own.
pub(crate) fn carried_from(tx: &mut Tx<'_>, thread: &Thread) -> Result<Option<Thread>> {
    let Some(window) = &thread.window_id else { return Ok(None) };
    let Some(Window { carried_from: Some(before), .. }) = tx.get(window)? else { return Ok(None) };
    Ok(tx.get(&before)?.filter(|thread| thread.deleted_at.is_none()))
}

/// What is known of a thread in summary: its own, or else what it was given by the windows before it.
pub(crate) fn known(tx: &mut Tx<'_>, thread: &Thread) -> Result<Option<String>> {
    let mut at = Some(thread.clone());
    for _ in 0..limits::SUMMARY_CHAIN {
        let Some(thread) = at else { break };
        if let Some(summary) = of(tx, &thread.id)?.filter(|summary| summary.version > 0) {
            return Ok(Some(summary.text));
        }
        at = carried_from(tx, &thread)?;
    }
    Ok(None)
}

/// The newest complete messages from the place `start` on, oldest first, at most `limit`.
pub(crate) fn newest(tx: &mut Tx<'_>, thread: &Thread, start: u64, limit: usize) -> Result<Vec<Message>> {
    let scan = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).ge(start).order(Order::Desc);
    let mut rows: Vec<Message> = scan.take(limit * 2)?.into_iter().filter(counts).take(limit).collect();
    rows.reverse();
    Ok(rows)
}

/// Messages of a thread are removed, the newest first: whatever a summary says may be of them.
pub(crate) fn forget(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<()> {
    match of(tx, thread)? {
        Some(row) => tx.delete(&row.id).map(drop),
        None => Ok(()),
    }
}
