//! A credential: a service key, or the session of a person on one device. Only the hash of its secret is
//! stored; the secret is shown once, by its maker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    Service,
    /// A person who is signed in on one device.
    Session,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    #[serde(rename = "_id")]
    pub id: Id<Credential>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub kind: CredentialKind,
    /// SHA-256 of the secret, 64 lowercase hex digits.
    pub secret_hash: String,
    /// `*`, `artifacts:*`, or the path of a function. Of services only.
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whom it stands for. A service key has an account of its own: what it creates belongs to it.
    pub user_id: Id<User>,
    pub created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// When it was last seen, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
    /// How the person signed in, as `password`. Of sessions only, like what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What the browser said of itself at the sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The network that it was last used from, coarsened: a hint for its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Credential {
    /// Whether it is taken at `now`.
    pub fn is_valid(&self, now: u64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expiry| expiry > now)
    }
}

static INDEXES: [Index; 5] = [
    Index::unique("by_secret", &["secretHash"]),
    Index::new("by_kind", &["kind", "createdAt"]),
    Index::new("by_user", &["userId", "createdAt"]),
    Index::new("by_revocation", &["revokedAt"]),
    Index::new("by_expiry", &["kind", "expiresAt"]),
];
pub static TABLE: Table = Table { name: "credentials", prefix: "crd", indexes: &INDEXES };
pub static BY_SECRET: &Index = &INDEXES[0];
pub static BY_KIND: &Index = &INDEXES[1];
pub static BY_USER: &Index = &INDEXES[2];
pub static BY_REVOCATION: &Index = &INDEXES[3];
pub static BY_EXPIRY: &Index = &INDEXES[4];

impl CredentialKind {
    /// As it stands in documents and indexes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Session => "session",
        }
    }
}

impl Document for Credential {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// The form in which a secret is stored and looked up. Secrets are random, so a fast hash is enough.
pub fn secret_hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text has the form of a stored secret.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A key as its administrator sees it: without the hash.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    #[serde(rename = "_id")]
    pub id: Id<Credential>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub user_id: Id<User>,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
}

impl From<&Credential> for KeyView {
    fn from(key: &Credential) -> Self {
        Self {
            id: key.id.clone(),
            creation_time: key.creation_time,
            scopes: key.scopes.clone(),
            label: key.label.clone(),
            user_id: key.user_id.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A session as its user sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    #[serde(rename = "_id")]
    pub id: Id<Credential>,
    /// How the person signed in, as `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The network that it was last used from, coarsened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
}

impl From<&Credential> for SessionView {
    fn from(session: &Credential) -> Self {
        Self {
            id: session.id.clone(),
            method: session.method.clone(),
            user_agent: session.user_agent.clone(),
            address: session.address.clone(),
            created_at: session.created_at,
            expires_at: session.expires_at,
            last_used_at: session.last_used_at,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ia_08_the_hash_is_sha_256_in_lowercase_hex() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(super::secret_hash("secret"), hash);
    }
}
