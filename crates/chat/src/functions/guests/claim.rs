//! Claiming a guest: an account takes over what it has, exactly once.
//!
//! The first transaction says to whom everything goes, and from then on the guest's token is dead and nothing
//! is made for it. The rows follow in bounded steps, which anybody may carry on. A thread moves together with
//! its files, so whoever may see the one may see the other; what else carries a user's id is only found by it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::{Document, Id, Tx};

use super::super::{memory, streams, subscriptions, threads, windows};
use super::check_unclaimed;
use crate::audit;
use crate::context::CallContext;
use crate::functions::Nothing;
use crate::limits;
use crate::quota;
use crate::tables::{
    Approval, Credential, Generation, Link, Machine, PushSubscription, Rule, Share, Stream, Subscription, Thread,
    Upload, User, UserKind, UserState, Wakes, Window, Worker, approval, credential, generation, machine, push, rule,
    share, stream, subscription, thread, upload, user, user_state, window, worker,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    pub guest: Id<User>,
    pub into: Id<User>,
}

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// Live threads that moved in this step.
    pub threads: u64,
    /// Whether more steps are to follow: see `users:move`.
    pub has_more: bool,
}

/// `users:claim`: the account that comes first has the guest. Claiming it again changes nothing.
pub fn claim(tx: &mut Tx<'_>, ctx: &CallContext, args: Claim) -> Result<Moved> {
    let is_guest = |user: &User| user.kind == UserKind::Anonymous;
    let mut guest = tx.get(&args.guest)?.filter(is_guest).ok_or_else(|| Error::not_found("guest"))?;
    let account = tx.get(&args.into)?.filter(|user| user.kind == UserKind::Full);
    let account = account.ok_or_else(|| Error::not_found("account"))?;
    if guest.claimed_into.as_ref() == Some(&account.id) {
        return Ok(Moved { threads: 0, has_more: guest.moving_since.is_some() });
    }
    check_unclaimed(&guest)?;
    audit::record_for(tx, ctx, &account.id, "guest.claim", guest.id.as_str())?;
    guest.claimed_into = Some(account.id);
    guest.claimed_at = Some(tx.now());
    guest.moving_since = Some(tx.now());
    guest.updated_at = tx.now();
    move_some(tx, guest, limits::CLAIMED_ROWS)
}

/// `users:moving`: whether rows of a claimed guest wait. An idle server looks before it writes.
pub fn is_moving(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<bool> {
    Ok(tx.query::<User>(user::BY_MOVING).ge(0_u64).first()?.is_some())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The claimed guest; absent is whoever was claimed first of those that are not done.
    pub guest: Option<Id<User>>,
    /// Rows to move at most in this call. A thread moves with all its files, whatever their number.
    pub limit: usize,
}

/// `users:move`: carries a claim on.
pub fn carry_on(tx: &mut Tx<'_>, ctx: &CallContext, args: Move) -> Result<Moved> {
    let guest = match &args.guest {
        Some(id) => tx.get(id)?.filter(|guest| guest.moving_since.is_some()),
        None => tx.query::<User>(user::BY_MOVING).ge(0_u64).first()?,
    };
    let Some(guest) = guest else { return Ok(Moved { threads: 0, has_more: false }) };
    let moved = move_some(tx, guest, args.limit.clamp(1, limits::CLAIMED_ROWS))?;
    // Another guest may wait behind this one.
    let has_more = moved.has_more || (args.guest.is_none() && is_moving(tx, ctx, Nothing {})?);
    Ok(Moved { has_more, ..moved })
}

/// What a step may still move.
struct Step<'a> {
    guest: &'a Id<User>,
    into: &'a Id<User>,
    left: usize,
}

impl Step<'_> {
    fn took(&mut self, rows: usize) {
        self.left = self.left.saturating_sub(rows);
    }
}

fn move_some(tx: &mut Tx<'_>, mut guest: User, limit: usize) -> Result<Moved> {
    let into = guest.claimed_into.clone().ok_or_else(|| Error::internal("moving a guest that nobody claimed"))?;
    let mut step = Step { guest: &guest.id, into: &into, left: limit };
    let threads = move_threads(tx, &mut step)?;
    move_rows(tx, &mut step, generation::BY_USER, |row: &mut Generation, into| row.user_id = into.clone())?;
    let from = guest.id.clone();
    move_rows(tx, &mut step, approval::BY_USER, |row: &mut Approval, into| {
        row.user_id = into.clone();
        // The same person decided, under another name.
        if row.resolved_by.as_ref() == Some(&from) {
            row.resolved_by = Some(into.clone());
        }
        // Two votes of what is one person now count once; what was decided stays as it was decided.
        let voted = row.votes.iter().any(|vote| vote.user_id == *into);
        row.votes.retain(|vote| !(voted && row.pending && vote.user_id == from));
        for vote in row.votes.iter_mut().filter(|vote| vote.user_id == from && !voted) {
            vote.user_id = into.clone();
        }
    })?;
    move_rows(tx, &mut step, rule::BY_USER, |row: &mut Rule, into| row.user_id = into.clone())?;
    move_rows(tx, &mut step, push::BY_USER, |row: &mut PushSubscription, into| row.user_id = into.clone())?;
    move_rows(tx, &mut step, share::BY_VIEWER, |row: &mut Share, into| row.viewer_id = Some(into.clone()))?;
    move_rows(tx, &mut step, machine::BY_USER, |row: &mut Machine, into| row.user_id = into.clone())?;
    move_rows(tx, &mut step, worker::BY_USER, |row: &mut Worker, into| row.user_id = into.clone())?;
    move_rows(tx, &mut step, credential::BY_USER, |row: &mut Credential, into| row.user_id = into.clone())?;
    move_windows(tx, &mut step)?;
    move_states(tx, &mut step)?;
    move_streams(tx, &mut step)?;
    move_subscriptions(tx, &mut step)?;
    let has_more = step.left == 0;
    if !has_more {
        guest.moving_since = None;
    }
    quota::recount(tx, [&guest.id, &into])?;
    tx.put(&guest)?;
    Ok(Moved { threads, has_more })
}

fn move_rows<T: Document>(
    tx: &mut Tx<'_>, step: &mut Step<'_>, by_user: &'static spool_store::Index, change: impl Fn(&mut T, &Id<User>),
) -> Result<()> {
    let rows = tx.query::<T>(by_user).eq(step.guest).take(step.left)?;
    step.took(rows.len());
    for mut row in rows {
        change(&mut row, step.into);
        tx.put(&row)?;
    }
    Ok(())
}

/// Deleted threads, too: they wait for their purge under their owner. Returns how many live ones moved.
fn move_threads(tx: &mut Tx<'_>, step: &mut Step<'_>) -> Result<u64> {
    let mut live = 0;
    while step.left > 0 {
        let Some(thread) = tx.query::<Thread>(thread::BY_ACTIVITY).eq(step.guest).first()? else { break };
        live += u64::from(thread.deleted_at.is_none());
        let uploads = tx.query::<Upload>(upload::BY_THREAD).eq(&thread.id).collect()?;
        step.took(1 + uploads.len());
        for upload in uploads {
            tx.put(&Upload { user_id: step.into.clone(), ..upload })?;
        }
        let thread = renamed(tx, thread, step.into)?;
        tx.put(&thread)?;
    }
    Ok(live)
}

/// The thread as one of its new owner, whose own names come first: a second default thread becomes an ordinary
/// one, and a second thread of an external id loses that id.
fn renamed(tx: &mut Tx<'_>, mut thread: Thread, into: &Id<User>) -> Result<Thread> {
    thread.user_id = into.clone();
    if thread.default_of.is_some() {
        let is_first = threads::find_default(tx, into)?.is_none();
        thread.is_default = is_first;
        thread.default_of = is_first.then(|| into.clone());
    }
    if thread.deleted_at.is_none()
        && let Some(external) = thread.external_id.take()
        && threads::find_external(tx, into, &external)?.is_none()
    {
        thread.external_id = Some(external);
    }
    Ok(thread)
}

/// Where the account has an open window of its own, that of the guest is closed.
fn move_windows(tx: &mut Tx<'_>, step: &mut Step<'_>) -> Result<()> {
    let rows = tx.query::<Window>(window::BY_USER).eq(step.guest).take(step.left)?;
    step.took(rows.len());
    rows.into_iter().try_for_each(|row| windows::hand_over(tx, row, step.into))
}

fn move_states(tx: &mut Tx<'_>, step: &mut Step<'_>) -> Result<()> {
    let rows = tx.query::<UserState>(user_state::BY_USER).eq(step.guest).take(step.left)?;
    step.took(rows.len());
    rows.into_iter().try_for_each(|row| memory::adopt(tx, step.into, row))
}

/// A path that the account has itself gets the stream's id at its end. Subscriptions of the guest, which move
/// behind all its streams, follow it.
fn move_streams(tx: &mut Tx<'_>, step: &mut Step<'_>) -> Result<()> {
    let (from, into) = (step.guest.as_str(), step.into.as_str());
    let streams = tx.query::<Stream>(stream::BY_PATH).eq(from).take(step.left)?;
    step.took(streams.len());
    for mut stream in streams {
        if streams::row(tx, into, &stream.path)?.is_some() {
            let path = beside(&stream.path, stream.id.as_str(), limits::STREAM_PATH_BYTES);
            follow(tx, from, &stream.path, &path)?;
            stream.path = path;
        }
        into.clone_into(&mut stream.owner);
        tx.put(&stream)?;
    }
    Ok(())
}

/// `name~id`, within the limit of names. Ids are unique, so this is.
fn beside(name: &str, id: &str, limit: usize) -> String {
    let room = name.floor_char_boundary(limit.saturating_sub(id.len() + 1));
    format!("{}~{id}", &name[..room])
}

/// The guest's subscriptions watch the stream under its new path.
fn follow(tx: &mut Tx<'_>, owner: &str, before: &str, now: &str) -> Result<()> {
    for mut row in tx.query::<Subscription>(subscription::BY_NAME).eq(owner).collect()? {
        if let Some(link) = tx.query::<Link>(subscription::LINKS).eq(&row.id).eq(before).first()? {
            tx.put(&Link { path: now.to_owned(), ..link })?;
        }
        if let Wakes::PullWake { wake_stream } = &mut row.wakes
            && wake_stream == before
        {
            now.clone_into(wake_stream);
            tx.put(&row)?;
        }
    }
    Ok(())
}

fn move_subscriptions(tx: &mut Tx<'_>, step: &mut Step<'_>) -> Result<()> {
    let into = step.into.as_str();
    let rows = tx.query::<Subscription>(subscription::BY_NAME).eq(step.guest.as_str()).take(step.left)?;
    step.took(rows.len());
    for mut row in rows {
        if subscriptions::find(tx, into, &row.name)?.is_some() {
            row.name = beside(&row.name, row.id.as_str(), limits::NAME_BYTES);
        }
        into.clone_into(&mut row.owner);
        tx.put(&row)?;
        // Streams may have grown in steps before this one.
        subscriptions::wakes::catch_up(tx, row)?;
    }
    Ok(())
}
