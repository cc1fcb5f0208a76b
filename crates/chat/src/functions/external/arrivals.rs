//! Chunks that a runner numbers: however they arrive, they go into the log in the order of their numbers, each once.
//!
//! What comes before its time waits in a row, within bounds, and whoever sends is told what is missing. Must never
//! join text over a gap: the end of the answer drops what still waits.

use spool_protocol::{Code, Error, Event, Result};
use spool_store::{Id, Tx};

use crate::limits;
use crate::tables::arrivals::{self, EarlyChunk};
use crate::tables::{Arrivals, Generation};

/// What becomes of a chunk.
pub(super) enum Arrival {
    /// It is in the log.
    Known,
    /// It waits for those before it. `again` if it did so already.
    Early { again: bool },
    /// It goes into the log now, with those that have waited for it: the events of all.
    Due(Vec<Event>),
}

/// Takes the chunk with this number, and says which numbers are missing behind it.
pub(super) fn arrive(
    tx: &mut Tx<'_>, generation: &Id<Generation>, sequence: u64, events: Vec<Event>,
) -> Result<(Arrival, Vec<u64>)> {
    let mut row = match find(tx, generation)? {
        Some(row) => row,
        None => Arrivals {
            id: tx.new_id(),
            creation_time: tx.now() as f64,
            generation_id: generation.clone(),
            next: 0,
            early: Vec::new(),
        },
    };
    if sequence < row.next {
        return Ok((Arrival::Known, missing(&row)));
    }
    let place = row.early.binary_search_by_key(&sequence, |chunk| chunk.sequence);
    let Err(place) = place else { return Ok((Arrival::Early { again: true }, missing(&row))) };
    if sequence > row.next {
        row.early.insert(place, EarlyChunk { sequence, events });
        check_room(&row, sequence)?;
        tx.put(&row)?;
        return Ok((Arrival::Early { again: false }, missing(&row)));
    }
    let mut due = events;
    row.next += 1;
    while row.early.first().is_some_and(|chunk| chunk.sequence == row.next) {
        due.extend(row.early.remove(0).events);
        row.next += 1;
    }
    tx.put(&row)?;
    Ok((Arrival::Due(due), missing(&row)))
}

/// Refuses to end an answer as complete while chunks wait for others that never came.
pub(super) fn check_whole(tx: &mut Tx<'_>, generation: &Id<Generation>) -> Result<()> {
    match find(tx, generation)? {
        Some(row) if !row.early.is_empty() => {
            let message =
                "Chunks of this answer are missing. Send them, or finish with the whole text, or with another status.";
            Err(gap(&row, message))
        }
        _ => Ok(()),
    }
}

/// The answer is over: what still waits has no place in it.
pub(crate) fn forget(tx: &mut Tx<'_>, generation: &Id<Generation>) -> Result<bool> {
    let row = find(tx, generation)?;
    if let Some(row) = &row {
        tx.delete(&row.id)?;
    }
    Ok(row.is_some())
}

fn find(tx: &mut Tx<'_>, generation: &Id<Generation>) -> Result<Option<Arrivals>> {
    tx.query::<Arrivals>(arrivals::BY_GENERATION).eq(generation).first()
}

/// The numbers between the next and the last that is there.
fn missing(row: &Arrivals) -> Vec<u64> {
    let last = row.early.last().map_or(row.next, |chunk| chunk.sequence);
    let waits = |number: &u64| row.early.binary_search_by_key(number, |chunk| chunk.sequence).is_ok();
    let most = usize::try_from(limits::EARLY_CHUNKS).unwrap_or(usize::MAX);
    (row.next..last).filter(|number| !waits(number)).take(most).collect()
}

fn check_room(row: &Arrivals, sequence: u64) -> Result<()> {
    let bytes: usize =
        row.early.iter().map(|chunk| serde_json::to_string(&chunk.events).map_or(0, |json| json.len())).sum();
    if sequence - row.next <= limits::EARLY_CHUNKS && bytes <= limits::EARLY_BYTES {
        return Ok(());
    }
    Err(gap(row, "Too much has come before its time. Send what is missing first."))
}

fn gap(row: &Arrivals, message: &str) -> Error {
    Error::new(Code::StreamConflict, message)
        .with("reason", "sequence_gap")
        .with("expected", row.next)
        .with("missing", missing(row))
}
