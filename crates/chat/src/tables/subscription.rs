//! Who is to be woken when streams grow, and how far each of those streams was acknowledged.
//!
//! A wake is a state of the row: it begins with a new `generation`, and ends when its holder is done, lets
//! it go, or is silent for a lease. So any process can go on with it.

use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

/// How a subscriber is woken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Wakes {
    /// A signed POST.
    Webhook { url: String },
    /// An event on a stream that workers follow; one of them claims the wake.
    PullWake { wake_stream: String },
}

/// One wake that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wake {
    pub wake_id: String,
    /// The worker, once one has claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Until when somebody works on it; nothing while nobody has claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    #[serde(rename = "_id")]
    pub id: Id<Subscription>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub owner: String,
    /// The subscriber's own name for it.
    pub name: String,
    pub wakes: Wakes,
    /// Paths of streams, with `*` for one segment and `**` for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    pub lease_ttl_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the creator reached this server: the start of the URLs in wakes.
    pub origin: String,
    /// The streams named at creation, sorted: a repeated creation must name the same.
    pub created_with: Vec<String>,
    pub generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Wake>,
    /// Deliveries that failed one after another.
    pub failures: u32,
    /// When the lease of the wake is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
    /// When to deliver the wake. (Older rows have this in `due_at`; `subscriptions:advance` moves it.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<u64>,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_name", &["owner", "name"]),
    Index::new("by_due", &["dueAt"]),
    Index::new("by_delivery", &["deliverAt"]),
];
pub static TABLE: Table = Table { name: "stream_subscriptions", prefix: "sub", indexes: &INDEXES };
pub static BY_NAME: &Index = &INDEXES[0];
pub static BY_DUE: &Index = &INDEXES[1];
pub static BY_DELIVERY: &Index = &INDEXES[2];

impl Document for Subscription {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A stream that a subscription watches. The stream itself need not exist yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    #[serde(rename = "_id")]
    pub id: Id<Link>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub subscription_id: Id<Subscription>,
    pub path: String,
    /// Named by the subscriber.
    pub explicit: bool,
    /// Found by the pattern.
    pub glob: bool,
    /// Up to where the subscriber is done; nothing if it has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked: Option<u64>,
    /// The wake (by its generation) that spoke of this stream last, and the stream's end when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woken_in: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woken_at: Option<u64>,
    /// True while everything is acknowledged; absent otherwise. Finds pending links among any number of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<bool>,
}

impl Link {
    /// Whether something before `tail` is not acknowledged.
    pub fn is_pending(&self, tail: u64) -> bool {
        self.acked.map_or(tail > 0, |acked| tail > acked)
    }

    /// Notes whether anything is pending now that the stream ends at `tail`.
    pub fn settle(&mut self, tail: u64) {
        self.idle = (!self.is_pending(tail)).then_some(true);
    }
}

static LINK_INDEXES: [Index; 4] = [
    Index::unique("by_subscription", &["subscriptionId", "path"]),
    Index::new("by_idle", &["subscriptionId", "idle", "path"]),
    Index::new("by_wake", &["subscriptionId", "wokenIn"]),
    Index::new("by_explicit", &["subscriptionId", "explicit"]),
];
pub static LINK_TABLE: Table = Table { name: "stream_links", prefix: "lnk", indexes: &LINK_INDEXES };
pub static LINKS: &Index = &LINK_INDEXES[0];
pub static BY_IDLE: &Index = &LINK_INDEXES[1];
pub static BY_WAKE: &Index = &LINK_INDEXES[2];
pub static BY_EXPLICIT: &Index = &LINK_INDEXES[3];

impl Document for Link {
    const TABLE: &'static Table = &LINK_TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
