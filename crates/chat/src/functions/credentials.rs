//! From the hash of a secret to a principal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;
use spool_store::{Id, Tx};

use crate::context::CallContext;
use crate::tables::{Credential, CredentialKind, User, credential};

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

/// `credentials:find`: null for an unknown, revoked or expired key.
pub fn find(tx: &mut Tx<'_>, _ctx: &CallContext, args: Find) -> Result<Option<Found>> {
    let now = tx.now();
    let key = tx.query::<Credential>(credential::BY_SECRET).eq(args.secret_hash.as_str()).first()?;
    let key = key.filter(|key| key.kind == CredentialKind::Service);
    let valid = key.filter(|key| key.revoked_at.is_none() && key.expires_at.is_none_or(|expiry| expiry > now));
    Ok(valid.map(|key| Found { key: key.id, user: key.user_id, scopes: key.scopes, expires_at: key.expires_at }))
}
