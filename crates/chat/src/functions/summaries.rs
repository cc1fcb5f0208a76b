//! Summaries: what a thread's is, and for the server what is due, the lease on it, and its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Result, Usage};
use spool_store::{Id, Tx};

use crate::context::CallContext;
use crate::limits;
use crate::owned;
use crate::quota;
use crate::summary::{self, cap, shortened, tokens};
use crate::tables::{Generation, Role, Summary, SummaryView, Thread, summary as table};

/// How long a lease lasts: a model that has not answered in this time is given up, and the next one may try.
pub const LEASE_MS: u64 = 90_000;
/// The pause after the first failure; it doubles with each.
const PAUSE_MS: u64 = 30_000;
/// Failures after which only the next turn, or the next window, makes it due again.
const TRIES: u32 = 5;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub thread_id: Id<Thread>,
}

/// `summaries:get`: of version 0 until one was made.
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<SummaryView> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    Ok(summary::of(tx, &thread.id)?.map(SummaryView::from).unwrap_or_default())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {
    pub limit: u32,
}

/// A summary that somebody is to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    pub thread_id: Id<Thread>,
    /// Not before this time.
    pub due_at: u64,
}

/// `summaries:due`: the first of what is due, or will be.
pub fn due(tx: &mut Tx<'_>, _ctx: &CallContext, args: List) -> Result<Vec<Due>> {
    let limit = (args.limit as usize).min(limits::LISTED);
    let rows = tx.query::<Summary>(table::BY_DUE).ge(0_u64).take(limit)?;
    Ok(rows.into_iter().filter_map(|row| Some(Due { due_at: row.due_at?, thread_id: row.thread_id })).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    pub thread_id: Id<Thread>,
    /// The name of whoever makes it.
    pub owner: String,
}

/// What a summary is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    pub epoch: u64,
    pub model: String,
    /// The summary so far, or of the window before; the new one takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    pub messages: Vec<Said>,
    /// The place of the newest of them.
    pub through_seq: u64,
    pub max_tokens: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Said {
    pub role: Role,
    pub text: String,
}

/// `summaries:claim`: the work with a lease on it, or null where there is none for the caller.
pub fn claim(tx: &mut Tx<'_>, ctx: &CallContext, args: Claim) -> Result<Option<Work>> {
    let Some(mut row) = summary::of(tx, &args.thread_id)? else { return Ok(None) };
    if row.due_at.is_none_or(|at| at > tx.now()) {
        return Ok(None);
    }
    let Some(thread) = tx.get(&row.thread_id)?.filter(|thread| thread.deleted_at.is_none()) else {
        return tx.delete(&row.id).map(|_| None);
    };
    let messages = summary::next_messages(tx, ctx, &thread, row.end(), row.whole)?;
    let Some(through_seq) = messages.last().map(|message| message.seq) else {
        row.settle(None);
        return tx.put(&row).map(|()| None);
    };
    row.lease_owner = Some(args.owner);
    row.epoch += 1;
    row.due_at = Some(tx.now() + LEASE_MS);
    tx.put(&row)?;
    // Who answers in the thread, unless the configuration names somebody for all of them.
    let agent = ctx.settings.agents.find(thread.agent_id.as_deref());
    let model = ctx.settings.summaries.model.clone().or_else(|| thread.model.clone());
    let model = model.or_else(|| agent?.model.clone());
    let said = messages
        .into_iter()
        .map(|message| Said { role: message.role, text: shortened(&message.text(), limits::SUMMARY_MESSAGE_BYTES) });
    Ok(Some(Work {
        epoch: row.epoch,
        model: model.unwrap_or_else(|| ctx.settings.default_model.clone()),
        messages: said.collect(),
        previous: summary::known(tx, &thread)?,
        through_seq,
        max_tokens: ctx.settings.summaries.max_tokens,
    }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finish {
    pub thread_id: Id<Thread>,
    pub owner: String,
    pub epoch: u64,
    /// Cut at the cap, whatever its length. A blank one is a failure.
    pub text: String,
    pub model: String,
    /// How many messages it was made of, and the place of the newest.
    pub messages: u64,
    pub through_seq: u64,
    pub usage: Option<Usage>,
}

/// `summaries:finish`: the summary takes the place of the one before. False if the lease was lost, the messages
/// were removed meanwhile, or the text is blank.
pub fn finish(tx: &mut Tx<'_>, ctx: &CallContext, args: Finish) -> Result<bool> {
    let Some(mut row) = held(tx, &args.thread_id, &args.owner, args.epoch)? else { return Ok(false) };
    let Some(thread) = tx.get(&row.thread_id)?.filter(|thread| thread.deleted_at.is_none()) else {
        return tx.delete(&row.id).map(|_| false);
    };
    if let Some(usage) = &args.usage {
        quota::add_tokens(tx, &thread.user_id, usage)?;
    }
    let text = cap(&args.text, ctx.settings.summaries.max_tokens);
    if text.is_empty() {
        give_up(tx, row)?;
        return Ok(false);
    }
    text.clone_into(&mut row.text);
    row.tokens = tokens(text);
    row.through_seq = Some(args.through_seq);
    row.message_count += args.messages;
    row.version += 1;
    row.model = Some(args.model);
    row.made_at = Some(tx.now());
    row.failures = 0;
    let start = row.end();
    let more = if row.whole || thread.next_seq.saturating_sub(start) > ctx.settings.summaries.after as u64 {
        summary::is_due(tx, ctx, &thread, start, row.whole)?
    } else {
        false
    };
    row.settle(more.then_some(tx.now()));
    tx.put(&row)?;
    Ok(true)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failed {
    pub thread_id: Id<Thread>,
    pub owner: String,
    pub epoch: u64,
}

/// `summaries:failed`: it is due again after a pause, a few times; then with the next turn.
pub fn failed(tx: &mut Tx<'_>, _ctx: &CallContext, args: Failed) -> Result<()> {
    match held(tx, &args.thread_id, &args.owner, args.epoch)? {
        Some(row) => give_up(tx, row),
        None => Ok(()),
    }
}

fn give_up(tx: &mut Tx<'_>, mut row: Summary) -> Result<()> {
    row.failures += 1;
    row.lease_owner = None;
    row.due_at = (row.failures < TRIES).then(|| tx.now() + (PAUSE_MS << (row.failures - 1)));
    tx.put(&row)
}

fn held(tx: &mut Tx<'_>, thread: &Id<Thread>, owner: &str, epoch: u64) -> Result<Option<Summary>> {
    let row = summary::of(tx, thread)?;
    Ok(row.filter(|row| row.lease_owner.as_deref() == Some(owner) && row.epoch == epoch))
}

impl Summary {
    /// Nobody is at it any more. What is due next, if anything, is due at `next`.
    fn settle(&mut self, next: Option<u64>) {
        self.lease_owner = None;
        self.due_at = next;
        if next.is_none() {
            self.whole = false;
            self.wanted_at = None;
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Awaited {
    pub generation_id: Id<Generation>,
}

/// `summaries:awaited`: until when the answer should wait for the summary of the window before its own, in
/// milliseconds since the Unix epoch; null where there is none to wait for, also because making it failed.
pub fn awaited(tx: &mut Tx<'_>, ctx: &CallContext, args: Awaited) -> Result<Option<u64>> {
    let Some(generation) = tx.get(&args.generation_id)? else { return Ok(None) };
    let Some(thread) = tx.get(&generation.thread_id)? else { return Ok(None) };
    let Some(before) = summary::carried_from(tx, &thread)? else { return Ok(None) };
    let row = summary::of(tx, &before.id)?.filter(|row| row.due_at.is_some() && row.failures == 0);
    Ok(row.and_then(|row| row.wanted_at).map(|at| at + ctx.settings.summaries.wait_ms))
}
