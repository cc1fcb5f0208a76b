//! Who is to be woken when streams grow, and how far each of those streams was acknowledged.
//!
//! A wake is a state of the row: it begins with a new `generation`, and ends when its holder is done, lets
//! it go, or is silent for a lease. So any process can go on with it.

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use spool_store::{Document, Id, Index, Table};

use super::Stream;

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
    /// The worker, once one has claimed it; of a webhook, that its receiver has called back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Until when somebody works on it; nothing while nobody has claimed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<u64>,
    /// The stream on which workers were told of it; nothing while there is none to tell them on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_on: Option<Id<Stream>>,
}

impl Wake {
    /// Whether its holder was silent for too long.
    pub fn is_expired(&self, now: u64) -> bool {
        self.lease_expires_at.is_some_and(|until| until <= now)
    }

    /// Whether it waits for somebody to take it.
    pub fn is_free(&self) -> bool {
        self.lease_expires_at.is_none()
    }
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
    /// The hash of the streams named at creation: a repeated creation must name the same. (Older rows have the
    /// names themselves.)
    #[serde(deserialize_with = "hash_or_names")]
    pub created_with: String,
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

/// What is kept of the names of streams, sorted, to compare others with.
pub fn names_hash(names: &[String]) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_or_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Hash(String),
        Names(Vec<String>),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Hash(hash) => hash,
        Stored::Names(names) => names_hash(&names),
    })
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

/// Whether something of a stream that ends at `tail` is not acknowledged.
pub fn is_pending(acked: Option<u64>, tail: u64) -> bool {
    acked.map_or(tail > 0, |acked| tail > acked)
}

impl Link {
    /// Notes whether anything is pending now that the stream ends at `tail`.
    pub fn settle(&mut self, tail: u64) {
        self.idle = (!is_pending(self.acked, tail)).then_some(true);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_lists_of_names_apart() {
        let hash = |names: &[&str]| names_hash(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_ne!(hash(&["a", "b"]), hash(&["ab"]));
        assert_ne!(hash(&[]), hash(&[""]));
        assert_eq!(hash(&["a", "b"]).len(), 64);
    }
}
