//! A person, a guest, or the account of a service key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use crate::roles::{Roles, effective_role};

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
    /// What this user may be answered as; the first is the usual one. Given by an administrator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The one role in which this user looks at things for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewing_as_role: Option<String>,
    /// Whether this person runs the server. Given on the command line only; opens nobody's threads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_admin: bool,
    pub created_at: u64,
    pub updated_at: u64,
}

static INDEXES: [Index; 2] =
    [Index::unique("by_identity", &["issuer", "subject"]), Index::new("by_admin", &["isAdmin", "createdAt"])];
pub static TABLE: Table = Table { name: "users", prefix: "usr", indexes: &INDEXES };
pub static BY_IDENTITY: &Index = &INDEXES[0];
pub static BY_ADMIN: &Index = &INDEXES[1];

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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_admin: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewing_as_role: Option<String>,
    /// The role in which turns are answered that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<String>,
}

impl UserView {
    pub(crate) fn new(user: &User, roles: &Roles) -> Self {
        Self {
            id: user.id.clone(),
            kind: user.kind,
            name: user.name.clone(),
            email: user.email.clone(),
            picture: user.picture.clone(),
            is_admin: user.is_admin,
            roles: user.roles.clone(),
            viewing_as_role: user.viewing_as_role.clone(),
            effective_role: effective_role(user, None, roles).role,
        }
    }
}
