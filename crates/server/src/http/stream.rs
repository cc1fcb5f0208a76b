//! `GET /api/stream/{generation}`: a generation as server-sent events, for anything that reads HTTP.
//!
//! Each event's `id:` is the offset after it, so `Last-Event-ID` (or `?offset=`) resumes at exactly the
//! next character.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use spool_protocol::{ApprovalStatus, Code, Error, Event, FinalStatus};
use spool_store::Chunk;

use super::follow::{Follower, Wire, coalesced, is_last, last_event_id, respond, shared};
use super::{Caller, Parameters, Refusal, Segment};
use crate::app::App;
use crate::rooms::{Encode, Lane};

#[derive(Deserialize)]
pub struct Place {
    #[serde(default)]
    offset: Option<u64>,
}

pub async fn follow(
    State(app): State<Arc<App>>, Caller(caller): Caller, Segment(generation): Segment,
    Parameters(place): Parameters<Place>, lane: Option<Extension<Arc<Lane>>>, headers: HeaderMap,
) -> Result<Response, Refusal> {
    let offset = last_event_id(&headers).map_err(Refusal)?.or(place.offset).unwrap_or(0);
    let follower = Follower::open(&app, &caller, &generation, offset).await.map_err(Refusal)?;
    if follower.is_over() {
        // The one answer after which an EventSource does not come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(respond(&app, follower, Named, String::new(), lane.map(|Extension(lane)| lane)))
}

/// Events under their own names.
struct Named;

impl Wire for Named {
    const BREAKS: bool = false;
    const SHARED: Option<Encode> = Some(|chunk| shared(chunk, write_whole));

    fn write(&mut self, from: u64, events: Vec<Event>, out: &mut String) {
        write(from, events, out);
    }

    fn write_uncounted(&mut self, events: Vec<Event>, end: u64, out: &mut String) {
        let last = events.len().saturating_sub(1);
        for (at, event) in events.into_iter().enumerate() {
            write_one(event, (at == last).then_some(end), out);
        }
    }

    fn fail(&mut self, error: Error, out: &mut String) {
        let _ = write!(out, "event: error\ndata: {}\n\n", error.to_data());
    }
}

/// Nearly every chunk is one piece of text, whose JSON the log has already.
fn write_whole(chunk: &Chunk, out: &mut String) -> bool {
    if let Ok([Text { text, .. }]) = serde_json::from_str::<[Text<'_>; 1]>(&chunk.data) {
        write_text(text.get(), Some(chunk.end), out);
        return false;
    }
    let events = coalesced(chunk);
    let is_last = is_last(&events);
    write(chunk.start, events, out);
    is_last
}

/// An [`Event::Text`] whose text stays JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    #[serde(rename = "type")]
    _type: TextTag,
    #[serde(borrow)]
    text: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TextTag {
    Text,
}

/// `text` is JSON.
fn write_text(text: &str, id: Option<u64>, out: &mut String) {
    // Writing to a string does not fail. JSON has no line ends, so no payload can forge a line.
    let _ = write!(out, "event: text\n{}data: {{\"text\":{text}}}\n\n", Id(id));
}

/// Each event's id is the offset after it.
fn write(from: u64, events: Vec<Event>, out: &mut String) {
    let mut offset = from;
    for event in events {
        offset += event.units();
        write_one(event, Some(offset), out);
    }
}

fn write_one(event: Event, id: Option<u64>, out: &mut String) {
    if let Event::Text { text } = event {
        return write_text(&json!(text).to_string(), id, out);
    }
    let (name, data) = frame(&event);
    let _ = write!(out, "event: {name}\n{}data: {data}\n\n", Id(id));
}

/// The line that says where to resume, if that is known.
struct Id(Option<u64>);

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| writeln!(out, "id: {offset}"))
    }
}

/// The event's name on this wire, and its fields without the tag that the name replaces.
fn frame(event: &Event) -> (&'static str, Value) {
    if let Event::Status { status, error, usage, finish_reason } = event {
        return match status {
            FinalStatus::Complete => {
                ("done", json!({ "status": status, "usage": usage, "finishReason": finish_reason }))
            }
            FinalStatus::Stopped => ("stopped", json!({ "status": status })),
            FinalStatus::Error | FinalStatus::Interrupted => {
                let code = error.as_ref().map_or(Code::Interrupted.as_str(), |error| error.code.as_str());
                let message = error.as_ref().map_or("The answer was interrupted.", |error| error.message.as_str());
                let retryable = error.as_ref().is_none_or(|error| error.retryable);
                ("error", json!({ "status": status, "code": code, "message": message, "retryable": retryable }))
            }
        };
    }
    let mut data = serde_json::to_value(event).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("type");
    }
    // A reader that only wants to know when a person is needed listens to one name.
    let asks = matches!(event, Event::Approval { status: ApprovalStatus::Pending, .. });
    (if asks { "approval_required" } else { event.name() }, data)
}
