//! Generations: how far an answer is, its log, and stopping it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Event, FinalStatus, Result};
use spool_store::limits::LOG_READ_BYTES;
use spool_store::{Id, Tx};

use crate::context::CallContext;
use crate::limits;
use crate::owned;
use crate::parts::{Part, ToolState};
use crate::states::GenerationStatus;
use crate::tables::{Generation, GenerationView, generation};
use crate::turn::{self, Ending};

use super::Nothing;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub generation_id: Id<Generation>,
}

/// `generations:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<GenerationView> {
    let (_, generation) = owned::generation(tx, &ctx.principal, &args.generation_id)?;
    let cursor = turn::log_end(tx, &generation)?;
    Ok(GenerationView::new(generation, cursor))
}

/// `generations:active`: the caller's generations that are not over, oldest first.
pub fn active(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Vec<GenerationView>> {
    let user = ctx.user()?;
    let mut running = Vec::new();
    for status in GenerationStatus::RUNNING {
        let scan = tx.query::<Generation>(generation::BY_USER).eq(user).eq(status.as_str());
        running.extend(scan.take(limits::LISTED)?);
    }
    running.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    let mut views = Vec::with_capacity(running.len());
    for generation in running {
        // What still stops in a removed thread is nobody's any more.
        if owned::find_thread(tx, &ctx.principal, &generation.thread_id)?.is_some() {
            let cursor = turn::log_end(tx, &generation)?;
            views.push(GenerationView::new(generation, cursor));
        }
    }
    Ok(views)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deltas {
    pub generation_id: Id<Generation>,
    /// Where to read from: 0, or the `cursor` of an earlier result.
    #[serde(default)]
    pub cursor: u64,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    pub events: Vec<Event>,
    /// Where to go on.
    pub cursor: u64,
    /// The generation's status. The answer is read to its end when an event `status` was among the events.
    pub status: GenerationStatus,
}

/// `generations:deltas`: neighbouring text in one piece, from exactly the cursor on.
pub fn deltas(tx: &mut Tx<'_>, ctx: &CallContext, args: Deltas) -> Result<LogPage> {
    let (_, generation) = owned::generation(tx, &ctx.principal, &args.generation_id)?;
    let pieces = pieces_within(tx, &generation, args.cursor, LOG_READ_BYTES)?;
    let cursor = pieces.last().map_or(args.cursor, |piece| piece.end);
    let mut events = Vec::new();
    for event in pieces.into_iter().flat_map(|piece| piece.events) {
        Event::push_coalesced(&mut events, event);
    }
    Ok(LogPage { events, cursor, status: generation.status })
}

/// What was written to a log at once.
pub(super) struct Piece {
    pub events: Vec<Event>,
    pub end: u64,
    /// As it is stored.
    pub bytes: usize,
}

/// A log from exactly the cursor on, as it was written, until `max_bytes` are exceeded: wherever the reading began,
/// pieces end at the same offsets.
pub(super) fn pieces_within(
    tx: &mut Tx<'_>, generation: &Generation, cursor: u64, max_bytes: usize,
) -> Result<Vec<Piece>> {
    let stored = generation.has_log();
    let chunks = if stored { tx.log_read_within(generation.id.as_str(), cursor, max_bytes)? } else { Vec::new() };
    if chunks.is_empty() {
        return nothing_stored(tx, generation, cursor);
    }
    let mut pieces = Vec::with_capacity(chunks.len());
    for chunk in &chunks {
        let (mut events, mut at) = (Vec::new(), chunk.start);
        for event in turn::events_of(chunk)? {
            at = push_from(&mut events, event, at, cursor)?;
        }
        pieces.push(Piece { events, end: chunk.end, bytes: chunk.data.len() });
    }
    Ok(pieces)
}

/// Adds what `event`, which begins at offset `at`, holds from `cursor` on. Returns where it ends.
fn push_from(events: &mut Vec<Event>, event: Event, at: u64, cursor: u64) -> Result<u64> {
    let end = at + event.units();
    if end > cursor {
        let inside = || {
            let message = format!("cursor: {cursor} is inside a character; go on at a cursor that a result gave");
            Error::bad_request(message).with("path", "cursor")
        };
        Event::push_coalesced(events, event.skip(cursor.saturating_sub(at)).ok_or_else(inside)?);
    }
    Ok(end)
}

/// The reader is at the end, beyond it, or the log was removed after its time.
fn nothing_stored(tx: &mut Tx<'_>, generation: &Generation, cursor: u64) -> Result<Vec<Piece>> {
    let stored_end = tx.log_end(generation.id.as_str())?.end;
    let end = generation.log_end.unwrap_or(stored_end);
    if cursor > end {
        let message = format!("cursor: the log ends at {end}, not beyond {cursor}");
        return Err(Error::bad_request(message).with("path", "cursor").with("end", end));
    }
    if cursor == end {
        return Ok(Vec::new());
    }
    from_message(tx, generation, cursor, end).map(|piece| vec![piece])
}

/// A page of what a removed log said, as far as the message still has it. Offsets inside it are only known if the
/// message holds everything that the log held; else the page is all of it.
fn from_message(tx: &mut Tx<'_>, generation: &Generation, cursor: u64, end: u64) -> Result<Piece> {
    let all = retold(tx, generation)?;
    let known = is_all(&all, end);
    if cursor > 0 && !known {
        let message = "cursor: the log was removed after its time; read from 0, or read the message";
        return Err(Error::new(Code::Gone, message).with("path", "cursor").with("end", end));
    }
    let (mut events, mut at) = (Vec::new(), 0);
    let page_end = if known { cursor.saturating_add(LOG_READ_BYTES as u64) } else { u64::MAX };
    for event in all {
        let whole = at + event.units();
        let event = if whole > page_end { head(event, page_end - at) } else { event };
        let cut = at + event.units() < whole;
        at = push_from(&mut events, event, at, cursor)?;
        if cut || at >= page_end {
            return Ok(Piece { events, end: at, bytes: LOG_READ_BYTES });
        }
    }
    Ok(Piece { events, end, bytes: LOG_READ_BYTES })
}

/// The beginning of a text, of `units` at most and whole characters. Any other event is one piece.
fn head(mut event: Event, units: u64) -> Event {
    if let Event::Text { text } | Event::Reasoning { text } = &mut event {
        let mut length = text.len().min(usize::try_from(units).unwrap_or(usize::MAX));
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        text.truncate(length);
    }
    event
}

/// What the message of an answer that is over has of its log.
pub(super) fn retold(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<Event>> {
    let message = turn::message_of(tx, generation)?;
    // An earlier attempt left nothing in the message but its status in its own row.
    let is_newest = message.generation_id.as_ref() == Some(&generation.id);
    let parts = if is_newest { message.parts } else { Vec::new() };
    let mut events: Vec<Event> = parts.into_iter().flat_map(events_of_part).collect();
    if let Some(status) = generation.status.final_status() {
        let (error, usage) = (generation.error.clone(), generation.usage);
        events.push(Event::Status { status, error, usage, finish_reason: generation.finish_reason.clone() });
    }
    Ok(events)
}

/// Whether these are all events of a log that ended at `end`.
pub(super) fn is_all(events: &[Event], end: u64) -> bool {
    events.iter().map(Event::units).sum::<u64>() == end
}

fn events_of_part(part: Part) -> Vec<Event> {
    match part {
        Part::Text { text } => vec![Event::Text { text }],
        Part::Reasoning { text } => vec![Event::Reasoning { text }],
        Part::ToolCall { tool_call_id, tool, state, input, output, error, .. } => {
            let start = Event::ToolStart { tool_call_id: tool_call_id.clone(), tool, input };
            // A result may be nothing. What was cancelled without a word ends with the answer.
            let over = output.is_some() || error.is_some() || state == ToolState::Completed;
            let denied = state == ToolState::Denied;
            let end = over.then_some(Event::ToolEnd { tool_call_id, output, error, denied });
            std::iter::once(start).chain(end).collect()
        }
        Part::Steered { message_id, text } => vec![Event::Steered { message_id, text }],
        Part::Source { title, url, snippet, .. } => vec![Event::Source { title, url, snippet }],
        Part::File { upload_id, media_type, name, size } => {
            vec![Event::File { upload_id, media_type, name, size }]
        }
        // Rows have the rest, and tell of it: a log that was removed cannot.
        Part::Artifact { .. } | Part::Approval { .. } | Part::Activity { .. } | Part::Data { .. } => Vec::new(),
    }
}

/// Whether a generation was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    pub stopped: bool,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `generations:stop`: the row is the request; whoever runs the answer watches it.
pub fn stop(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<Stopped> {
    let (thread, mut generation) = owned::generation(tx, &ctx.principal, &args.generation_id)?;
    let refused = |reason: String| Ok(Stopped { stopped: false, reason: Some(reason) });
    if generation.status.is_terminal() {
        return refused(format!("The answer is over: {}.", generation.status.as_str()));
    }
    if generation.stop_requested_at.is_some() {
        return refused("The answer is being stopped.".to_owned());
    }
    generation.stop_requested_at = Some(tx.now());
    let unreachable = !generation.status.is_held() || generation.runner.is_outside();
    if unreachable {
        turn::end(tx, ctx, thread, generation, Ending::plain(FinalStatus::Stopped))?;
    } else {
        tx.put(&generation)?;
    }
    Ok(Stopped { stopped: true, reason: None })
}
