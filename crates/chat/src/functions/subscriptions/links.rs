//! Which streams a subscription watches: named ones, and those that its pattern finds.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::Tx;

use super::owned;
use crate::context::CallContext;
use crate::functions::streams;
use crate::limits::{self, check_bytes, check_count};
use crate::tables::{Link, Subscription, subscription};

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
    check_count("streams", args.streams.len() + all(tx, &row)?.len(), limits::SUBSCRIPTION_LINKS)?;
    for path in &args.streams {
        add(tx, &row, path)?;
    }
    Ok(())
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
    if link.glob { tx.put(&link) } else { tx.delete(&link.id).map(drop) }
}

pub(super) fn all(tx: &mut Tx<'_>, row: &Subscription) -> Result<Vec<Link>> {
    tx.query::<Link>(subscription::LINKS).eq(&row.id).take(limits::SUBSCRIPTION_LINKS)
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
            let acked = tail(tx, &row.owner, path)?;
            Link { explicit: true, glob: false, ..new(tx, row, path, Some(acked)) }
        }
    };
    tx.put(&link)
}

/// Links a stream that the pattern found. `None` where the subscription has as many as it may.
pub(super) fn note(tx: &mut Tx<'_>, row: &Subscription, path: &str, acked: Option<u64>) -> Result<Option<Link>> {
    let link = match one(tx, row, path)? {
        Some(link) if link.glob => return Ok(Some(link)),
        Some(link) => Link { glob: true, ..link },
        None if all(tx, row)?.len() >= limits::SUBSCRIPTION_LINKS => return Ok(None),
        None => new(tx, row, path, acked),
    };
    tx.put(&link)?;
    Ok(Some(link))
}

fn new(tx: &mut Tx<'_>, row: &Subscription, path: &str, acked: Option<u64>) -> Link {
    Link {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        subscription_id: row.id.clone(),
        path: path.to_owned(),
        explicit: false,
        glob: true,
        acked,
        woken_at: None,
    }
}

/// Where a stream ends now; 0 if there is none.
pub(super) fn tail(tx: &mut Tx<'_>, owner: &str, path: &str) -> Result<u64> {
    match streams::row(tx, owner, path)?.filter(|stream| !stream.gone) {
        Some(stream) => streams::end(tx, &stream),
        None => Ok(0),
    }
}

/// Whether a pattern holds a path: `*` is exactly one segment, `**` any number of them. An escaped `%2A`
/// is a star that means itself.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
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
