//! From the hash of a secret to whom it stands for, the sessions of people, and what was revoked.
//!
//! The secrets themselves never come here: a mutation's answer is kept, and must never carry one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::{Id, Order, Tx};

use super::{Deleted, Nothing};
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::tables::{Credential, CredentialKind, User, UserKind, credential, user};

/// How long the id of a revoked credential is told, in milliseconds: longer than any token of a session
/// lives, so that none is taken after it.
const REVOCATIONS_TOLD_MS: u64 = 20 * 60_000;
/// Revoked credentials that are told at most, the newest.
const REVOCATIONS_TOLD: usize = 10_000;
/// Between two notes of a credential's use, in milliseconds.
const TOUCHED_MS: u64 = 60_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Find {
    pub secret_hash: String,
}

/// What a valid key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub key: Id<Credential>,
    pub user: Id<User>,
    pub scopes: Vec<String>,
    /// Milliseconds since the Unix epoch. A live result does not change by the passing of time, so
    /// whoever keeps this checks it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// `credentials:find`: null for an unknown, revoked or expired key. A session is no key.
pub fn find(tx: &mut Tx<'_>, _ctx: &CallContext, args: Find) -> Result<Option<Found>> {
    let key = valid(tx, &args.secret_hash, CredentialKind::Service)?;
    Ok(key.map(|key| Found { key: key.id, user: key.user_id, scopes: key.scopes, expires_at: key.expires_at }))
}

fn valid(tx: &mut Tx<'_>, secret_hash: &str, kind: CredentialKind) -> Result<Option<Credential>> {
    let now = tx.now();
    let row = tx.query::<Credential>(credential::BY_SECRET).eq(secret_hash).first()?;
    Ok(row.filter(|row| row.kind == kind && row.is_valid(now)))
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenSession {
    pub user_id: Id<User>,
    /// SHA-256 of the secret, 64 lowercase hex digits.
    pub secret_hash: String,
    /// Milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// How the person signed in, as `password`.
    pub method: String,
    pub user_agent: Option<String>,
    /// The network of the person, coarsened.
    pub address: Option<String>,
}

/// `credentials:openSession`
pub fn open_session(tx: &mut Tx<'_>, ctx: &CallContext, args: OpenSession) -> Result<Id<Credential>> {
    check_hash("secretHash", &args.secret_hash)?;
    check_bytes("method", &args.method, limits::NAME_BYTES)?;
    let user = tx.get(&args.user_id)?.filter(|user| user.kind != UserKind::Service);
    let user = user.ok_or_else(|| Error::not_found("user"))?;
    let now = tx.now();
    let session = Credential {
        id: tx.new_id(),
        creation_time: now as f64,
        kind: CredentialKind::Session,
        secret_hash: args.secret_hash,
        scopes: Vec::new(),
        label: None,
        user_id: user.id,
        created_at: now,
        expires_at: Some(args.expires_at),
        revoked_at: None,
        last_used_at: Some(now),
        method: Some(args.method),
        user_agent: args.user_agent.map(shortened),
        address: args.address.map(shortened),
    };
    tx.put(&session)?;
    audit::record_for(tx, ctx, &session.user_id, "session.open", session.id.as_str())?;
    Ok(session.id)
}

/// Browsers say much of themselves; more than a name's length is not kept.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::NAME_BYTES));
    text
}

/// A session that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub credential: Id<Credential>,
    pub user: Id<User>,
    /// Milliseconds since the Unix epoch.
    pub expires_at: u64,
}

/// `credentials:session`: null for what is no session, and for one that is over.
pub fn session(tx: &mut Tx<'_>, _ctx: &CallContext, args: Find) -> Result<Option<Session>> {
    let row = valid(tx, &args.secret_hash, CredentialKind::Session)?;
    Ok(row.map(|row| Session { expires_at: row.expires_at.unwrap_or(0), credential: row.id, user: row.user_id }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Touch {
    pub credential_id: Id<Credential>,
    /// The network that it was used from, coarsened.
    pub address: Option<String>,
}

/// `credentials:touch`: notes that it was used, at most once a minute.
pub fn touch(tx: &mut Tx<'_>, _ctx: &CallContext, args: Touch) -> Result<()> {
    let now = tx.now();
    let Some(mut row) = tx.get(&args.credential_id)? else { return Ok(()) };
    if row.is_valid(now) && row.last_used_at.is_none_or(|last| now.saturating_sub(last) >= TOUCHED_MS) {
        row.last_used_at = Some(now);
        row.address = args.address.map(shortened).or(row.address);
        tx.put(&row)?;
    }
    Ok(())
}

/// What was ended lately, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// Of every kind.
    pub credentials: Vec<Id<Credential>>,
    /// Guests that an account has claimed.
    pub guests: Vec<Id<User>>,
}

/// `credentials:revoked`: whoever holds a connection open for one of them ends it.
pub fn revoked(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Revoked> {
    let since = tx.now().saturating_sub(REVOCATIONS_TOLD_MS);
    let lately = tx.query::<Credential>(credential::BY_REVOCATION).ge(since).order(Order::Desc);
    let credentials = lately.take(REVOCATIONS_TOLD)?.into_iter().map(|row| row.id).collect();
    let lately = tx.query::<User>(user::BY_CLAIM).ge(since).order(Order::Desc);
    let guests = lately.take(REVOCATIONS_TOLD)?.into_iter().map(|row| row.id).collect();
    Ok(Revoked { credentials, guests })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub credential_id: Id<Credential>,
}

/// `credentials:revoke`: for good, whatever its kind; a second time changes nothing.
pub fn revoke(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let row = tx.get(&args.credential_id)?.ok_or_else(|| Error::not_found("credential"))?;
    audit::record_for(tx, ctx, &row.user_id, "credential.revoke", row.id.as_str())?;
    end(tx, row)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfUser {
    pub user_id: Id<User>,
    /// The one that stays.
    pub except: Option<Id<Credential>>,
}

/// `credentials:revokeAll`: every credential that stands for a user, but for one.
pub fn revoke_all(tx: &mut Tx<'_>, _ctx: &CallContext, args: OfUser) -> Result<()> {
    end_all(tx, &args.user_id, |row| Some(&row.id) != args.except.as_ref())
}

/// `credentials:sweepable`
pub fn sweepable(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<bool> {
    Ok(!over(tx, 1)?.is_empty())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sweep {
    /// Rows removed in this step.
    pub limit: u32,
}

/// `credentials:sweep`
pub fn sweep(tx: &mut Tx<'_>, _ctx: &CallContext, args: Sweep) -> Result<Deleted> {
    let limit = (args.limit as usize).min(limits::SWEPT_ROWS);
    let sessions = over(tx, limit)?;
    for session in &sessions {
        tx.delete(&session.id)?;
    }
    Ok(Deleted { deleted: sessions.len() as u64, has_more: sessions.len() == limit && limit > 0 })
}

/// Sessions that ended so long ago that no token of theirs is open, the oldest first. Keys stay: their
/// administrator sees what they were.
fn over(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<Credential>> {
    let before = tx.now().saturating_sub(REVOCATIONS_TOLD_MS);
    let sessions = tx.query::<Credential>(credential::BY_EXPIRY).eq(CredentialKind::Session.as_str());
    sessions.gt(0_u64).lt(before).take(limit)
}

/// Ends one credential.
pub(super) fn end(tx: &mut Tx<'_>, mut row: Credential) -> Result<()> {
    if row.revoked_at.is_none() {
        row.revoked_at = Some(tx.now());
        tx.put(&row)?;
    }
    Ok(())
}

/// Ends the sessions of a user, but for one.
pub(crate) fn end_sessions(tx: &mut Tx<'_>, user: &Id<User>, except: Option<&Id<Credential>>) -> Result<()> {
    end_all(tx, user, |row| row.kind == CredentialKind::Session && Some(&row.id) != except)
}

fn end_all(tx: &mut Tx<'_>, user: &Id<User>, ends: impl Fn(&Credential) -> bool) -> Result<()> {
    let rows = tx.query::<Credential>(credential::BY_USER).eq(user).collect()?;
    for row in rows {
        if ends(&row) {
            end(tx, row)?;
        }
    }
    Ok(())
}

/// Refuses what is no stored form of a secret; `field` names it.
pub(super) fn check_hash(field: &str, hash: &str) -> Result<()> {
    if credential::is_hash(hash) {
        return Ok(());
    }
    Err(Error::bad_request(format!("{field}: 64 lowercase hex digits")).with("path", field))
}
