//! The life of one answer, in the transaction of whoever begins or ends it.
//!
//! Message, generation, thread and log change together here and nowhere else, so that they can never
//! disagree. Must never decide who may ask for it: that is the caller's.

mod begin;
pub(crate) mod calls;
mod consent;
mod end;
mod outside;
mod role;

pub use begin::busy;
pub(crate) use begin::{Begin, Wish, begin, retry};
pub(crate) use consent::{cancel_all, resolve, stop_waiting, tell};
pub(crate) use end::{Ending, cancel_unstarted, end, failure, folded};
pub(crate) use outside::follow;
pub(crate) use role::has_role;

use spool_protocol::{Error, Event, Result};
use spool_store::{Chunk, Tx};

use crate::states::{GenerationStep, MessageStatus, MessageStep};
use crate::tables::{Generation, Message};

/// The events of one chunk.
pub(crate) fn events_of(chunk: &Chunk) -> Result<Vec<Event>> {
    serde_json::from_str(&chunk.data)
        .map_err(|error| Error::internal(format!("a chunk of a log is not events: {error}")))
}

/// Appends events to the log of a generation. Returns the new end.
pub(crate) fn append(tx: &mut Tx<'_>, generation: &Generation, events: &[Event]) -> Result<u64> {
    let units = events.iter().map(Event::units).sum();
    tx.log_append(generation.id.as_str(), units, encoded(events)?)
}

/// Events as a chunk holds them.
pub(crate) fn encoded(events: &[Event]) -> Result<String> {
    serde_json::to_string(events).map_err(|error| Error::internal(format!("encoding events: {error}")))
}

/// Where the log of a generation ends, even after the log was removed.
pub(crate) fn log_end(tx: &mut Tx<'_>, generation: &Generation) -> Result<u64> {
    match generation.log_end {
        Some(end) => Ok(end),
        None => Ok(tx.log_end(generation.id.as_str())?.end),
    }
}

/// The runner begins: from here on nobody else may. The message follows.
pub(crate) fn start(tx: &mut Tx<'_>, generation: &mut Generation) -> Result<()> {
    generation.status = generation.status.step(GenerationStep::Start)?;
    generation.started_mark = true;
    generation.started_at.get_or_insert(tx.now());
    tx.put(&*generation)?;
    let mut message = message_of(tx, generation)?;
    if message.status != MessageStatus::Streaming {
        message.status = message.status.step(MessageStep::Start)?;
        tx.put(&message)?;
    }
    Ok(())
}

/// The message that a generation writes. They are stored and removed together.
pub(crate) fn message_of(tx: &mut Tx<'_>, generation: &Generation) -> Result<Message> {
    let missing = || Error::internal(format!("{} has no message", generation.id));
    tx.get(&generation.message_id)?.ok_or_else(missing)
}
