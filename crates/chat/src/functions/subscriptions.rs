//! Subscriptions to durable streams: who is woken when streams grow, and how far each was acknowledged.
//!
//! Internal functions: the wire hands in the owner, or the subscription that a callback token speaks of.
//! Must never send anything: a wake is a row, and the server delivers what the rows say.

pub mod links;
pub mod settle;
pub mod wakes;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::Tx;

use super::{account, remains, streams};
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::tables::{Link, Stream, Subscription, Wakes, stream, subscription};

/// A subscription by its name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    pub owner: String,
    pub name: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub owner: String,
    pub name: String,
    /// One of the two says how to wake.
    pub webhook_url: Option<String>,
    pub wake_stream: Option<String>,
    pub pattern: Option<String>,
    #[serde(default)]
    pub streams: Vec<String>,
    pub lease_ttl_ms: u64,
    pub description: Option<String>,
    pub origin: String,
}

/// One stream of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkView {
    pub path: String,
    pub explicit: bool,
    /// Nothing before the first acknowledgement of a stream that came after the subscription.
    pub acked: Option<u64>,
    /// Where the stream ends now.
    pub tail: u64,
}

impl LinkView {
    pub fn is_pending(&self) -> bool {
        subscription::is_pending(self.acked, self.tail)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct View {
    pub name: String,
    pub webhook_url: Option<String>,
    pub wake_stream: Option<String>,
    pub pattern: Option<String>,
    /// At most as many as one wake speaks of, those with news first.
    pub streams: Vec<LinkView>,
    /// Whether the subscription watches more than are shown.
    pub truncated: bool,
    pub lease_ttl_ms: u64,
    pub created_at: f64,
    pub description: Option<String>,
    /// Whether the last delivery failed.
    pub failing: bool,
    pub origin: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    pub created: bool,
    pub view: View,
}

/// `subscriptions:create`: watches from the present ends of the streams on. A repetition with the same
/// configuration changes nothing.
pub fn create(tx: &mut Tx<'_>, _ctx: &CallContext, mut args: Create) -> Result<Created> {
    check_bytes("name", &args.name, limits::NAME_BYTES)?;
    check_bytes("pattern", args.pattern.as_deref().unwrap_or_default(), limits::STREAM_PATH_BYTES)?;
    check_bytes("description", args.description.as_deref().unwrap_or_default(), limits::TITLE_BYTES)?;
    // The row is read with every append of its owner, so everything in it is small.
    check_bytes("webhookUrl", args.webhook_url.as_deref().unwrap_or_default(), limits::WEBHOOK_URL_BYTES)?;
    check_bytes("wakeStream", args.wake_stream.as_deref().unwrap_or_default(), limits::STREAM_PATH_BYTES)?;
    check_bytes("origin", &args.origin, limits::WEBHOOK_URL_BYTES)?;
    check_count("streams", args.streams.len(), limits::SUBSCRIPTION_LINKS)?;
    args.streams.sort();
    args.streams.dedup();
    let created_with = subscription::names_hash(&args.streams);
    let wakes = match (args.webhook_url, args.wake_stream) {
        (Some(url), None) => Wakes::Webhook { url },
        (None, Some(wake_stream)) => Wakes::PullWake { wake_stream },
        _ => return Err(Error::bad_request("either webhookUrl or wakeStream says how to wake")),
    };
    if let Some(existing) = find(tx, &args.owner, &args.name)? {
        let same = existing.wakes == wakes
            && existing.pattern == args.pattern
            && existing.created_with == created_with
            && existing.lease_ttl_ms == args.lease_ttl_ms
            && existing.description == args.description;
        if !same {
            return Err(Error::new(Code::AlreadyExists, "A subscription of another configuration has this name."));
        }
        return Ok(Created { created: false, view: view(tx, &existing)? });
    }
    account::check_owner(tx, &args.owner)?;
    let others = tx.query::<Subscription>(subscription::BY_NAME).eq(args.owner.as_str()).count()?;
    check_count("subscriptions", usize::try_from(others).unwrap_or(usize::MAX) + 1, limits::SUBSCRIPTIONS)?;
    let row = Subscription {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        owner: args.owner,
        name: args.name,
        wakes,
        pattern: args.pattern,
        lease_ttl_ms: args.lease_ttl_ms,
        description: args.description,
        origin: args.origin,
        created_with,
        generation: 0,
        wake: None,
        failures: 0,
        due_at: None,
        deliver_at: None,
    };
    tx.put(&row)?;
    for path in &args.streams {
        links::add(tx, &row, path)?;
    }
    if let Some(pattern) = &row.pattern {
        find_by_pattern(tx, &row, pattern)?;
    }
    Ok(Created { created: true, view: view(tx, &row)? })
}

/// Links the streams that exist and match, the first of them, to have something to show. The others are linked
/// when they grow, from where they were then: see [`links::grew`].
fn find_by_pattern(tx: &mut Tx<'_>, row: &Subscription, pattern: &str) -> Result<()> {
    // The literal start of the pattern bounds the scan; `~` is above every character of its end.
    let literal = pattern.split('*').next().unwrap_or_default().to_owned();
    let scan = tx.query::<Stream>(stream::BY_PATH).eq(row.owner.as_str()).ge(literal.as_str());
    let end = format!("{literal}\u{10FFFF}");
    let streams = scan.le(end.as_str()).take(limits::SUBSCRIPTION_LINKS)?;
    for stream in streams {
        if !stream.gone && links::matches(pattern, &stream.path) {
            let tail = streams::end(tx, &stream)?;
            links::note(tx, row, &stream.path, Some(tail), tail)?;
        }
    }
    Ok(())
}

/// `subscriptions:get`
pub fn get(tx: &mut Tx<'_>, _ctx: &CallContext, args: Named) -> Result<View> {
    let row = owned(tx, &args.owner, &args.name)?;
    view(tx, &row)
}

/// `subscriptions:remove`; one that is not there is no error.
pub fn remove(tx: &mut Tx<'_>, _ctx: &CallContext, args: Named) -> Result<()> {
    match find(tx, &args.owner, &args.name)? {
        Some(row) => end(tx, &row),
        None => Ok(()),
    }
}

pub(crate) fn end(tx: &mut Tx<'_>, row: &Subscription) -> Result<()> {
    tx.delete(&row.id)?;
    remains::leave(tx, row.id.as_str(), None)
}

pub(crate) fn find(tx: &mut Tx<'_>, owner: &str, name: &str) -> Result<Option<Subscription>> {
    tx.query::<Subscription>(subscription::BY_NAME).eq(owner).eq(name).first()
}

fn owned(tx: &mut Tx<'_>, owner: &str, name: &str) -> Result<Subscription> {
    find(tx, owner, name)?.ok_or_else(|| Error::not_found("subscription"))
}

fn is_truncated(tx: &mut Tx<'_>, row: &Subscription) -> Result<bool> {
    Ok(tx.query::<Link>(subscription::LINKS).eq(&row.id).take(limits::SUBSCRIPTION_LINKS + 1)?.len()
        > limits::SUBSCRIPTION_LINKS)
}

/// The links with the present ends of their streams.
fn link_views(tx: &mut Tx<'_>, row: &Subscription) -> Result<Vec<LinkView>> {
    let mut views = Vec::new();
    for link in links::shown(tx, row)? {
        let tail = links::tail(tx, &row.owner, &link.path)?;
        let Link { path, explicit, acked, .. } = link;
        views.push(LinkView { path, explicit, acked, tail });
    }
    Ok(views)
}

fn view(tx: &mut Tx<'_>, row: &Subscription) -> Result<View> {
    let streams = link_views(tx, row)?;
    let truncated = streams.len() == limits::SUBSCRIPTION_LINKS && is_truncated(tx, row)?;
    let (webhook_url, wake_stream) = match &row.wakes {
        Wakes::Webhook { url } => (Some(url.clone()), None),
        Wakes::PullWake { wake_stream } => (None, Some(wake_stream.clone())),
    };
    Ok(View {
        name: row.name.clone(),
        webhook_url,
        wake_stream,
        pattern: row.pattern.clone(),
        streams,
        truncated,
        lease_ttl_ms: row.lease_ttl_ms,
        created_at: row.creation_time,
        description: row.description.clone(),
        failing: row.failures > 0,
        origin: row.origin.clone(),
    })
}
