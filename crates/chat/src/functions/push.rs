//! The browsers of a person that are told when something waits for them.
//!
//! Whether an endpoint may be called is looked at when it is called, after its name was resolved
//! (`server/notices`). Must never answer a mutation with an endpoint or a key: answers are kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::Nothing;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::principal::Principal;
use crate::tables::{Notice, PushSubscription, PushView, User, approval, notice, push};

/// What `PushSubscription.toJSON()` of a browser gives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscribe {
    pub endpoint: String,
    pub keys: Keys,
    /// Browsers send it; it is not looked at.
    #[serde(default, rename = "expirationTime")]
    pub _expiration_time: Option<f64>,
}

/// The browser's keys, base64url without padding (RFC 8291).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keys {
    pub p256dh: String,
    pub auth: String,
}

/// `push:subscribe`: a browser is told for whoever subscribed it last.
pub fn subscribe(tx: &mut Tx<'_>, ctx: &CallContext, args: Subscribe) -> Result<Id<PushSubscription>> {
    let Principal::User { user } = ctx.principal.clone() else {
        return Err(Error::new(Code::Forbidden, "People are told in their browsers, with a token of theirs."));
    };
    if !ctx.settings.approvals.push {
        return Err(Error::new(Code::Forbidden, "This server tells browsers nothing: approvals.push is off."));
    }
    check(&args)?;
    let hash = approval::hash(&args.endpoint);
    let now = tx.now();
    let known = tx.query::<PushSubscription>(push::BY_ENDPOINT).eq(hash.as_str()).first()?;
    if known.as_ref().is_none_or(|row| row.user_id != user) {
        check_count("subscriptions", of(tx, &user)?.len() + 1, limits::PUSH_SUBSCRIPTIONS)?;
    }
    if let Some(row) = known.as_ref().filter(|row| row.user_id != user) {
        // What was owed to somebody else in this browser is theirs no more.
        forget(tx, row)?;
    }
    let (id, created_at) = match known {
        Some(row) if row.user_id == user => (row.id, row.created_at),
        _ => (tx.new_id(), now),
    };
    let Keys { p256dh, auth } = args.keys;
    let endpoint = args.endpoint;
    let row = PushSubscription {
        id: id.clone(),
        creation_time: created_at as f64,
        user_id: user,
        endpoint,
        endpoint_hash: hash,
        p256dh,
        auth,
        created_at,
        failures: 0,
    };
    tx.put(&row)?;
    Ok(id)
}

fn check(args: &Subscribe) -> Result<()> {
    check_bytes("endpoint", &args.endpoint, limits::ENDPOINT_BYTES)?;
    let refused = |path: &str, message: &str| Err(Error::bad_request(format!("{path}: {message}")).with("path", path));
    if !args.endpoint.starts_with("https://") && !args.endpoint.starts_with("http://") {
        return refused("endpoint", "a URL of a push service begins with https://");
    }
    let bytes = |text: &str| BASE64.decode(text.trim_end_matches('=')).unwrap_or_default();
    let point = bytes(&args.keys.p256dh);
    if point.len() != 65 || point[0] != 4 {
        return refused("keys.p256dh", "expected an uncompressed point of P-256, 65 bytes in base64url");
    }
    if bytes(&args.keys.auth).len() != 16 {
        return refused("keys.auth", "expected 16 bytes in base64url");
    }
    Ok(())
}

/// The subscriptions of a user, the oldest first.
pub(super) fn of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Vec<PushSubscription>> {
    tx.query::<PushSubscription>(push::BY_USER).eq(user).take(limits::PUSH_SUBSCRIPTIONS)
}

/// Removes the subscription with what it is still owed.
pub(super) fn forget(tx: &mut Tx<'_>, row: &PushSubscription) -> Result<()> {
    for owed in tx.query::<Notice>(notice::BY_SUBSCRIPTION).eq(&row.id).collect()? {
        tx.delete(&owed.id)?;
    }
    tx.delete(&row.id).map(drop)
}

/// `push:list`
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Vec<PushView>> {
    let user = ctx.user()?.clone();
    Ok(of(tx, &user)?.into_iter().map(PushView::from).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub subscription_id: Id<PushSubscription>,
}

/// `push:unsubscribe`
pub fn unsubscribe(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let row = owned::push(tx, &ctx.principal, &args.subscription_id)?;
    forget(tx, &row)
}
