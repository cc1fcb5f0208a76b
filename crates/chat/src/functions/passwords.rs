//! Accounts with e-mail and password. Passwords are hashed and compared outside, where it may take time;
//! here come and go only hashes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::Nothing;
use super::credentials::{OpenSession, check_hash, end_sessions, open_session};
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::tables::audit::Outcome;
use crate::tables::password::{self, AdminView, normalised};
use crate::tables::{Credential, Password, User, UserKind, user};

/// The issuer of accounts of our own; a subject of it is the user's own id.
const ISSUER: &str = "spool:account";
/// A PHC string of Argon2id has about a hundred.
const HASH_BYTES: usize = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Find {
    pub email: Option<String>,
    pub user_id: Option<Id<User>>,
}

/// What a password is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub user_id: Id<User>,
    pub email: String,
    /// Absent until a password is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// `passwords:find`: null without an account of this address, or of this user.
pub fn find(tx: &mut Tx<'_>, _ctx: &CallContext, args: Find) -> Result<Option<Found>> {
    let row = match (args.email, args.user_id) {
        (Some(email), None) => by_email(tx, &email)?,
        (None, Some(user)) => tx.query::<Password>(password::BY_USER).eq(&user).first()?,
        _ => return Err(Error::bad_request("either email or userId")),
    };
    Ok(row.map(|row| Found { user_id: row.user_id, email: row.email, hash: row.hash }))
}

fn by_email(tx: &mut Tx<'_>, email: &str) -> Result<Option<Password>> {
    let Some(email) = normalised(email) else { return Ok(None) };
    tx.query::<Password>(password::BY_EMAIL).eq(email.as_str()).first()
}

/// The hash of a one-time token, and its end in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reset {
    pub hash: String,
    pub expires_at: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub email: String,
    pub name: Option<String>,
    /// A PHC string; absent where the person chooses by a link.
    pub hash: Option<String>,
    pub reset: Option<Reset>,
    #[serde(default)]
    pub is_admin: bool,
    /// Whether the address is known to be the person's.
    #[serde(default)]
    pub email_verified: bool,
}

/// `passwords:create`: an account; `already_exists` if the address has one.
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<Id<User>> {
    let bad = || Error::bad_request("email: not an address like name@example.com").with("path", "email");
    let email = normalised(&args.email).ok_or_else(bad)?;
    if let Some(name) = &args.name {
        check_bytes("name", name, limits::TITLE_BYTES)?;
    }
    if by_email(tx, &email)?.is_some() {
        return Err(Error::new(Code::AlreadyExists, "There is an account with this address."));
    }
    let now = tx.now();
    let account = User::new(tx, ISSUER.to_owned(), String::new(), UserKind::Full);
    let user = User {
        subject: account.id.to_string(),
        email: Some(email.clone()),
        name: args.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
        is_admin: args.is_admin,
        email_verified: args.email_verified,
        ..account
    };
    tx.put(&user)?;
    let mut row = Password {
        id: tx.new_id(),
        creation_time: now as f64,
        user_id: user.id.clone(),
        email,
        hash: None,
        reset_hash: None,
        reset_expires_at: None,
        created_at: now,
        updated_at: now,
    };
    row.hash = args.hash.map(checked).transpose()?;
    put_reset(&mut row, args.reset)?;
    tx.put(&row)?;
    audit::record_for(tx, ctx, &user.id, "account.create", user.id.as_str())?;
    Ok(user.id)
}

fn checked(hash: String) -> Result<String> {
    check_bytes("hash", &hash, HASH_BYTES)?;
    if hash.starts_with("$argon2id$") {
        return Ok(hash);
    }
    Err(Error::bad_request("hash: a PHC string of Argon2id").with("path", "hash"))
}

fn put_reset(row: &mut Password, reset: Option<Reset>) -> Result<()> {
    if let Some(Reset { hash, expires_at }) = reset {
        check_hash("reset.hash", &hash)?;
        (row.reset_hash, row.reset_expires_at) = (Some(hash), Some(expires_at));
    }
    Ok(())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignIn {
    /// What the password was compared with.
    pub hash: String,
    pub session: OpenSession,
}

/// `passwords:signIn`: a session, or null if the password was changed since it was compared.
pub fn sign_in(tx: &mut Tx<'_>, ctx: &CallContext, args: SignIn) -> Result<Option<Id<Credential>>> {
    let row = tx.query::<Password>(password::BY_USER).eq(&args.session.user_id).first()?;
    match row.filter(|row| row.hash.as_ref() == Some(&args.hash)) {
        Some(_) => open_session(tx, ctx, args.session).map(Some),
        None => Ok(None),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    pub user_id: Id<User>,
    /// What the old password was compared with.
    pub old_hash: String,
    pub hash: String,
    /// The session that stays.
    pub session_id: Id<Credential>,
}

/// `passwords:change`: ends every other session. False if the password was changed since it was compared.
pub fn change(tx: &mut Tx<'_>, ctx: &CallContext, args: Change) -> Result<bool> {
    let row = tx.query::<Password>(password::BY_USER).eq(&args.user_id).first()?;
    let Some(row) = row.filter(|row| row.hash.as_ref() == Some(&args.old_hash)) else { return Ok(false) };
    set(tx, row, args.hash)?;
    end_sessions(tx, &args.user_id, Some(&args.session_id))?;
    audit::record_for(tx, ctx, &args.user_id, "password.change", args.user_id.as_str())?;
    Ok(true)
}

/// A new password, which makes every link to set one worthless.
fn set(tx: &mut Tx<'_>, mut row: Password, hash: String) -> Result<()> {
    row.hash = Some(checked(hash)?);
    (row.reset_hash, row.reset_expires_at) = (None, None);
    row.updated_at = tx.now();
    tx.put(&row)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowReset {
    pub email: String,
    pub reset: Reset,
}

/// `passwords:allowReset`: whoever has the token may set another password; an earlier token is worthless.
/// Answers with the address as it is stored, which a link must go to and no other; null without an account.
pub fn allow_reset(tx: &mut Tx<'_>, ctx: &CallContext, args: AllowReset) -> Result<Option<String>> {
    let Some(mut row) = by_email(tx, &args.email)? else { return Ok(None) };
    put_reset(&mut row, Some(args.reset))?;
    row.updated_at = tx.now();
    tx.put(&row)?;
    // Whoever asked has proved nothing: the entry is not of the account's person.
    audit::record(tx, ctx, "password.link", row.user_id.as_str(), Outcome::Done)?;
    Ok(Some(row.email))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetOne {
    /// SHA-256 of the token.
    pub reset_hash: String,
    pub hash: String,
}

/// `passwords:reset`: sets the password and ends every session; null for a token that is used, old or
/// made up. Who has the token got it at the address, or from the operator.
pub fn reset(tx: &mut Tx<'_>, ctx: &CallContext, args: ResetOne) -> Result<Option<Found>> {
    let Some(row) = resettable(tx, &args.reset_hash)? else { return Ok(None) };
    let found = Found { user_id: row.user_id.clone(), email: row.email.clone(), hash: Some(args.hash.clone()) };
    if let Some(mut user) = tx.get(&row.user_id)?.filter(|user| !user.email_verified) {
        user.email_verified = true;
        tx.put(&user)?;
    }
    end_sessions(tx, &row.user_id, None)?;
    set(tx, row, args.hash)?;
    audit::record_for(tx, ctx, &found.user_id, "password.reset", found.user_id.as_str())?;
    Ok(Some(found))
}

fn resettable(tx: &mut Tx<'_>, reset_hash: &str) -> Result<Option<Password>> {
    let now = tx.now();
    let row = tx.query::<Password>(password::BY_RESET).eq(reset_hash).first()?;
    Ok(row.filter(|row| row.reset_expires_at.is_some_and(|expiry| expiry > now)))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// SHA-256 of the token.
    pub reset_hash: String,
}

/// `passwords:forReset`: whose password a token sets, or null.
pub fn for_reset(tx: &mut Tx<'_>, _ctx: &CallContext, args: Token) -> Result<Option<Found>> {
    let row = resettable(tx, &args.reset_hash)?;
    Ok(row.map(|row| Found { user_id: row.user_id, email: row.email, hash: None }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Promote {
    pub email: String,
}

/// `passwords:promote`: the account's person runs the server from now on. False without such an account. Refused
/// where anybody could have made the account: a link to its address says whose it is.
pub fn promote(tx: &mut Tx<'_>, ctx: &CallContext, args: Promote) -> Result<bool> {
    let Some(row) = by_email(tx, &args.email)? else { return Ok(false) };
    let mut user = tx.get(&row.user_id)?.ok_or_else(|| Error::internal("an account without its user"))?;
    if !user.email_verified {
        let message = "Nobody vouches for the address of this account. Send a link with spool admin reset first.";
        return Err(Error::new(Code::Forbidden, message).with("reason", "email_unverified"));
    }
    if !user.is_admin {
        (user.is_admin, user.updated_at) = (true, tx.now());
        tx.put(&user)?;
        audit::record(tx, ctx, "admin.promote", user.id.as_str(), Outcome::Done)?;
    }
    Ok(true)
}

/// `passwords:admins`: who runs the server.
pub fn admins(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Vec<AdminView>> {
    let users = tx.query::<User>(user::BY_ADMIN).eq(true).take(limits::LISTED)?;
    let mut admins = Vec::with_capacity(users.len());
    for user in users {
        let row = tx.query::<Password>(password::BY_USER).eq(&user.id).first()?;
        let has_password = row.as_ref().is_some_and(|row| row.hash.is_some());
        let email = row.map(|row| row.email).or(user.email);
        admins.push(AdminView { user_id: user.id, email, has_password, created_at: user.created_at });
    }
    Ok(admins)
}
