//! The end of streams: deletion, expiry, and the collection of sources that lost their last fork.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::{Id, Tx};

use super::{Named, has_forks, live};
use crate::context::CallContext;
use crate::functions::{Deleted, Nothing, remains, subscriptions};
use crate::limits;
use crate::tables::{Stream, stream};

/// `streams:delete`
pub fn delete(tx: &mut Tx<'_>, _ctx: &CallContext, args: Named) -> Result<()> {
    let stream = live(tx, &args.owner, &args.path)?;
    remove(tx, stream).map(drop)
}

/// Removes a stream; its data is swept later, in bounded steps. One that has forks is only marked, and its log ends,
/// so that whoever follows it hears of it; `false` is returned then. A marked source goes with its last fork.
pub(crate) fn remove(tx: &mut Tx<'_>, mut stream: Stream) -> Result<bool> {
    if has_forks(tx, &stream)? {
        if !stream.gone {
            stream.gone = true;
            stream.deadline = None;
            tx.log_seal(stream.id.as_str())?;
            tx.put(&stream)?;
            subscriptions::wakes::stream_ended(tx, &stream)?;
        }
        return Ok(false);
    }
    if !stream.gone {
        subscriptions::wakes::stream_ended(tx, &stream)?;
    }
    let mut source = give_up(tx, stream, 0)?;
    for freed in 1..=limits::FREED_SOURCES {
        let Some(unused) = source else { break };
        source = give_up(tx, unused, freed)?;
    }
    Ok(true)
}

/// Takes the row away and leaves the data to the sweep. Returns the source if that has to go, too; the last
/// of a long chain is left to the sweep.
fn give_up(tx: &mut Tx<'_>, stream: Stream, freed: usize) -> Result<Option<Stream>> {
    tx.delete(&stream.id)?;
    let source = stream.source_id.as_ref().map(|id| unused(tx, id)).transpose()?.flatten();
    let later = source.as_ref().filter(|_| freed == limits::FREED_SOURCES).map(|source| source.id.clone());
    remains::leave(tx, stream.id.as_str(), later)?;
    Ok(source)
}

/// A deleted stream that no fork reads any more.
fn unused(tx: &mut Tx<'_>, id: &Id<Stream>) -> Result<Option<Stream>> {
    let Some(stream) = tx.get(id)?.filter(|stream| stream.gone) else { return Ok(None) };
    Ok(if has_forks(tx, &stream)? { None } else { Some(stream) })
}

/// Removes a deleted stream that may have lost its last fork.
pub(crate) fn collect(tx: &mut Tx<'_>, id: &Id<Stream>) -> Result<()> {
    match unused(tx, id)? {
        Some(stream) => remove(tx, stream).map(drop),
        None => Ok(()),
    }
}

/// `streams:nextDeadline`: when the next stream is over.
pub fn next_deadline(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    let first = tx.query::<Stream>(stream::BY_DEADLINE).ge(0_u64).first()?;
    Ok(first.and_then(|stream| stream.deadline))
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    pub limit: usize,
}

/// `streams:sweep`: removes streams that are over. Nobody depends on it: what is over is not found.
pub fn sweep(tx: &mut Tx<'_>, _ctx: &CallContext, args: Sweep) -> Result<Deleted> {
    let now = tx.now();
    let over = tx.query::<Stream>(stream::BY_DEADLINE).ge(0_u64).le(now).take(args.limit)?;
    let has_more = over.len() == args.limit;
    let mut deleted = 0;
    for stream in over {
        // An earlier one of these may have taken this with it.
        if let Some(stream) = tx.get(&stream.id)? {
            remove(tx, stream)?;
            deleted += 1;
        }
    }
    Ok(Deleted { deleted, has_more })
}
