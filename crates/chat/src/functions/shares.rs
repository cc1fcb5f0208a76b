//! Shares as the owner of a thread handles them: made, listed, ended. Reading through one is in [`view`],
//! taking a copy in [`copy`].
//!
//! A mutation's answer is remembered, so none of them carries a token; queries show it to the owner.

pub mod copy;
mod expire;
pub mod tokens;
pub mod view;
mod visible;

pub use expire::{expire, next_expiry};
pub use visible::SharedMessage;

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Order, Tx};

use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::tables::audit::Outcome;
use crate::tables::{Audience, Includes, Share, ShareMode, ShareView, Thread, User, share};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub thread_id: Id<Thread>,
    pub mode: ShareMode,
    /// Milliseconds since the Unix epoch; absent is as long as the server allows.
    pub expires_at: Option<u64>,
    pub includes: Option<Includes>,
}

/// `shares:create`: a link. `shares:get` tells its path.
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<Id<Share>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    if !ctx.settings.share_links {
        let message = "Links are switched off on this server ([sharing] links).";
        return Err(Error::new(Code::Forbidden, message).with("reason", "links_off"));
    }
    check_room(tx, &thread)?;
    let expires_at = expiry(tx, ctx, args.expires_at)?;
    let mut share = blank(tx, &thread, Audience::Link, args.mode);
    share.includes = args.includes.unwrap_or_default();
    share.token_hash = Some(tokens::hash_of(ctx, share.id.as_str())?);
    (share.expires_at, share.due_at) = (expires_at, expires_at);
    if args.mode == ShareMode::Snapshot {
        share.title = Some(thread.title.clone());
        share.through_seq = thread.next_seq.checked_sub(1);
    }
    tx.put(&share)?;
    audit::record(tx, ctx, "share.create", share.id.as_str(), Outcome::Done)?;
    Ok(share.id)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    pub thread_id: Id<Thread>,
    /// The person, by the address that they sign in with …
    pub email: Option<String>,
    /// … or by id.
    pub user_id: Option<Id<User>>,
    /// Milliseconds since the Unix epoch; absent is as long as the server allows.
    pub expires_at: Option<u64>,
    pub includes: Option<Includes>,
}

/// `shares:grant`: one person reads the thread as it goes on. Doing it again changes the same share. For an
/// address the answer is the same whether anybody has it or not.
pub fn grant(tx: &mut Tx<'_>, ctx: &CallContext, args: Grant) -> Result<Id<Share>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let (viewer_id, viewer_email) = match (args.user_id, args.email) {
        (Some(user), None) => (Some(known_viewer(tx, &thread, user)?), None),
        (None, Some(email)) => (None, Some(address(&email)?)),
        _ => return Err(Error::bad_request("either email or userId names the person").with("path", "email")),
    };
    let expires_at = expiry(tx, ctx, args.expires_at)?;
    let same = |share: &Share| {
        share.audience == Audience::Users && share.viewer_id == viewer_id && share.viewer_email == viewer_email
    };
    let now = tx.now();
    let earlier = open_of(tx, &thread)?.into_iter().find(|share| same(share) && share.is_open(now));
    let mut share = match earlier {
        Some(share) => share,
        None => {
            check_room(tx, &thread)?;
            blank(tx, &thread, Audience::Users, ShareMode::Live)
        }
    };
    (share.viewer_id, share.viewer_email) = (viewer_id, viewer_email);
    share.includes = args.includes.unwrap_or_default();
    (share.expires_at, share.due_at) = (expires_at, expires_at);
    tx.put(&share)?;
    audit::record(tx, ctx, "share.grant", share.id.as_str(), Outcome::Done)?;
    Ok(share.id)
}

fn known_viewer(tx: &mut Tx<'_>, thread: &Thread, user: Id<User>) -> Result<Id<User>> {
    if user == thread.user_id {
        return Err(Error::bad_request("userId: this is the owner of the thread").with("path", "userId"));
    }
    if tx.get(&user)?.is_none() {
        return Err(Error::not_found("user"));
    }
    Ok(user)
}

/// An address as it is compared.
fn address(given: &str) -> Result<String> {
    check_bytes("email", given, limits::EMAIL_BYTES)?;
    let address = given.trim().to_lowercase();
    let parts = address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !parts || address.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Error::bad_request("email: expected an address like ada@example.com").with("path", "email"));
    }
    Ok(address)
}

fn expiry(tx: &Tx<'_>, ctx: &CallContext, wanted: Option<u64>) -> Result<Option<u64>> {
    let now = tx.now();
    let Some(at) = wanted else { return Ok(ctx.settings.share_ms.map(|most| now + most)) };
    let most = ctx.settings.share_ms.unwrap_or(limits::LONGEST_SHARE_MS);
    if at <= now || at > now + most {
        let message = format!("expiresAt: in the future, and at most {} days from now", most / 86_400_000);
        return Err(Error::bad_request(message).with("path", "expiresAt"));
    }
    Ok(Some(at))
}

fn blank(tx: &mut Tx<'_>, thread: &Thread, audience: Audience, mode: ShareMode) -> Share {
    let now = tx.now();
    Share {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: thread.id.clone(),
        audience,
        mode,
        includes: Includes::default(),
        token_hash: None,
        viewer_id: None,
        viewer_email: None,
        title: None,
        through_seq: None,
        created_at: now,
        expires_at: None,
        revoked_at: None,
        open: true,
        due_at: None,
    }
}

fn open_of(tx: &mut Tx<'_>, thread: &Thread) -> Result<Vec<Share>> {
    tx.query::<Share>(share::BY_THREAD).eq(&thread.id).eq(true).order(Order::Desc).take(limits::SHARES)
}

fn check_room(tx: &mut Tx<'_>, thread: &Thread) -> Result<()> {
    check_count("shares of the thread", open_of(tx, thread)?.len() + 1, limits::SHARES)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {
    pub thread_id: Id<Thread>,
}

/// `shares:list`: those that can be read, newest first.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, args: List) -> Result<Vec<ShareView>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let now = tx.now();
    let open = open_of(tx, &thread)?.into_iter().filter(|share| share.is_open(now));
    Ok(open.map(|share| seen(ctx, share, now)).collect())
}

fn seen(ctx: &CallContext, share: Share, now: u64) -> ShareView {
    let path = tokens::path_of(ctx, &share);
    ShareView::new(share, now, path)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub share_id: Id<Share>,
}

/// `shares:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<ShareView> {
    let (_, share) = owned::share(tx, &ctx.principal, &args.share_id)?;
    Ok(seen(ctx, share, tx.now()))
}

/// `shares:revoke`: for good; a second time changes nothing. Views that are open end with the commit.
pub fn revoke(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let (_, mut share) = owned::share(tx, &ctx.principal, &args.share_id)?;
    if share.revoked_at.is_none() {
        share.revoked_at = Some(tx.now());
        share.close();
        tx.put(&share)?;
        audit::record(tx, ctx, "share.revoke", share.id.as_str(), Outcome::Done)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn sh_03_an_address_is_compared_in_lower_case() {
        assert_eq!(address(" Ada@Example.COM ").unwrap(), "ada@example.com");
        for bad in ["", "ada", "@example.com", "ada@", "a b@c", "a@b\nc"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }
}
