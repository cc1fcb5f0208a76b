//! A person, a guest, or the account of a service key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table, Tx};

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
    /// Whether somebody vouches for the address of an account of this server's own: the administrator who made
    /// the account, or a link that was sent there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub email_verified: bool,
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
    /// Of a guest: when it was given a token last, or was active since. Its retention counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<u64>,
    /// Of a guest: the account that took over what it had. Nothing is made for it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_into: Option<Id<User>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<u64>,
    /// Of a claimed guest: when it was claimed, until the last of its rows has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving_since: Option<u64>,
    /// Messages of one day, where there is a quota of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}

/// What a user sent on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Days since the Unix epoch, in UTC.
    pub day: u64,
    pub messages: u64,
}

static INDEXES: [Index; 5] = [
    Index::unique("by_identity", &["issuer", "subject"]),
    Index::new("by_seen", &["seenAt"]),
    Index::new("by_moving", &["movingSince"]),
    Index::new("by_claim", &["claimedAt"]),
    Index::new("by_admin", &["isAdmin", "createdAt"]),
];
pub static TABLE: Table = Table { name: "users", prefix: "usr", indexes: &INDEXES };
pub static BY_IDENTITY: &Index = &INDEXES[0];
pub static BY_SEEN: &Index = &INDEXES[1];
pub static BY_MOVING: &Index = &INDEXES[2];
pub static BY_CLAIM: &Index = &INDEXES[3];
pub static BY_ADMIN: &Index = &INDEXES[4];

impl Document for User {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

impl User {
    /// A new user. Not stored yet.
    pub(crate) fn new(tx: &mut Tx<'_>, issuer: String, subject: String, kind: UserKind) -> Self {
        let now = tx.now();
        Self {
            id: tx.new_id(),
            creation_time: now as f64,
            issuer,
            subject,
            kind,
            email: None,
            email_verified: false,
            name: None,
            picture: None,
            roles: Vec::new(),
            viewing_as_role: None,
            is_admin: false,
            created_at: now,
            updated_at: now,
            seen_at: None,
            claimed_into: None,
            claimed_at: None,
            moving_since: None,
            spent: None,
        }
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
