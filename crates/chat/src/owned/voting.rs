//! From an approval to those who may decide it besides the owner of its thread: where the configuration or the
//! asker wants several people.
//!
//! They see the approval and decide it, and nothing else of the thread. Must never open anything to a decision
//! that one person makes alone: that one is the owner.

use std::collections::BTreeSet;

use spool_protocol::{Error, Result};
use spool_store::{Id, Order, Tx};

use super::{find_thread, shared};
use crate::context::CallContext;
use crate::limits;
use crate::principal::Principal;
use crate::tables::{Approval, Audience, Share, Thread, User, UserKind, approval, share};

/// The approval and its thread, if it is the caller's own or waits for the caller's vote, too.
pub fn approval(tx: &mut Tx<'_>, ctx: &CallContext, id: &Id<Approval>) -> Result<(Thread, Approval)> {
    let missing = || Error::not_found("approval");
    let approval = tx.get(id)?.ok_or_else(missing)?;
    if let Some(thread) = find_thread(tx, &ctx.principal, &approval.thread_id)? {
        return Ok((thread, approval));
    }
    let thread = tx.get(&approval.thread_id)?.filter(|thread| thread.deleted_at.is_none()).ok_or_else(missing)?;
    if may_vote(tx, ctx, &thread, &approval)? { Ok((thread, approval)) } else { Err(missing()) }
}

/// Whether the caller is one of the further people of an approval that several decide: somebody with a role that
/// the configuration names, or with whom the owner shares the thread by name. Guests are not: whoever wants a
/// second vote could make one.
fn may_vote(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, approval: &Approval) -> Result<bool> {
    let Some(person) = voter(tx, ctx)? else { return Ok(false) };
    if approval.approvers_needed < 2 {
        return Ok(false);
    }
    if has_role(ctx, &person) {
        return Ok(true);
    }
    let (now, address) = (tx.now(), shared::address_of(tx, &person.id)?);
    let shares = tx.query::<Share>(share::BY_THREAD).eq(&thread.id).eq(true).take(limits::SHARES)?;
    Ok(shares.iter().any(|share| {
        let by_address = address.is_some() && share.viewer_email == address;
        share.is_open(now)
            && share.audience == Audience::Users
            && (share.viewer_id.as_ref() == Some(&person.id) || by_address)
    }))
}

fn voter(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<Option<User>> {
    let Principal::User { user } = &ctx.principal else { return Ok(None) };
    Ok(tx.get(user)?.filter(|user| user.kind == UserKind::Full))
}

/// A role that the user was given. The one that everybody has by default gives no vote, nor does looking at
/// things as another role.
fn has_role(ctx: &CallContext, person: &User) -> bool {
    let known = |role: &&String| ctx.settings.roles.knows(role);
    person.roles.iter().filter(known).any(|role| ctx.settings.approvals.approver_roles.contains(role))
}

/// What waits for a vote of the caller in threads of others, the oldest first, [`limits::AWAITED`] at most. Only what
/// several people decide is looked at, and no more of it than so many bytes.
pub fn awaiting(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<Vec<Approval>> {
    let Some(person) = voter(tx, ctx)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if has_role(ctx, &person) {
        for people in 2..=limits::APPROVERS {
            let waiting = tx.query::<Approval>(approval::BY_VOTES).eq(true).eq(u64::from(people));
            found.extend(waiting.take_within(limits::AWAITED_ROWS, limits::AWAITED_BYTES)?);
        }
    }
    let (mut threads, mut room) = (BTreeSet::new(), limits::SHARED_AWAITED_BYTES);
    for share in shared_with(tx, &person)? {
        if room > 0 && threads.len() < limits::SHARED_WITH_ME && threads.insert(share.thread_id.as_str().to_owned()) {
            let waiting = tx.query::<Approval>(approval::BY_THREAD_VOTES).eq(&share.thread_id).eq(true).ge(2_u64);
            let waiting = waiting.take_within(limits::PENDING_APPROVALS, room)?;
            room = waiting.iter().map(Approval::weight).fold(room, usize::saturating_sub);
            found.extend(waiting);
        }
    }
    found.retain(|row| {
        let mine = row.user_id == person.id || row.votes.iter().any(|vote| vote.user_id == person.id);
        row.approvers_needed > 1 && !mine
    });
    found.sort_by(|a, b| (a.created_at, a.id.as_str()).cmp(&(b.created_at, b.id.as_str())));
    found.dedup_by(|a, b| a.id == b.id);
    found.truncate(limits::AWAITED);
    Ok(found)
}

/// Open shares with this person by name, the newest.
fn shared_with(tx: &mut Tx<'_>, person: &User) -> Result<Vec<Share>> {
    let (now, most) = (tx.now(), limits::SHARED_WITH_ME);
    let mut shares = tx.query::<Share>(share::BY_VIEWER).eq(&person.id).eq(true).order(Order::Desc).take(most)?;
    if let Some(address) = shared::address_of(tx, &person.id)? {
        let by_address = tx.query::<Share>(share::BY_EMAIL).eq(address.as_str()).eq(true).order(Order::Desc);
        shares.extend(by_address.take(most)?);
    }
    shares.retain(|share| share.is_open(now));
    Ok(shares)
}
