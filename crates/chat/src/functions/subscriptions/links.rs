//! Which streams a subscription watches: named ones, and those that its pattern finds.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::Tx;

use super::{owned, wakes};
use crate::context::CallContext;
use crate::functions::streams;
use crate::limits::{self, check_bytes, check_count};
use crate::tables::{Link, Stream, Subscription, subscription};

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkMany {
    pub owner: String,
    pub name: String,
    pub streams: Vec<String>,
}

/// `subscriptions:link`: watches more streams, from their present ends on.
pub fn link(tx: &mut Tx<'_>, _ctx: &CallContext, args: LinkMany) -> Result<()> {
    let row = owned(tx, &args.owner, &args.name)?;
    check_count("streams", args.streams.len(), limits::SUBSCRIPTION_LINKS)?;
    for path in &args.streams {
        add(tx, &row, path)?;
    }
    // Counted behind it: what was linked before is not counted twice.
    let named = tx.query::<Link>(subscription::BY_EXPLICIT).eq(&row.id).eq(true).count()?;
    check_count("streams", usize::try_from(named).unwrap_or(usize::MAX), limits::SUBSCRIPTION_LINKS)
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnlinkOne {
    pub owner: String,
    pub name: String,
    pub path: String,
}

/// `subscriptions:unlink`: forgets that a stream was named; the pattern may still hold it.
pub fn unlink(tx: &mut Tx<'_>, _ctx: &CallContext, args: UnlinkOne) -> Result<()> {
    let row = owned(tx, &args.owner, &args.name)?;
    let Some(mut link) = one(tx, &row, &args.path)? else { return Ok(()) };
    link.explicit = false;
    if link.glob {
        return tx.put(&link);
    }
    tx.delete(&link.id)?;
    wakes::settle_down(tx, row)
}

/// Streams that have something new, the first of them that fit one wake. However many a subscription
/// watches, only these cost it anything.
pub(super) fn pending(tx: &mut Tx<'_>, row: &Subscription) -> Result<Vec<(Link, u64)>> {
    let marked = tx.query::<Link>(subscription::BY_IDLE).eq(&row.id).eq(None::<bool>);
    let mut pending = Vec::new();
    for mut link in marked.take(limits::SUBSCRIPTION_LINKS)? {
        let tail = tail(tx, &row.owner, &link.path)?;
        if subscription::is_pending(link.acked, tail) {
            pending.push((link, tail));
        } else {
            // Links of an earlier version have no mark.
            link.settle(tail);
            tx.put(&link)?;
        }
    }
    Ok(pending)
}

/// The streams that the present wake speaks of.
pub(super) fn woken(tx: &mut Tx<'_>, row: &Subscription) -> Result<Vec<Link>> {
    tx.query::<Link>(subscription::BY_WAKE).eq(&row.id).eq(row.generation).take(limits::SUBSCRIPTION_LINKS)
}

/// What is shown of a subscription: those of its wake, then those with news, then others, by name.
pub(super) fn shown(tx: &mut Tx<'_>, row: &Subscription) -> Result<Vec<Link>> {
    let mut links = if row.wake.is_some() { woken(tx, row)? } else { Vec::new() };
    for idle in [None, Some(true)] {
        let more = tx.query::<Link>(subscription::BY_IDLE).eq(&row.id).eq(idle);
        links.extend(more.take(limits::SUBSCRIPTION_LINKS)?);
    }
    let mut seen = HashSet::new();
    links.retain(|link| seen.insert(link.id.as_str().to_owned()));
    links.truncate(limits::SUBSCRIPTION_LINKS);
    links.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(links)
}

pub(super) fn one(tx: &mut Tx<'_>, row: &Subscription, path: &str) -> Result<Option<Link>> {
    tx.query::<Link>(subscription::LINKS).eq(&row.id).eq(path).first()
}

/// Links a stream that the subscriber named.
pub(super) fn add(tx: &mut Tx<'_>, row: &Subscription, path: &str) -> Result<()> {
    check_bytes("streams", path, limits::STREAM_PATH_BYTES)?;
    let link = match one(tx, row, path)? {
        Some(link) => Link { explicit: true, ..link },
        None => {
            let tail = tail(tx, &row.owner, path)?;
            Link { explicit: true, glob: false, ..new(tx, row, path, Some(tail), tail) }
        }
    };
    tx.put(&link)
}

/// Links a stream that the pattern found and that ends at `tail`. Everything before `acked` was there before
/// the subscription.
pub(super) fn note(tx: &mut Tx<'_>, row: &Subscription, path: &str, acked: Option<u64>, tail: u64) -> Result<()> {
    let before = one(tx, row, path)?;
    let mut link = match &before {
        Some(link) => Link { glob: true, ..link.clone() },
        None => new(tx, row, path, acked, tail),
    };
    link.settle(tail);
    if before.as_ref() == Some(&link) { Ok(()) } else { tx.put(&link) }
}

/// Notes that a stream has grown to `tail`. Whether the subscription watches it.
pub(super) fn grew(tx: &mut Tx<'_>, row: &Subscription, stream: &Stream, before: u64, tail: u64) -> Result<bool> {
    if row.pattern.as_ref().is_some_and(|pattern| matches(pattern, &stream.path)) {
        // A stream without a link is one that has not grown since the subscription was made, or is newer.
        let is_older = before > 0 && stream.creation_time <= row.creation_time;
        note(tx, row, &stream.path, is_older.then_some(before), tail)?;
        return Ok(true);
    }
    let Some(mut link) = one(tx, row, &stream.path)? else { return Ok(false) };
    if link.idle.take().is_some() {
        tx.put(&link)?;
    }
    Ok(true)
}

fn new(tx: &mut Tx<'_>, row: &Subscription, path: &str, acked: Option<u64>, tail: u64) -> Link {
    let mut link = Link {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        subscription_id: row.id.clone(),
        path: path.to_owned(),
        explicit: false,
        glob: true,
        acked,
        woken_in: None,
        woken_at: None,
        idle: None,
    };
    link.settle(tail);
    link
}

/// Where a stream ends now; 0 if there is none.
pub(crate) fn tail(tx: &mut Tx<'_>, owner: &str, path: &str) -> Result<u64> {
    match streams::row(tx, owner, path)?.filter(|stream| !stream.gone) {
        Some(stream) => streams::end(tx, &stream),
        None => Ok(0),
    }
}

/// Whether a pattern holds a path: `*` is exactly one segment, `**` any number of them. An escaped `%2A`
/// is a star that means itself.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').filter(|segment| !segment.is_empty()).collect();
    let path: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    // `reached[i]`: whether the pattern so far can end before segment `i`. Linear in both lengths, so
    // that a pattern of many `**` costs nobody anything.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        if wanted == "**" {
            let first = reached.iter().position(|at| *at).unwrap_or(reached.len());
            reached[first..].fill(true);
            continue;
        }
        let literal = wanted.replace("%2A", "*").replace("%2a", "*");
        for at in (0..path.len()).rev() {
            reached[at + 1] = reached[at] && (wanted == "*" || literal == path[at]);
        }
        reached[0] = false;
    }
    reached[path.len()]
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_one_segment_and_two_are_any_number() {
        for (pattern, path, expected) in [
            ("events/*", "events/a", true),
            ("events/*", "events/a/b", false),
            ("events/*", "events", false),
            ("events/**", "events", true),
            ("events/**", "events/a/b", true),
            ("**/b", "a/c/b", true),
            ("**/b/**/d", "a/b/c/b/d", true),
            ("**/b/**/d", "a/c/d", false),
            ("a/%2A", "a/*", true),
            ("a/%2A", "a/x", false),
            ("a", "a", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
