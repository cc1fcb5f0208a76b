//! Guests: people without an account, from their first token to their removal.
//!
//! A guest is a user like any other, with limits ([`crate::quota`]) and an end: an account takes over what it
//! has ([`claim`]), or it is removed after a time without activity. Must never touch what is another user's.

pub mod claim;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Order, Tx};

use super::{Deleted, Nothing, account};
use crate::audit;
use crate::context::CallContext;
use crate::erasure::Tally;
use crate::limits::{self, check_bytes};
use crate::tables::{Thread, User, UserKind, thread, user};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// This server's own.
    pub issuer: String,
    pub subject: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admit {
    pub issuer: String,
    pub subject: String,
    /// When the token was issued that this identity comes with, in milliseconds; absent for a new identity.
    pub issued_ms: Option<u64>,
}

/// `guests:admit`: the guest with this identity, new or known, who is given a token now.
pub fn admit(tx: &mut Tx<'_>, ctx: &CallContext, args: Admit) -> Result<Id<User>> {
    for (field, text) in [("issuer", &args.issuer), ("subject", &args.subject)] {
        check_bytes(field, text, limits::TITLE_BYTES)?;
    }
    if let Some(issued_ms) = args.issued_ms
        && account::has_left(tx, &args.issuer, &args.subject, issued_ms)?
    {
        return Err(account::departed());
    }
    let known = find_row(tx, &args.issuer, &args.subject)?;
    if known.as_ref().is_some_and(|guest| guest.leaving_at.is_some()) {
        return Err(account::departed());
    }
    let is_new = known.is_none();
    let guest = known.unwrap_or_else(|| User::new(tx, args.issuer, args.subject, UserKind::Anonymous));
    check_unclaimed(&guest)?;
    let guest = User { seen_at: Some(tx.now()), ..guest };
    tx.put(&guest)?;
    if is_new {
        audit::record_for(tx, ctx, &guest.id, "user.join", guest.id.as_str())?;
    }
    Ok(guest.id)
}

/// A guest as those who check tokens need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub user: Id<User>,
    /// The account that took over what the guest had. The guest's token is worth nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_into: Option<Id<User>>,
}

/// `guests:find`: null for nobody; refused for one who is leaving.
pub fn find(tx: &mut Tx<'_>, _ctx: &CallContext, args: Identity) -> Result<Option<Found>> {
    let row = find_row(tx, &args.issuer, &args.subject)?.filter(|row| row.kind == UserKind::Anonymous);
    if row.as_ref().is_some_and(|guest| guest.leaving_at.is_some()) {
        return Err(account::departed());
    }
    Ok(row.map(|row| Found { user: row.id, claimed_into: row.claimed_into }))
}

fn find_row(tx: &mut Tx<'_>, issuer: &str, subject: &str) -> Result<Option<User>> {
    tx.query::<User>(user::BY_IDENTITY).eq(issuer).eq(subject).first()
}

/// Refuses what would be made for a guest that is no more: nobody would move it.
pub(crate) fn check_unclaimed(user: &User) -> Result<()> {
    if user.claimed_into.is_none() {
        return Ok(());
    }
    let message = "an account has taken over what this guest had; sign in to that account";
    Err(Error::new(Code::InvalidToken, message).with("reason", "guest_claimed"))
}

/// `guests:idle`: whether somebody may have to be removed. An idle server looks before it writes.
pub fn is_idle(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<bool> {
    Ok(!idle(tx, ctx, 1)?.is_empty())
}

/// Guests that were given no token for the time of retention: the tokens they have are over.
fn idle(tx: &mut Tx<'_>, ctx: &CallContext, limit: usize) -> Result<Vec<User>> {
    let Some(before) = cutoff(tx, ctx) else { return Ok(Vec::new()) };
    tx.query::<User>(user::BY_SEEN).ge(0_u64).lt(before).take(limit)
}

fn cutoff(tx: &Tx<'_>, ctx: &CallContext) -> Option<u64> {
    Some(tx.now().saturating_sub(ctx.settings.guests.retention_ms?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expire {
    /// Rows to mark or remove at most in this call.
    pub limit: usize,
}

/// `guests:expire`: removes guests without activity in the time of retention, in bounded steps, with all that
/// belongs to them; the row of the guest goes last, so that a removal that is cut off is carried on. Counts
/// guests.
pub fn expire(tx: &mut Tx<'_>, ctx: &CallContext, args: Expire) -> Result<Deleted> {
    let limit = args.limit.clamp(1, limits::LISTED);
    let guests = idle(tx, ctx, limit)?;
    let mut may_be_more = guests.len() == limit;
    let (mut left, mut deleted, mut progress) = (limit, 0, false);
    // What a claim still has to move is not the guest's any more.
    for guest in guests.into_iter().filter(|guest| guest.moving_since.is_none()) {
        if was_active(tx, ctx, &guest)? {
            progress = true;
            continue;
        }
        let mut tally = Tally::new(left);
        let gone = account::erase_belongings(tx, ctx, &guest.id, &mut tally)?;
        progress |= tally.left < left;
        left = tally.left;
        if left == 0 {
            may_be_more = true;
            break;
        }
        // What waits for an answer to stop, or for bytes to go, is looked at again.
        if gone {
            tx.delete(&guest.id)?;
            deleted += 1;
            left -= 1;
            progress = true;
        }
    }
    Ok(Deleted { deleted, has_more: may_be_more && progress })
}

/// Whether something happened in a thread of the guest since, which is noted: its time begins anew.
fn was_active(tx: &mut Tx<'_>, ctx: &CallContext, guest: &User) -> Result<bool> {
    let newest = tx.query::<Thread>(thread::BY_ACTIVITY).eq(&guest.id).eq(None::<u64>).order(Order::Desc).first()?;
    let Some((thread, before)) = newest.zip(cutoff(tx, ctx)) else { return Ok(false) };
    if thread.last_activity_at < before {
        return Ok(false);
    }
    tx.put(&User { seen_at: Some(thread.last_activity_at), ..guest.clone() })?;
    Ok(true)
}
