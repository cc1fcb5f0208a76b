//! How a person signs in by e-mail and password. Only a hash of the password is stored, and only a hash of
//! the token of a reset.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::User;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    #[serde(rename = "_id")]
    pub id: Id<Password>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    /// As [`normalised`].
    pub email: String,
    /// Argon2id, as a PHC string. Absent until its person has chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// SHA-256 of the one-time token that sets another password, 64 lowercase hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_expires_at: Option<u64>,
    pub created_at: u64,
    pub updated_at: u64,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_email", &["email"]),
    Index::unique("by_user", &["userId"]),
    Index::unique("by_reset", &["resetHash"]),
];
pub static TABLE: Table = Table { name: "passwords", prefix: "pwd", indexes: &INDEXES };
pub static BY_EMAIL: &Index = &INDEXES[0];
pub static BY_USER: &Index = &INDEXES[1];
pub static BY_RESET: &Index = &INDEXES[2];

impl Document for Password {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// The longest address (RFC 5321, 4.5.3.1.3, without the brackets).
pub const EMAIL_BYTES: usize = 254;

/// An address as it is stored and compared: trimmed, in lowercase. `None` for what is no address. Only
/// the mail server knows more about the part before the `@`.
pub fn normalised(email: &str) -> Option<String> {
    let email = email.trim().to_lowercase();
    let (name, host) = email.rsplit_once('@')?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c);
    let whole = !name.is_empty() && !name.contains('@') && !host.is_empty() && !host.starts_with('.');
    (whole && email.len() <= EMAIL_BYTES && !email.contains(odd)).then_some(email)
}

/// An administrator, as the command line lists them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminView {
    pub user_id: Id<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether a password was chosen.
    pub has_password: bool,
    pub created_at: u64,
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn ia_02_an_address_is_one_whatever_its_case() {
        assert_eq!(normalised(" Ada@Example.COM ").as_deref(), Some("ada@example.com"));
        assert_eq!(normalised("a+b@localhost").as_deref(), Some("a+b@localhost"));
        for bad in ["", "ada", "@example.com", "ada@", "a@b@c", "a b@c.d", "ada@.com", "a\n@c.d", "<a@c.d>", "a,b@c.d"]
        {
            assert_eq!(normalised(bad), None, "{bad}");
        }
        assert_eq!(normalised(&format!("{}@example.com", "a".repeat(250))), None);
    }
}
