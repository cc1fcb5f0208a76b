//! A service key. Only the hash of its secret is stored; the secret is shown once, by its maker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    Service,
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
    /// `*`, `artifacts:*`, or the path of a function.
    pub scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The key's own account: what it creates belongs to it.
    pub user_id: Id<User>,
    pub created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_secret", &["secretHash"]),
    Index::new("by_creation", &["createdAt"]),
    Index::new("by_user", &["userId"]),
];
pub static TABLE: Table = Table { name: "credentials", prefix: "crd", indexes: &INDEXES };
pub static BY_SECRET: &Index = &INDEXES[0];
pub static BY_CREATION: &Index = &INDEXES[1];
pub static BY_USER: &Index = &INDEXES[2];

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
