//! From a share to a thread that somebody else owns, to be read and nothing else.
//!
//! Every reason not to show it gives the same answer: an unknown token, one that is over, a share with
//! somebody else, a removed thread, links that are switched off. Must never be used by a function that
//! changes the thread.

use spool_protocol::{Error, Result};
use spool_store::{Id, Tx};

use super::find_thread;
use crate::context::CallContext;
use crate::functions::shares::tokens;
use crate::principal::Principal;
use crate::tables::{Audience, Share, Thread, User, UserKind, share};

/// What a reader of a share has in hand: the token of a link, or the id of a share with a named person.
#[derive(Debug, Clone, Copy)]
pub enum Ticket<'a> {
    Token(&'a str),
    Id(&'a Id<Share>),
}

impl<'a> Ticket<'a> {
    /// Exactly one of the two arguments.
    pub fn of(token: Option<&'a str>, id: Option<&'a Id<Share>>) -> Result<Self> {
        match (token, id) {
            (Some(token), None) => Ok(Self::Token(token)),
            (None, Some(id)) => Ok(Self::Id(id)),
            _ => Err(Error::bad_request("either token or shareId says what to read").with("path", "token")),
        }
    }
}

/// The shared thread, if the caller may read it now.
pub fn open(tx: &mut Tx<'_>, ctx: &CallContext, ticket: Ticket<'_>) -> Result<(Thread, Share)> {
    find(tx, ctx, ticket)?.ok_or_else(missing)
}

pub(crate) fn missing() -> Error {
    Error::not_found("share")
}

fn find(tx: &mut Tx<'_>, ctx: &CallContext, ticket: Ticket<'_>) -> Result<Option<(Thread, Share)>> {
    let share = match ticket {
        Ticket::Token(token) if ctx.settings.share_links => {
            tx.query::<Share>(share::BY_TOKEN).eq(tokens::hash(token).as_str()).first()?
        }
        Ticket::Token(_) => None,
        Ticket::Id(id) => tx.get(id)?,
    };
    let now = tx.now();
    let Some(share) = share.filter(|share| share.is_open(now)) else { return Ok(None) };
    if let Ticket::Id(_) = ticket
        && !is_viewer(tx, ctx, &share)?
        && !is_owner(tx, &ctx.principal, &share)?
    {
        return Ok(None);
    }
    Ok(live_thread(tx, &share)?.map(|thread| (thread, share)))
}

/// The thread of a share, whoever asks, unless it was removed.
pub(crate) fn live_thread(tx: &mut Tx<'_>, share: &Share) -> Result<Option<Thread>> {
    Ok(tx.get(&share.thread_id)?.filter(|thread| thread.deleted_at.is_none()))
}

/// The owner sees what the others see. A service does not come this way: the functions of shares are open
/// to anyone, so its scopes were not asked.
fn is_owner(tx: &mut Tx<'_>, principal: &Principal, share: &Share) -> Result<bool> {
    Ok(matches!(principal, Principal::User { .. }) && find_thread(tx, principal, &share.thread_id)?.is_some())
}

/// Whether this is the person that the share names.
fn is_viewer(tx: &mut Tx<'_>, ctx: &CallContext, share: &Share) -> Result<bool> {
    let Principal::User { user } = &ctx.principal else { return Ok(false) };
    if share.audience != Audience::Users {
        return Ok(false);
    }
    if share.viewer_id.as_ref() == Some(user) {
        return Ok(true);
    }
    let Some(address) = &share.viewer_email else { return Ok(false) };
    Ok(address_of(tx, user)?.as_ref() == Some(address))
}

/// The address under which others may share with this user, as it is compared. It must be one that somebody
/// vouches for: whoever could claim any address would read what is shared with it. Tokens of issuers that
/// say it is not verified leave none in the row.
pub(crate) fn address_of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Option<String>> {
    let user = tx.get(user)?.filter(|user| user.kind == UserKind::Full);
    let user = user.filter(|user| user.email_verified || !user.issuer.starts_with("spool:"));
    Ok(user.and_then(|user| user.email).map(|email| email.trim().to_lowercase()))
}
