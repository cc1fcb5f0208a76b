//! That somebody deleted their account: kept as long as a token of theirs could still be good, so that none
//! brings the account back. Holds no id and no name, only hashes of them.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Departure {
    #[serde(rename = "_id")]
    pub id: Id<Departure>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    /// [`hash_of_user`]
    pub user_hash: String,
    /// [`hash_of_identity`]: tokens of it that were issued before `at` are refused.
    pub identity_hash: String,
    pub at: u64,
}

static INDEXES: [Index; 2] = [Index::new("by_identity", &["identityHash", "at"]), Index::new("by_age", &["at"])];
pub static TABLE: Table = Table { name: "departures", prefix: "dep", indexes: &INDEXES };
pub static BY_IDENTITY: &Index = &INDEXES[0];
pub static BY_AGE: &Index = &INDEXES[1];

impl Document for Departure {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a user's id, in 64 hexadecimal digits.
pub fn hash_of_user(user: &Id<User>) -> String {
    hash(user.as_str())
}

/// SHA-256 of issuer and subject, in 64 hexadecimal digits.
pub fn hash_of_identity(issuer: &str, subject: &str) -> String {
    hash(&format!("{issuer}\n{subject}"))
}
