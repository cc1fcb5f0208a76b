//! The life of a wake: it begins in the transaction that made a stream grow, is delivered or claimed, and
//! ends when its holder is done or silent for too long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::{LinkView, link_views, links, owned};
use crate::context::CallContext;
use crate::functions::{Nothing, streams};
use crate::limits;
use crate::tables::{Link, Stream, Subscription, Wake, Wakes, subscription};

/// The pauses between two tries of a delivery, in ms: the first, and the longest.
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 60_000;

/// A stream has new data after offset `before`: whoever watches it and is idle begins a wake, in the same
/// transaction.
pub(crate) fn stream_grew(tx: &mut Tx<'_>, stream: &Stream, before: u64) -> Result<()> {
    let tail = streams::end(tx, stream)?;
    let watching = tx.query::<Subscription>(subscription::BY_NAME).eq(stream.owner.as_str());
    for row in watching.take(limits::SUBSCRIPTIONS)? {
        if !links::grew(tx, &row, stream, before, tail)? {
            continue;
        }
        if row.wake.is_none() {
            begin(tx, row, &stream.path)?;
        } else {
            announce_again(tx, row, &stream.path)?;
        }
    }
    Ok(())
}

/// A stream is no more. Its name may come back: what was named explicitly is watched from its start then.
pub(crate) fn stream_ended(tx: &mut Tx<'_>, stream: &Stream) -> Result<()> {
    let watching = tx.query::<Subscription>(subscription::BY_NAME).eq(stream.owner.as_str());
    for row in watching.take(limits::SUBSCRIPTIONS)? {
        if let Some(mut link) = links::one(tx, &row, &stream.path)? {
            if link.explicit {
                (link.acked, link.woken_at) = (None, None);
                link.settle(0);
                tx.put(&link)?;
            } else {
                tx.delete(&link.id)?;
            }
            settle_down(tx, row)?;
        }
    }
    Ok(())
}

/// Ends a wake that nobody holds and that has nothing to speak of any more: nobody could claim it, and as long as
/// it is there no other begins.
pub(super) fn settle_down(tx: &mut Tx<'_>, row: Subscription) -> Result<()> {
    let waits = row.wake.as_ref().is_some_and(Wake::is_free);
    if waits && links::pending(tx, &row)?.is_empty() { finish(tx, row).map(drop) } else { Ok(()) }
}

/// Looks at the streams that a subscription watches as if each had just changed, for one that has a new owner:
/// whoever is idle and has news begins a wake.
pub(crate) fn catch_up(tx: &mut Tx<'_>, row: Subscription) -> Result<()> {
    for mut link in tx.query::<Link>(subscription::LINKS).eq(&row.id).take(limits::SUBSCRIPTION_LINKS)? {
        let before = link.idle;
        let tail = links::tail(tx, &row.owner, &link.path)?;
        link.settle(tail);
        if link.idle != before {
            tx.put(&link)?;
        }
    }
    if row.wake.is_some() {
        return Ok(());
    }
    match links::pending(tx, &row)?.first() {
        Some((link, _)) => begin(tx, row, &link.path).map(drop),
        None => Ok(()),
    }
}

/// Begins a wake.
fn begin(tx: &mut Tx<'_>, mut row: Subscription, because_of: &str) -> Result<Subscription> {
    row.generation += 1;
    let id: Id<Subscription> = tx.new_id();
    let wake = Wake { wake_id: format!("w_{id}"), holder: None, lease_expires_at: None, announced_on: None };
    row.wake = Some(wake);
    (row.due_at, row.deliver_at) = (None, None);
    match row.wakes {
        Wakes::Webhook { .. } => row.deliver_at = Some(tx.now()),
        Wakes::PullWake { .. } => {
            announce(tx, &mut row, because_of)?;
        }
    }
    tx.put(&row)?;
    Ok(row)
}

/// Tells the workers, unless they were told on this wake stream; says whether it did. A wake stream that is
/// missing, closed or not JSON is nobody's; claiming works without it. Announcements wake nobody by themselves, or
/// two subscriptions could wake each other forever.
fn announce(tx: &mut Tx<'_>, row: &mut Subscription, because_of: &str) -> Result<bool> {
    let (Some(wake), Wakes::PullWake { wake_stream }) = (&mut row.wake, &row.wakes) else { return Ok(false) };
    let now = tx.now();
    let found = streams::row(tx, &row.owner, wake_stream)?;
    let takes = |stream: &Stream| !stream.gone && !stream.closed && !stream.is_over(now) && stream.is_json();
    let Some(mut stream) = found.filter(takes) else { return Ok(false) };
    if wake.announced_on.as_ref() == Some(&stream.id) {
        return Ok(false);
    }
    let event = json!([{
        "type": "wake", "subscription_id": row.name, "stream": because_of,
        "generation": row.generation, "ts": now,
    }]);
    tx.log_append(stream.id.as_str(), 1, event.to_string())?;
    streams::append::note(tx, &mut stream, false)?;
    wake.announced_on = Some(stream.id);
    Ok(true)
}

/// A wake that no worker has heard of, because there was no wake stream when it began, or there is another by now,
/// is told with the next growth.
fn announce_again(tx: &mut Tx<'_>, mut row: Subscription, because_of: &str) -> Result<()> {
    let waits = row.wake.as_ref().is_some_and(Wake::is_free);
    if waits && announce(tx, &mut row, because_of)? { tx.put(&row) } else { Ok(()) }
}

/// Ends the wake; if more is pending, the next begins at once. Says whether it did.
pub(super) fn finish(tx: &mut Tx<'_>, mut row: Subscription) -> Result<bool> {
    (row.wake, row.due_at, row.deliver_at, row.failures) = (None, None, None, 0);
    match links::pending(tx, &row)?.first() {
        Some((link, _)) => begin(tx, row, &link.path).map(|_| true),
        None => tx.put(&row).map(|()| false),
    }
}

/// What the holder of a wake is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    pub id: Id<Subscription>,
    pub owner: String,
    pub name: String,
    pub wake_id: String,
    pub generation: u64,
    pub streams: Vec<LinkView>,
    pub lease_ttl_ms: u64,
    pub origin: String,
    pub webhook_url: Option<String>,
}

/// Gives the wake to somebody for one lease, and remembers what that one is told: where the streams end now.
fn hold(tx: &mut Tx<'_>, mut row: Subscription, holder: Option<String>) -> Result<Held> {
    let until = tx.now() + row.lease_ttl_ms;
    let wake = row.wake.as_mut().ok_or_else(|| Error::internal("holding a wake that has not begun"))?;
    wake.holder = holder;
    wake.lease_expires_at = Some(until);
    let wake_id = wake.wake_id.clone();
    (row.due_at, row.deliver_at) = (Some(until), None);
    tx.put(&row)?;
    for (link, tail) in links::pending(tx, &row)? {
        tx.put(&Link { woken_in: Some(row.generation), woken_at: Some(tail), ..link })?;
    }
    let streams = link_views(tx, &row)?;
    let webhook_url = match &row.wakes {
        Wakes::Webhook { url } => Some(url.clone()),
        Wakes::PullWake { .. } => None,
    };
    let Subscription { id, owner, name, generation, lease_ttl_ms, origin, .. } = row;
    Ok(Held { id, owner, name, wake_id, generation, streams, lease_ttl_ms, origin, webhook_url })
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    pub owner: String,
    pub name: String,
    pub worker: String,
}

/// `subscriptions:claim`: a worker takes the present wake, or begins one if something is pending.
pub fn claim(tx: &mut Tx<'_>, _ctx: &CallContext, args: Claim) -> Result<Held> {
    limits::check_bytes("worker", &args.worker, limits::NAME_BYTES)?;
    let mut row = owned(tx, &args.owner, &args.name)?;
    if !matches!(row.wakes, Wakes::PullWake { .. }) {
        return Err(Error::bad_request("The subscription is delivered by webhook; there is nothing to claim."));
    }
    // A lease that has run out is over, even if nobody has looked at it yet.
    let now = tx.now();
    row.wake = row.wake.filter(|wake| !wake.is_expired(now));
    if let Some(holder) = row.wake.as_ref().and_then(|wake| wake.holder.clone()) {
        return Err(Error::new(Code::StreamConflict, "Another worker holds the wake.")
            .with("reason", "ALREADY_CLAIMED")
            .with("holder", holder)
            .with("generation", row.generation));
    }
    let Some((pending, _)) = links::pending(tx, &row)?.into_iter().next() else {
        return Err(Error::new(Code::StreamConflict, "Nothing is pending.").with("reason", "NO_PENDING_WORK"));
    };
    let row = if row.wake.is_none() { begin(tx, row, &pending.path)? } else { row };
    hold(tx, row, Some(args.worker))
}

/// `subscriptions:nextDue`: when the next lease is over.
pub fn next_due(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    let first = tx.query::<Subscription>(subscription::BY_DUE).ge(0_u64).first()?;
    Ok(first.and_then(|row| row.due_at))
}

/// `subscriptions:advance`: ends one wake whose lease ran out. Whether there was one; call again until not.
pub fn advance(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<bool> {
    let now = tx.now();
    let due = tx.query::<Subscription>(subscription::BY_DUE).ge(0_u64).le(now).first()?;
    let Some(mut row) = due else { return Ok(false) };
    if row.wake.as_ref().is_some_and(Wake::is_free) {
        (row.deliver_at, row.due_at) = (row.due_at, None);
        tx.put(&row)?;
    } else {
        finish(tx, row)?;
    }
    Ok(true)
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Except {
    /// Owners who have as many deliveries on their way as they may.
    #[serde(default)]
    pub owners: Vec<String>,
}

/// `subscriptions:nextDelivery`: when the next wake is to be delivered.
pub fn next_delivery(tx: &mut Tx<'_>, _ctx: &CallContext, args: Except) -> Result<Option<u64>> {
    Ok(first_delivery(tx, &args)?.and_then(|row| row.deliver_at))
}

/// `subscriptions:deliver`: hands out one wake that is to be delivered now, for one lease, which begins with
/// this. Null if there is none.
pub fn deliver(tx: &mut Tx<'_>, _ctx: &CallContext, args: Except) -> Result<Option<Held>> {
    let now = tx.now();
    let row = first_delivery(tx, &args)?.filter(|row| row.deliver_at.is_some_and(|at| at <= now));
    row.map(|row| hold(tx, row, None)).transpose()
}

fn first_delivery(tx: &mut Tx<'_>, except: &Except) -> Result<Option<Subscription>> {
    // No more than that can stand before the first of another owner.
    let passed = except.owners.len() * limits::SUBSCRIPTIONS;
    let waiting = tx.query::<Subscription>(subscription::BY_DELIVERY).ge(0_u64).take(passed + 1)?;
    Ok(waiting.into_iter().find(|row| !except.owners.contains(&row.owner)))
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delivered {
    pub id: Id<Subscription>,
    pub generation: u64,
    /// Whether the receiver took it.
    pub ok: bool,
    /// Whether it said that it is done with everything it was told.
    pub done: bool,
}

/// `subscriptions:delivered`: how a delivery went. One that failed is tried again later, with growing pauses.
pub fn delivered(tx: &mut Tx<'_>, _ctx: &CallContext, args: Delivered) -> Result<()> {
    let Some(mut row) = tx.get(&args.id)? else { return Ok(()) };
    let now = tx.now();
    let Some(wake) = row.wake.as_mut().filter(|_| row.generation == args.generation) else { return Ok(()) };
    if !args.ok {
        // It has called back meanwhile, so it has the wake: only its answer was lost.
        if wake.holder.is_some() {
            return Ok(());
        }
        wake.lease_expires_at = None;
        row.due_at = None;
        row.deliver_at = Some(now + pause(row.failures, &wake.wake_id));
        row.failures += 1;
        return tx.put(&row);
    }
    if args.done {
        for mut link in links::woken(tx, &row)? {
            if link.woken_at > link.acked {
                link.acked = link.woken_at;
                link.settle(links::tail(tx, &row.owner, &link.path)?);
                tx.put(&link)?;
            }
        }
        return finish(tx, row).map(drop);
    }
    if row.failures > 0 {
        row.failures = 0;
        tx.put(&row)?;
    }
    Ok(())
}

/// The pause after a failure: twice the one before, less up to a fifth, so that what failed together is not tried
/// together. By the wake's id: the same transaction must come to the same pause.
fn pause(failures: u32, wake_id: &str) -> u64 {
    let pause = (FIRST_PAUSE_MS << failures.min(6)).min(LONGEST_PAUSE_MS);
    let spread = Sha256::digest(format!("{wake_id}.{failures}"))[0];
    pause - pause * u64::from(spread) / (5 * u64::from(u8::MAX))
}
