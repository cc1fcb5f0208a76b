//! A person, a guest, or the account of a service key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserKind {
    Full,
    /// A guest.
    Anonymous,
    Service,
}

/// Who a verified token speaks of: one row per issuer and subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    #[serde(rename = "_id")]
    pub id: Id<User>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub issuer: String,
    pub subject: String,
    pub kind: UserKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address of an image, `https://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    pub created_at: u64,
    pub updated_at: u64,
    /// The account is being deleted; when its erasure was last at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving_at: Option<u64>,
}

static INDEXES: [Index; 2] =
    [Index::unique("by_identity", &["issuer", "subject"]), Index::new("by_leaving", &["leavingAt"])];
pub static TABLE: Table = Table { name: "users", prefix: "usr", indexes: &INDEXES };
pub static BY_IDENTITY: &Index = &INDEXES[0];
pub static BY_LEAVING: &Index = &INDEXES[1];

impl Document for User {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A user as that user sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    #[serde(rename = "_id")]
    pub id: Id<User>,
    pub kind: UserKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let (name, email, picture) = (user.name.clone(), user.email.clone(), user.picture.clone());
        Self { id: user.id.clone(), kind: user.kind, name, email, picture }
    }
}
