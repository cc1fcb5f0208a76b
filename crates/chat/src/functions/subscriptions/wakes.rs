//! The life of a wake: it begins in the transaction that made a stream grow, is delivered or claimed, and
//! ends when its holder is done or silent for too long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::{LinkView, link_views, links, owned};
use crate::context::CallContext;
use crate::functions::{Nothing, streams};
use crate::limits;
use crate::tables::{Link, Stream, Subscription, Wake, Wakes, subscription};

/// The longest pause between two tries of a delivery, in ms.
const LONGEST_PAUSE_MS: u64 = 60_000;

/// A stream has new data after offset `before`: whoever watches it and is idle begins a wake, in the same
/// transaction.
pub(crate) fn stream_grew(tx: &mut Tx<'_>, stream: &Stream, before: u64) -> Result<()> {
    let tail = streams::end(tx, stream)?;
    let watching = tx.query::<Subscription>(subscription::BY_NAME).eq(stream.owner.as_str());
    for row in watching.take(limits::SUBSCRIPTIONS)? {
        if links::grew(tx, &row, stream, before, tail)? && row.wake.is_none() {
            begin(tx, row, &stream.path)?;
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
        }
    }
    Ok(())
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

/// Begins a wake and remembers where the streams end now.
fn begin(tx: &mut Tx<'_>, mut row: Subscription, because_of: &str) -> Result<Subscription> {
    row.generation += 1;
    let id: Id<Subscription> = tx.new_id();
    row.wake = Some(Wake { wake_id: format!("w_{id}"), holder: None, lease_expires_at: None });
    for (link, tail) in links::pending(tx, &row)? {
        tx.put(&Link { woken_in: Some(row.generation), woken_at: Some(tail), ..link })?;
    }
    (row.due_at, row.deliver_at) = (None, None);
    match &row.wakes {
        Wakes::Webhook { .. } => row.deliver_at = Some(tx.now()),
        Wakes::PullWake { wake_stream } => announce(tx, &row, wake_stream, because_of)?,
    }
    tx.put(&row)?;
    Ok(row)
}

/// Tells the workers. A wake stream that is missing, closed or not JSON is nobody's; claiming works
/// without it. Announcements wake nobody by themselves, or two subscriptions could wake each other forever.
fn announce(tx: &mut Tx<'_>, row: &Subscription, wake_stream: &str, because_of: &str) -> Result<()> {
    let now = tx.now();
    let found = streams::row(tx, &row.owner, wake_stream)?;
    let Some(stream) = found.filter(|stream| !stream.gone && !stream.closed && !stream.is_over(now)) else {
        return Ok(());
    };
    if stream.is_json() {
        let event = json!([{
            "type": "wake", "subscription_id": row.name, "stream": because_of,
            "generation": row.generation, "ts": now,
        }]);
        tx.log_append(stream.id.as_str(), 1, event.to_string())?;
    }
    Ok(())
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

/// Gives the wake to somebody for one lease.
fn hold(tx: &mut Tx<'_>, mut row: Subscription, holder: Option<String>) -> Result<Held> {
    let until = tx.now() + row.lease_ttl_ms;
    let wake = row.wake.as_mut().ok_or_else(|| Error::internal("holding a wake that has not begun"))?;
    wake.holder = holder;
    wake.lease_expires_at = Some(until);
    let wake_id = wake.wake_id.clone();
    (row.due_at, row.deliver_at) = (Some(until), None);
    tx.put(&row)?;
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
    if row.wake.as_ref().and_then(|wake| wake.lease_expires_at).is_some_and(|until| until <= now) {
        row.wake = None;
    }
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
    let is_held = row.wake.as_ref().is_some_and(|wake| wake.lease_expires_at.is_some());
    if row.wake.is_none() || is_held {
        finish(tx, row)?;
    } else {
        (row.deliver_at, row.due_at) = (row.due_at, None);
        tx.put(&row)?;
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
        wake.lease_expires_at = None;
        row.due_at = None;
        row.deliver_at = Some(now + (1000 << row.failures.min(6)).min(LONGEST_PAUSE_MS));
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
