//! The end of an account: marked in one step, then erased in bounded ones by the graph of ownership.
//!
//! From the mark on nobody writes for the user any more, and no token of theirs is taken. Whoever finds a
//! mark goes on, so a crash anywhere only makes a pause. The user's row goes last.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::{Deleted, Nothing, threads};
use crate::audit;
use crate::context::CallContext;
use crate::erasure::{self, Tally};
use crate::limits;
use crate::principal::Principal;
use crate::tables::audit::Outcome;
use crate::tables::departure::{self, Departure, hash_of_identity, hash_of_user};
use crate::tables::{Thread, User, thread, user};

/// The word that confirms where there is no e-mail address to type.
const WORD: &str = "delete";
/// Silence after which an erasure counts as given up by whoever began it, in milliseconds.
const GIVEN_UP_MS: u64 = 10_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteMyAccount {
    /// The word `delete`, or the account's e-mail address: nobody deletes an account by accident.
    pub confirm: String,
}

/// What an account consisted of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountDeleted {
    /// Rows by table.
    pub deleted: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Leave {
    pub user_id: Id<User>,
    pub confirm: String,
}

/// `account:leave`: the mark. A second time changes nothing.
pub fn leave(tx: &mut Tx<'_>, ctx: &CallContext, args: Leave) -> Result<()> {
    let mut user = tx.get(&args.user_id)?.ok_or_else(departed)?;
    let said = args.confirm.trim();
    let by_email = user.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(said));
    if said != WORD && !by_email {
        let message = format!("confirm: say \"{WORD}\", or the e-mail address of the account");
        return Err(Error::bad_request(message).with("path", "confirm"));
    }
    if user.leaving_at.is_some() {
        return Ok(());
    }
    let at = tx.now();
    user.leaving_at = Some(at);
    tx.put(&user)?;
    let user_hash = hash_of_user(&user.id);
    let identity_hash = hash_of_identity(&user.issuer, &user.subject);
    let row = Departure { id: tx.new_id(), creation_time: at as f64, user_hash: user_hash.clone(), identity_hash, at };
    tx.put(&row)?;
    audit::record(tx, ctx, "account.delete", &user_hash, Outcome::Done)
}

/// The refusal of a credential whose account is deleted.
pub fn departed() -> Error {
    Error::new(Code::InvalidToken, "The account was deleted.").with("reason", "revoked")
}

/// Whether somebody deleted the account of this identity since a token of it was issued.
pub(crate) fn has_left(tx: &mut Tx<'_>, issuer: &str, subject: &str, issued_ms: u64) -> Result<bool> {
    let hash = hash_of_identity(issuer, subject);
    let scan = tx.query::<Departure>(departure::BY_IDENTITY).eq(hash.as_str()).ge(issued_ms);
    Ok(scan.first()?.is_some())
}

/// Refuses a person whose account is deleted, or is just being, and a guest whom an account has taken over:
/// what would be made for them now, nobody would erase or move.
pub(crate) fn check_here(tx: &mut Tx<'_>, principal: &Principal) -> Result<()> {
    match principal {
        Principal::User { user } | Principal::Worker { user, .. } => check_user(tx, user),
        Principal::Anonymous | Principal::Service { .. } | Principal::System => Ok(()),
    }
}

pub(crate) fn check_user(tx: &mut Tx<'_>, user: &Id<User>) -> Result<()> {
    let user = tx.get(user)?.filter(|user| user.leaving_at.is_none()).ok_or_else(departed)?;
    super::guests::check_unclaimed(&user)
}

/// [`check_user`] where an owner is a name that need not be a user's.
pub(crate) fn check_owner(tx: &mut Tx<'_>, owner: &str) -> Result<()> {
    Id::<User>::parse(owner).map_or(Ok(()), |user| check_user(tx, &user))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Erase {
    pub user_id: Id<User>,
    /// Rows to erase at most in this call.
    pub limit: u32,
}

/// What one step erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    pub deleted: BTreeMap<String, u64>,
    /// Nothing is left, not even the user.
    pub done: bool,
    /// Something has to end elsewhere first: an answer that runs, the bytes of files.
    pub waits: bool,
}

/// `account:erase`: the next step for a user who leaves.
pub fn erase(tx: &mut Tx<'_>, ctx: &CallContext, args: Erase) -> Result<Erased> {
    let Some(mut user) = tx.get(&args.user_id)? else {
        return Ok(Erased { deleted: BTreeMap::new(), done: true, waits: false });
    };
    if user.leaving_at.is_none() {
        return Err(Error::internal("an account is erased that nobody deleted"));
    }
    let mut tally = Tally::new((args.limit as usize).clamp(1, limits::SWEPT_ROWS));
    let done = erase_belongings(tx, ctx, &user.id, &mut tally)? && tally.left > 0;
    if done {
        tx.delete(&user.id)?;
        tally.rows.insert("users", 1);
    } else {
        user.leaving_at = Some(tx.now()); // somebody is at work
        tx.put(&user)?;
    }
    let deleted = tally.rows.into_iter().map(|(table, rows)| (table.to_owned(), rows)).collect();
    Ok(Erased { deleted, done, waits: !done && tally.left > 0 })
}

/// What belongs to a user, in the order in which it may go. Says whether nothing is left but the user.
pub(super) fn erase_belongings(tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, tally: &mut Tally) -> Result<bool> {
    let threads_gone = erase_threads(tx, ctx, user, tally)?;
    let others_gone = tally.left > 0 && erasure::erase_of(tx, user, &thread::TABLE, tally)?;
    // Marked files keep their rows until the server has removed their bytes.
    Ok(threads_gone && others_gone && !super::uploads::has_marked(tx, user)?)
}

/// Threads are told to stop first, all of them; those that are still go with all they have.
fn erase_threads(tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, tally: &mut Tally) -> Result<bool> {
    let live = tx.query::<Thread>(thread::BY_ACTIVITY).eq(user).eq(None::<u64>).take(tally.left)?;
    for mut thread in live {
        thread.is_default = false; // with its user even that one goes
        threads::removal::mark(tx, ctx, thread)?;
        tally.left -= 1;
    }
    let mut gone = true;
    for thread in tx.query::<Thread>(thread::BY_ACTIVITY).eq(user).take(limits::LISTED)? {
        let still = thread.active_generation_id.is_none();
        gone &= still && erasure::erase(tx, &thread::TABLE, thread.id.as_str(), tally)?;
    }
    Ok(gone)
}

/// `account:abandoned`: somebody who leaves, and whose erasure nobody is at.
pub fn abandoned(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<Id<User>>> {
    let before = tx.now().saturating_sub(GIVEN_UP_MS);
    let first = tx.query::<User>(user::BY_LEAVING).ge(0_u64).le(before).first()?;
    Ok(first.map(|user| user.id))
}

/// `account:departed`: hashes of the users who left lately: what is open for them is closed.
pub fn recently_departed(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Vec<String>> {
    let newest = tx.query::<Departure>(departure::BY_AGE).order(spool_store::Order::Desc).take(limits::LISTED)?;
    Ok(newest.into_iter().map(|row| row.user_hash).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forget {
    /// Departures from before this time are forgotten, in milliseconds since the Unix epoch.
    pub before: u64,
}

/// `account:forget`: no token of them can be good any more.
pub fn forget(tx: &mut Tx<'_>, _ctx: &CallContext, args: Forget) -> Result<Deleted> {
    let old = tx.query::<Departure>(departure::BY_AGE).lt(args.before).take(limits::SWEPT_ROWS)?;
    for row in &old {
        tx.delete(&row.id)?;
    }
    Ok(Deleted { deleted: old.len() as u64, has_more: old.len() == limits::SWEPT_ROWS })
}
