//! What becomes of the logs of answers that are over: their neighbouring texts are joined, and after a time they
//! go. The messages have the answers by then.
//!
//! The row is marked in the transaction that changes what readers find; what is left of a removed log is swept
//! ([`super::remains`]). Must never touch the log of an answer that is not over.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Error, Event, Result};
use spool_store::{Part, Tx};

use super::{Deleted, Nothing, remains};
use crate::context::CallContext;
use crate::limits;
use crate::tables::{Generation, LogState, generation};
use crate::turn;

/// The age of what `logs:cleanUp` removes where its caller does not say, as of what the server removes by itself.
const HOURS: f64 = 24.0;
const HOUR_MS: f64 = 3_600_000.0;

/// `logs:due`: whether a log waits to be removed or compacted. An idle server looks before it writes.
pub fn due(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<bool> {
    let mut waits = !ended(tx, None, compacted_before(tx), 1)?.is_empty();
    if let Some(before) = removed_before(tx, ctx) {
        waits = waits || !kept(tx, before, 1)?.is_empty();
    }
    Ok(waits)
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tend {
    /// Logs that this call changes at most.
    pub limit: usize,
}

/// `logs:tend`: removes some of the logs whose time is over, or else joins what stands in some of the others.
pub fn tend(tx: &mut Tx<'_>, ctx: &CallContext, args: Tend) -> Result<Deleted> {
    let limit = args.limit.clamp(1, limits::TENDED_LOGS);
    if let Some(before) = removed_before(tx, ctx) {
        let removed = remove(tx, before, limit)?;
        if removed > 0 {
            return Ok(Deleted { deleted: removed, has_more: true });
        }
    }
    let before = compacted_before(tx);
    let (mut compacted, mut bytes) = (0, 0);
    for row in ended(tx, None, before, limit)? {
        bytes += compact(tx, row)?;
        compacted += 1;
        if bytes >= limits::COMPACTED_STEP_BYTES {
            break;
        }
    }
    Ok(Deleted { deleted: compacted, has_more: compacted > 0 })
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CleanUp {
    /// Hours since the end of the answers whose logs go. 24 if absent.
    pub older_than_hours: Option<f64>,
}

/// `logs:cleanUp`: for whoever runs the server, and does not want to wait for `turns.keep_logs_hours`.
pub fn clean_up(tx: &mut Tx<'_>, _ctx: &CallContext, args: CleanUp) -> Result<Deleted> {
    let hours = args.older_than_hours.unwrap_or(HOURS);
    if !(0.0..=limits::LOG_HOURS).contains(&hours) {
        let message = format!("olderThanHours: must be 0 to {}", limits::LOG_HOURS);
        return Err(Error::bad_request(message).with("path", "olderThanHours"));
    }
    let before = tx.now().saturating_sub((hours * HOUR_MS) as u64);
    let deleted = remove(tx, before, limits::TENDED_LOGS)?;
    Ok(Deleted { deleted, has_more: deleted >= limits::TENDED_LOGS as u64 })
}

fn compacted_before(tx: &Tx<'_>) -> u64 {
    tx.now().saturating_sub(limits::LOG_REST_MS)
}

fn removed_before(tx: &Tx<'_>, ctx: &CallContext) -> Option<u64> {
    ctx.settings.log_ms.map(|kept| tx.now().saturating_sub(kept))
}

/// Answers that ended at `before` at the latest, the oldest first, whose logs are in this state.
fn ended(tx: &mut Tx<'_>, state: Option<LogState>, before: u64, most: usize) -> Result<Vec<Generation>> {
    let state = state.map_or(Part::Null, |state| Part::from(state.as_str()));
    tx.query::<Generation>(generation::BY_LOG).eq(state).ge(0_u64).le(before).take(most)
}

/// The same of logs that are there, in either state.
fn kept(tx: &mut Tx<'_>, before: u64, most: usize) -> Result<Vec<Generation>> {
    let mut rows = ended(tx, Some(LogState::Compacted), before, most)?;
    let rest = most - rows.len();
    if rest > 0 {
        rows.extend(ended(tx, None, before, rest)?);
    }
    Ok(rows)
}

fn remove(tx: &mut Tx<'_>, before: u64, most: usize) -> Result<u64> {
    let rows = kept(tx, before, most)?;
    let removed = rows.len() as u64;
    for mut row in rows {
        row.log_state = Some(LogState::Removed);
        tx.put(&row)?;
        remains::leave(tx, row.id.as_str(), None)?;
    }
    Ok(removed)
}

/// Joins the texts of a log that stand next to each other. Returns the bytes it had. A very long one stays as it
/// is: it could not be read in a short transaction.
fn compact(tx: &mut Tx<'_>, mut row: Generation) -> Result<usize> {
    let (mut chunks, mut bytes, mut at) = (Vec::new(), 0, 0);
    while bytes <= limits::COMPACTED_BYTES {
        let page = tx.log_read(row.id.as_str(), at)?;
        let Some(last) = page.last() else { break };
        at = last.end;
        bytes += page.iter().map(|chunk| chunk.data.len()).sum::<usize>();
        chunks.extend(page);
    }
    if bytes <= limits::COMPACTED_BYTES {
        let mut pieces = Pieces::default();
        for chunk in &chunks {
            for event in turn::events_of(chunk)? {
                pieces.push(event)?;
            }
        }
        let pieces = pieces.finish()?;
        if pieces.len() < chunks.len() {
            tx.log_recut(row.id.as_str(), pieces)?;
        }
    }
    row.log_state = Some(LogState::Compacted);
    tx.put(&row)?;
    Ok(bytes)
}

/// Events, gathered into chunks.
#[derive(Default)]
struct Pieces {
    done: Vec<(u64, String)>,
    events: Vec<Event>,
    units: u64,
}

impl Pieces {
    fn push(&mut self, event: Event) -> Result<()> {
        self.units += event.units();
        Event::push_coalesced(&mut self.events, event);
        if self.units >= limits::COMPACTED_CHUNK_UNITS { self.cut() } else { Ok(()) }
    }

    fn cut(&mut self) -> Result<()> {
        if self.units > 0 {
            let events = turn::encoded(&self.events)?;
            self.done.push((self.units, events));
            (self.units, self.events) = (0, Vec::new());
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(u64, String)>> {
        self.cut()?;
        Ok(self.done)
    }
}
