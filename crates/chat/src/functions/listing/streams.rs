//! The running answers of a thread, and what they said from a cursor on: deltas whose chunks are the same wherever
//! the reading began.

use std::collections::HashSet;

use serde_json::{Value, json};
use spool_protocol::ai_sdk::{Dialect, Encoder};
use spool_protocol::{ApprovalStatus, Error, Event, Result};
use spool_store::limits::LOG_READ_BYTES;
use spool_store::{Id, Order, Tx};

use super::{StreamCursor, StreamDelta, StreamMessage, Streams};
use crate::context::CallContext;
use crate::functions::generations::{self, Piece};
use crate::limits::{self, check_count};
use crate::owned;
use crate::parts::ToolState;
use crate::tables::{Generation, Thread, ToolCall, tool_call};
use crate::turn;

pub(super) fn running(tx: &mut Tx<'_>, thread: &Thread, start_order: u64) -> Result<Streams> {
    let generation = thread.active_generation_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
    let mut messages = Vec::new();
    if let Some(generation) = generation {
        let order = turn::message_of(tx, &generation)?.seq;
        let (stream_id, model) = (generation.id, generation.model);
        if order >= start_order {
            let stream =
                StreamMessage { stream_id, status: "streaming", format: "UIMessageChunk", order, step_order: 0, model };
            messages.push(stream);
        }
    }
    Ok(Streams::List { messages })
}

/// What all cursors give together is bounded. Streams that found no room have no delta: once the hook has moved the
/// cursors of the others, their turn comes.
pub(super) fn deltas(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, cursors: Vec<StreamCursor>,
) -> Result<Streams> {
    check_count("streamArgs.cursors", cursors.len(), limits::LISTED)?;
    let mut asked = HashSet::new();
    if let Some(at) = cursors.iter().position(|cursor| !asked.insert(&cursor.stream_id)) {
        let path = format!("streamArgs.cursors[{at}].streamId");
        return Err(Error::bad_request(format!("{path}: a stream has one cursor")).with("path", path));
    }
    let (mut deltas, mut room) = (Vec::new(), LOG_READ_BYTES);
    for StreamCursor { stream_id, cursor } in cursors {
        let (owner, generation) = owned::generation(tx, &ctx.principal, &stream_id)?;
        if owner.id != thread.id || room == 0 {
            continue; // a stream of another thread: the hook has switched
        }
        let pieces = generations::pieces_within(tx, &generation, cursor, room)?;
        let mut encoder = encoder_at(tx, &generation, cursor, &pieces)?;
        let mut start = cursor;
        for Piece { events, end, bytes } in pieces {
            room = room.saturating_sub(bytes);
            let chunks = events.into_iter().flat_map(|event| encoder.push(event));
            let mut parts: Vec<Value> = chunks.filter_map(|chunk| serde_json::to_value(chunk).ok()).collect();
            if parts.is_empty() {
                // The hook passes over a delta without parts, and then misses it.
                parts.push(json!({ "type": "start" }));
            }
            deltas.push(StreamDelta { stream_id: stream_id.clone(), start, end, parts });
            start = end;
        }
    }
    Ok(Streams::Deltas { deltas })
}

/// An encoder that goes on at `cursor` as if it had read the log from its beginning.
fn encoder_at(tx: &mut Tx<'_>, generation: &Generation, cursor: u64, pieces: &[Piece]) -> Result<Encoder> {
    let before = if pieces.is_empty() { None } else { said_before(tx, generation, cursor)? };
    let encoder = Encoder::resume(Dialect::Common, cursor, before.as_ref());
    let events = || pieces.iter().flat_map(|piece| &piece.events);
    if cursor == 0 || !events().any(|event| call_of(event).is_some()) {
        return Ok(encoder);
    }
    // The newest are enough: no step has more, and a call of an earlier step is over.
    let scan = tx.query::<ToolCall>(tool_call::BY_GENERATION).eq(&generation.id).order(Order::Desc);
    let mut before = scan.take(limits::STEP_CALLS)?;
    let end = pieces.last().map_or(cursor, |piece| piece.end);
    let reads_all = end >= turn::log_end(tx, generation)?;
    for event in events() {
        if let Event::ToolStart { tool_call_id, .. } = event {
            let begins_here = before.iter().position(|row| row.tool_call_id == *tool_call_id);
            begins_here.map(|at| before.remove(at));
        }
    }
    before.reverse();
    let ended: HashSet<&str> = events().filter_map(ended_by).collect();
    let was_open = |row: &ToolCall| ended.contains(&*row.tool_call_id) || (reads_all && is_open(row));
    let (open, over): (Vec<ToolCall>, Vec<ToolCall>) = before.into_iter().partition(was_open);
    let over = over.into_iter().map(|row| row.tool_call_id);
    Ok(encoder.knowing(open.into_iter().map(|row| (row.tool_call_id, row.tool, row.input)), over))
}

/// The call that an event is about.
fn call_of(event: &Event) -> Option<&str> {
    match event {
        Event::ToolStart { tool_call_id, .. } | Event::ToolEnd { tool_call_id, .. } => Some(tool_call_id),
        Event::Approval { tool_call_id, .. } => tool_call_id.as_deref(),
        _ => None,
    }
}

/// The call that is over with an event.
fn ended_by(event: &Event) -> Option<&str> {
    match event {
        Event::ToolEnd { tool_call_id, .. } => Some(tool_call_id),
        Event::Approval { status: ApprovalStatus::Pending | ApprovalStatus::Approved, .. } => None,
        Event::Approval { tool_call_id, .. } => tool_call_id.as_deref(),
        _ => None,
    }
}

/// Whether the log has no end of the call so far.
fn is_open(row: &ToolCall) -> bool {
    row.untold || matches!(row.state, ToolState::Pending | ToolState::AwaitingApproval | ToolState::Running)
}

/// The event that ends at `cursor`, or reaches over it. What shows nothing does not count: it interrupts nothing.
/// Behind more of that than is looked through, text goes on in a part of its own.
fn said_before(tx: &mut Tx<'_>, generation: &Generation, cursor: u64) -> Result<Option<Event>> {
    if !generation.has_log() {
        let events = generations::retold(tx, generation)?;
        let known = generations::is_all(&events, turn::log_end(tx, generation)?);
        let begun = if known { begun_before(cursor, 0, events) } else { Vec::new() };
        return last_shown(tx, &generation.id, begun);
    }
    for units in [1, limits::PROGRESS_UNITS] {
        let mut begun = Vec::new();
        for chunk in tx.log_before(generation.id.as_str(), cursor, units)? {
            begun.extend(begun_before(cursor, chunk.start, turn::events_of(&chunk)?));
        }
        let shown = last_shown(tx, &generation.id, begun)?;
        if shown.is_some() {
            return Ok(shown);
        }
    }
    Ok(None)
}

/// Those of `events`, the first of which begins at the offset `at`, that begin before `cursor`.
fn begun_before(cursor: u64, mut at: u64, events: Vec<Event>) -> Vec<Event> {
    let begins = |event: &Event| {
        let start = at;
        at += event.units();
        start < cursor && at > start
    };
    events.into_iter().filter(begins).collect()
}

fn last_shown(tx: &mut Tx<'_>, generation: &Id<Generation>, mut events: Vec<Event>) -> Result<Option<Event>> {
    while let Some(event) = events.pop() {
        if interrupts(tx, generation, &event)? {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

/// Progress shows nothing among the parts, and the end of a call that never began nothing at all.
fn interrupts(tx: &mut Tx<'_>, generation: &Id<Generation>, event: &Event) -> Result<bool> {
    match event {
        Event::Activity { .. } => Ok(false),
        Event::ToolEnd { tool_call_id, .. } => {
            let scan = tx.query::<ToolCall>(tool_call::BY_CALL).eq(generation).eq(tool_call_id.as_str());
            Ok(scan.first()?.is_some())
        }
        _ => Ok(true),
    }
}
