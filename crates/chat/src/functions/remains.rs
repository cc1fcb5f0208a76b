//! Sweeping what is left of removed streams, answers, logs and subscriptions, in bounded steps.
//!
//! Removing something large only takes its row away and leaves a row in `remains`: that takes the same time
//! for any size. Must never touch what a living row still owns.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::backend::{Limit, Removed};
use spool_store::{Id, Tx};

use super::external::arrivals;
use super::{Deleted, Nothing, streams};
use crate::context::CallContext;
use crate::limits;
use crate::tables::{Generation, Link, Producer, Remains, Stream, producer, remains, subscription};

/// Notes that the data under the id `of` is nobody's any more. Its log takes no further append.
pub(crate) fn leave(tx: &mut Tx<'_>, of: &str, source_id: Option<Id<Stream>>) -> Result<()> {
    if tx.query::<Remains>(remains::BY_OF).eq(of).first()?.is_some() {
        return Ok(()); // the log of an answer that was removed after its time, and now the answer
    }
    tx.log_seal(of)?;
    let row = Remains { id: tx.new_id(), creation_time: tx.now() as f64, of: of.to_owned(), source_id };
    tx.put(&row)
}

/// `remains:waiting`: an idle server looks before it writes.
pub fn waiting(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<bool> {
    Ok(tx.query::<Remains>(remains::BY_OF).first()?.is_some())
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Rows and chunks to remove at most in this call.
    pub limit: usize,
}

/// `remains:sweep`: removes some of what is left.
pub fn sweep(tx: &mut Tx<'_>, _ctx: &CallContext, args: Sweep) -> Result<Deleted> {
    let mut left = Limit { rows: args.limit.clamp(1, limits::SWEPT_ROWS), bytes: limits::SWEPT_BYTES };
    let mut deleted = 0;
    while left.rows > 0 && left.bytes > 0 {
        let Some(row) = tx.query::<Remains>(remains::BY_OF).first()? else {
            return Ok(Deleted { deleted, has_more: false });
        };
        let mut removed = sweep_some(tx, &row, left)?;
        if removed.rows == 0 {
            tx.delete(&row.id)?;
            removed.rows = 1;
            if let Some(source) = &row.source_id {
                streams::delete::collect(tx, source)?;
            }
        }
        deleted += removed.rows as u64;
        left.rows = left.rows.saturating_sub(removed.rows);
        left.bytes = left.bytes.saturating_sub(removed.bytes);
    }
    Ok(Deleted { deleted, has_more: true })
}

/// What `limit` allows of one thing, of one kind at a time.
fn sweep_some(tx: &mut Tx<'_>, row: &Remains, limit: Limit) -> Result<Removed> {
    let chunks = tx.log_delete(&row.of, limit)?;
    if chunks.rows > 0 {
        return Ok(chunks);
    }
    if let Ok(generation) = Id::<Generation>::parse(&row.of)
        && arrivals::forget(tx, &generation)?
    {
        return Ok(Removed { rows: 1, bytes: 0 });
    }
    let producers = tx.query::<Producer>(producer::BY_STREAM).eq(row.of.as_str()).take(limit.rows)?;
    for producer in &producers {
        tx.delete(&producer.id)?;
    }
    let left = limit.rows - producers.len();
    let links = tx.query::<Link>(subscription::LINKS).eq(row.of.as_str()).take(left)?;
    for link in &links {
        tx.delete(&link.id)?;
    }
    Ok(Removed { rows: producers.len() + links.len(), bytes: 0 })
}
