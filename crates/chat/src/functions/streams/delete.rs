//! The end of streams: deletion, expiry, and the collection of sources that lost their last fork.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::Tx;

use super::{Named, has_forks, live};
use crate::context::CallContext;
use crate::functions::{Deleted, Nothing, subscriptions};
use crate::limits;
use crate::tables::{Producer, Stream, producer, stream};

/// `streams:delete`
pub fn delete(tx: &mut Tx<'_>, _ctx: &CallContext, args: Named) -> Result<()> {
    let stream = live(tx, &args.owner, &args.path)?;
    remove(tx, stream).map(drop)
}

/// Removes a stream with its data. One that has forks is only marked, and `false` is returned. A marked
/// source goes with its last fork.
pub(super) fn remove(tx: &mut Tx<'_>, mut stream: Stream) -> Result<bool> {
    if has_forks(tx, &stream)? {
        if !stream.gone {
            stream.gone = true;
            stream.deadline = None;
            tx.put(&stream)?;
            subscriptions::wakes::stream_ended(tx, &stream)?;
        }
        return Ok(false);
    }
    if !stream.gone {
        subscriptions::wakes::stream_ended(tx, &stream)?;
    }
    let mut next = Some(stream);
    while let Some(stream) = next.take() {
        // Never more than these: an append makes no producer beyond them.
        for producer in tx.query::<Producer>(producer::BY_STREAM).eq(&stream.id).take(limits::STREAM_PRODUCERS)? {
            tx.delete(&producer.id)?;
        }
        tx.log_delete(stream.id.as_str())?;
        tx.delete(&stream.id)?;
        let source = stream.source_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
        if let Some(source) = source
            && source.gone
            && !has_forks(tx, &source)?
        {
            next = Some(source);
        }
    }
    Ok(true)
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
