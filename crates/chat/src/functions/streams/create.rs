//! Creating streams and forks. A repeated creation with the same configuration is no error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::Tx;

use super::{Meta, Piece, append, conflict, deadline, delete, end, gone, live, meta, row};
use crate::context::CallContext;
use crate::functions::{account, subscriptions};
use crate::limits::{self, check_bytes};
use crate::tables::stream::media_type;
use crate::tables::{Fork, Stream};

/// The type of a stream that was created without one.
const DEFAULT_TYPE: &str = "application/octet-stream";

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub owner: String,
    pub path: String,
    pub content_type: Option<String>,
    pub ttl_seconds: Option<u64>,
    /// RFC 3339, and the same in ms.
    pub expires_at: Option<String>,
    pub expires_at_ms: Option<u64>,
    #[serde(default)]
    pub closed: bool,
    #[serde(default)]
    pub pieces: Vec<Piece>,
    pub fork: Option<ForkOf>,
}

impl Create {
    fn states_lifetime(&self) -> bool {
        self.ttl_seconds.is_some() || self.expires_at.is_some()
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForkOf {
    pub path: String,
    /// The source's end if absent.
    pub offset: Option<u64>,
    /// Units past the offset.
    #[serde(default)]
    pub sub_offset: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    pub created: bool,
    pub meta: Meta,
}

/// `streams:create`
pub fn create(tx: &mut Tx<'_>, _ctx: &CallContext, args: Create) -> Result<Created> {
    check_bytes("contentType", args.content_type.as_deref().unwrap_or_default(), limits::NAME_BYTES)?;
    if let Some(existing) = row(tx, &args.owner, &args.path)? {
        if existing.gone {
            return Err(conflict("gone", "The path belongs to a deleted stream whose forks still live."));
        }
        if !existing.is_over(tx.now()) {
            if !is_same(&existing, &args) {
                return Err(conflict("configuration", "A stream of another configuration has this path."));
            }
            return Ok(Created { created: false, meta: meta(tx, &existing)? });
        }
        if !delete::remove(tx, existing)? {
            return Err(conflict("gone", "The path belongs to an expired stream whose forks still live."));
        }
    }
    account::check_owner(tx, &args.owner)?;
    let source = args.fork.as_ref().map(|fork| source_of(tx, &args, fork)).transpose()?;
    let mut stream = new_stream(tx, &args, source)?;
    for piece in &args.pieces {
        tx.log_append(stream.id.as_str(), piece.units, piece.data.clone())?;
    }
    if args.closed {
        append::seal(tx, &mut stream)?;
    }
    tx.put(&stream)?;
    if !args.pieces.is_empty() {
        subscriptions::wakes::stream_grew(tx, &stream, stream.base)?;
    }
    Ok(Created { created: true, meta: meta(tx, &stream)? })
}

/// The source of a fork, and where it is left.
fn source_of(tx: &mut Tx<'_>, args: &Create, fork: &ForkOf) -> Result<(Stream, Fork)> {
    let source = live(tx, &args.owner, &fork.path).map_err(|error| {
        if error == gone() {
            conflict("source_gone", "The source was deleted; no new fork can begin there.")
        } else {
            error
        }
    })?;
    let end = end(tx, &source)?;
    let offset = fork.offset.unwrap_or(end);
    if offset > end || fork.sub_offset > end - offset {
        let message = format!("the fork would begin at {offset} + {}, the source ends at {end}", fork.sub_offset);
        return Err(Error::bad_request(message).with("path", "fork.offset").with("end", end));
    }
    let same_type = |given: &String| media_type(given) == media_type(&source.content_type);
    if !args.content_type.as_ref().is_none_or(same_type) {
        return Err(conflict("content_type", format!("The source is {}.", source.content_type)));
    }
    let (from, own_lifetime) = (fork.path.clone(), args.states_lifetime());
    Ok((source, Fork { from, offset, sub_offset: fork.sub_offset, own_lifetime }))
}

fn new_stream(tx: &mut Tx<'_>, args: &Create, source: Option<(Stream, Fork)>) -> Result<Stream> {
    let now = tx.now();
    let (source, fork) = source.unzip();
    let (mut ttl_seconds, mut expires_at) = (args.ttl_seconds, args.expires_at.clone());
    let mut until = args.expires_at_ms;
    // A fork without a lifetime of its own takes the source's, and lives it for itself.
    if let Some(source) = source.as_ref().filter(|_| !args.states_lifetime()) {
        ttl_seconds = source.ttl_seconds;
        expires_at.clone_from(&source.expires_at);
        until = source.deadline;
    }
    let inherited_type = source.as_ref().map(|source| source.content_type.clone());
    let content_type = args.content_type.clone().or(inherited_type).unwrap_or_else(|| DEFAULT_TYPE.to_owned());
    Ok(Stream {
        id: tx.new_id(),
        creation_time: now as f64,
        owner: args.owner.clone(),
        path: args.path.clone(),
        content_type,
        ttl_seconds,
        expires_at,
        deadline: ttl_seconds.map(|ttl| deadline(ttl, now)).or(until),
        touched_at: now,
        closed: false,
        last_seq: None,
        base: fork.as_ref().map_or(0, |fork: &Fork| fork.offset + fork.sub_offset),
        source_id: source.map(|source| source.id),
        fork,
        gone: false,
    })
}

/// Whether a creation asks for what exists. What a fork leaves out, it inherits, and so it matches.
fn is_same(stream: &Stream, args: &Create) -> bool {
    let forks = args.fork.is_some();
    let wanted_type = args.content_type.as_deref().or((!forks).then_some(DEFAULT_TYPE));
    let is_inherited = stream.fork.as_ref().is_some_and(|fork| !fork.own_lifetime);
    let inherits = forks && is_inherited && !args.states_lifetime();
    let same_lifetime = args.ttl_seconds == stream.ttl_seconds
        && match (args.expires_at_ms, &stream.expires_at) {
            (None, None) => true,
            (Some(ms), Some(_)) => stream.deadline == Some(ms),
            _ => false,
        };
    let same_fork = match (&args.fork, &stream.fork) {
        (None, None) => true,
        (Some(wanted), Some(fork)) => {
            wanted.path == fork.from
                && wanted.offset.is_none_or(|offset| offset == fork.offset)
                && wanted.sub_offset == fork.sub_offset
        }
        _ => false,
    };
    wanted_type.is_none_or(|wanted| media_type(wanted) == media_type(&stream.content_type))
        && (inherits || same_lifetime)
        && args.closed == stream.closed
        && same_fork
}
