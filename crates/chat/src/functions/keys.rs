//! Service keys, as their administrator handles them. The secret itself never comes here.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Error, Result};
use spool_store::{Id, Order, Tx};

use super::Nothing;
use super::credentials::{check_hash, end};
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::tables::{Credential, CredentialKind, KeyView, User, UserKind, credential};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    /// `*`, `artifacts:*`, or paths of functions.
    pub scopes: Vec<String>,
    pub label: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// SHA-256 of the secret, 64 lowercase hex digits.
    pub secret_hash: String,
}

/// `keys:create`: a key with an account of its own.
pub fn create(tx: &mut Tx<'_>, _ctx: &CallContext, args: Create) -> Result<KeyView> {
    check_hash("secretHash", &args.secret_hash)?;
    check_count("scopes", args.scopes.len(), limits::TAGS)?;
    for (at, scope) in args.scopes.iter().enumerate() {
        check_bytes("scopes", scope, limits::NAME_BYTES)?;
        let name = scope.strip_suffix('*').unwrap_or(scope);
        if scope.is_empty() || name.contains('*') || name.contains(char::is_whitespace) {
            let path = format!("scopes[{at}]");
            return Err(
                Error::bad_request(format!("{path}: a scope is *, module:* or module:function")).with("path", path)
            );
        }
    }
    let now = tx.now();
    let id: Id<Credential> = tx.new_id();
    let account = User::new(tx, "spool:key".to_owned(), id.to_string(), UserKind::Service);
    let user = User { name: args.label.clone(), ..account };
    tx.put(&user)?;
    let key = Credential {
        id,
        creation_time: now as f64,
        kind: CredentialKind::Service,
        secret_hash: args.secret_hash,
        scopes: args.scopes,
        label: args.label,
        user_id: user.id,
        created_at: now,
        expires_at: args.expires_at,
        revoked_at: None,
        last_used_at: None,
        method: None,
        user_agent: None,
        address: None,
    };
    tx.put(&key)?;
    Ok(KeyView::from(&key))
}

/// `keys:list`, newest first.
pub fn list(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Vec<KeyView>> {
    let keys = tx
        .query::<Credential>(credential::BY_KIND)
        .eq(CredentialKind::Service.as_str())
        .order(Order::Desc)
        .take(limits::LISTED)?;
    Ok(keys.iter().map(KeyView::from).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoke {
    pub key_id: Id<Credential>,
}

/// `keys:revoke`: for good; a second time changes nothing.
pub fn revoke(tx: &mut Tx<'_>, _ctx: &CallContext, args: Revoke) -> Result<()> {
    let key = tx.get(&args.key_id)?.filter(|key| key.kind == CredentialKind::Service);
    end(tx, key.ok_or_else(|| Error::not_found("key"))?)
}
