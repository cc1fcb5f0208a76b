//! What the holder of a wake says: how far it is, that it is done, or that it lets go.
//!
//! Who holds a wake is known by its generation: an older holder is fenced off.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::{links, wakes};
use crate::context::CallContext;
use crate::limits::{self, check_count};
use crate::tables::{Subscription, Wakes};

/// Who holds the wake of a webhook once its receiver has called back.
const RECEIVER: &str = "receiver";

/// Which kind of subscription the caller may speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Webhook,
    Worker,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settle {
    /// The subscription that the caller's token speaks of, and the generation it was made for.
    pub id: Id<Subscription>,
    pub token_generation: u64,
    /// The name in the URL.
    pub name: String,
    pub by: By,
    pub wake_id: Option<String>,
    pub generation: Option<u64>,
    #[serde(default)]
    pub acks: Vec<Ack>,
    /// The wake is over; else its lease begins anew.
    #[serde(default)]
    pub done: bool,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    pub path: String,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// Whether the next wake has begun.
    pub next_wake: bool,
}

/// `subscriptions:settle`: all acknowledgements, or none.
pub fn settle(tx: &mut Tx<'_>, _ctx: &CallContext, args: Settle) -> Result<Settled> {
    check_count("acks", args.acks.len(), limits::SUBSCRIPTION_LINKS)?;
    let missing = || Error::not_found("subscription");
    let mut row = tx.get(&args.id)?.filter(|row| row.name == args.name).ok_or_else(missing)?;
    if matches!(row.wakes, Wakes::Webhook { .. }) != (args.by == By::Webhook) {
        return Err(Error::bad_request("The subscription is not of this kind."));
    }
    let (current, now) = (row.generation, tx.now());
    let lease = now + row.lease_ttl_ms;
    let fenced = || Error::new(Code::StreamConflict, "The wake is over.").with("reason", "FENCED");
    let wake = row.wake.as_mut().ok_or_else(fenced)?;
    let same_wake = args.wake_id.as_deref() == Some(wake.wake_id.as_str());
    let same_generation = args.token_generation == current && args.generation == Some(current);
    if !same_generation || !same_wake || wake.is_expired(now) {
        return Err(fenced());
    }
    if args.by == By::Webhook {
        wake.holder = Some(RECEIVER.to_owned());
    }
    wake.lease_expires_at = Some(lease);
    for ack in &args.acks {
        acknowledge(tx, &row, ack)?;
    }
    if args.done {
        return Ok(Settled { next_wake: wakes::finish(tx, row)? });
    }
    // A receiver that calls back has the wake, even if its answer to the delivery was lost: no other try is due.
    (row.due_at, row.deliver_at, row.failures) = (Some(lease), None, 0);
    tx.put(&row)?;
    Ok(Settled { next_wake: false })
}

fn acknowledge(tx: &mut Tx<'_>, row: &Subscription, ack: &Ack) -> Result<()> {
    let refused = |message: &str| Error::new(Code::StreamConflict, message).with("reason", "INVALID_OFFSET");
    let link = links::one(tx, row, &ack.path)?;
    let mut link = link.ok_or_else(|| refused("An acknowledged stream is not part of the subscription."))?;
    if link.acked.is_some_and(|acked| ack.offset < acked) {
        return Err(refused("An acknowledged offset lies before an earlier one."));
    }
    let tail = links::tail(tx, &row.owner, &ack.path)?;
    if ack.offset > tail {
        return Err(refused("An acknowledged offset lies beyond the stream's end."));
    }
    link.acked = Some(ack.offset);
    link.settle(tail);
    tx.put(&link)
}
