//! `GET /api/stream/{generation}`: a generation as server-sent events, for anything that reads HTTP.
//!
//! Each event's `id:` is the offset after it, so `Last-Event-ID` (or `?offset=`) resumes at exactly the
//! next character. A follower holds an offset and one batch; a slow one reads later from storage.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use axum::extract::{Path, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;
use serde_json::{Value, json};
use spool_protocol::{Code, Error, Event, FinalStatus};
use spool_store::{Chunk, Tail};

use super::{Caller, Parameters, Refusal};
use crate::app::App;

/// Silence after which a comment keeps the connection open through proxies.
const HEARTBEAT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
pub struct Place {
    #[serde(default)]
    offset: Option<u64>,
}

/// What `generations:deltas` answers.
#[derive(Deserialize)]
struct Deltas {
    events: Vec<Event>,
    cursor: u64,
}

/// A reader at its place in the log.
struct Follower {
    tail: Tail,
    /// The offset after the last event handed out.
    offset: u64,
    ready: VecDeque<SseEvent>,
    over: bool,
    open: Gauge,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.open.dec();
    }
}

pub async fn follow(
    State(app): State<Arc<App>>, Caller(caller): Caller, Path(generation): Path<String>,
    Parameters(place): Parameters<Place>, headers: HeaderMap,
) -> Result<Response, Refusal> {
    let offset = last_event_id(&headers)?.or(place.offset).unwrap_or(0);
    // Whoever may read the deltas may follow them; the query also checks the offset, and answers for a
    // log that has been compacted away.
    let args = json!({ "generationId": generation, "cursor": offset });
    let (_, page) = app.functions.query("generations:deltas", &caller.principal, args).await.map_err(Refusal)?;
    let page: Deltas = serde_json::from_str(&page).map_err(|e| Refusal(Error::internal(format!("deltas: {e}"))))?;
    let tail = app.functions.store().tail(&generation, page.cursor).await.map_err(Refusal)?;

    let open = app.functions.metrics().stream_followers.clone();
    open.inc();
    let mut follower = Follower { tail, offset, ready: VecDeque::new(), over: false, open };
    follower.take(page.events);
    let shutdown = app.shutdown.clone();
    let events = stream::unfold(follower, |mut follower| async move {
        follower.next().await.map(|event| (Ok::<_, Infallible>(event), follower))
    });
    let events = events.take_until(async move { shutdown.cancelled().await });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The offset that a reconnecting reader has seen; browsers send an empty id before the first event.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else { return Ok(None) };
    let offset = id.to_str().ok().and_then(|id| id.trim().parse().ok());
    offset.map(Some).ok_or_else(|| Refusal(Error::bad_request("Last-Event-ID: expected an offset, a whole number")))
}

impl Follower {
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.tail.next().await {
                Ok(Some(chunks)) => {
                    let events = self.unread(&chunks);
                    self.take(events);
                }
                // A log without a last word was deleted together with its thread.
                Ok(None) => self.end(&Error::not_found("generation")),
                Err(error) => self.end(&crate::functions::shown("stream", error)),
            }
        }
    }

    /// The events of `chunks` from the current offset on, neighbouring text joined.
    fn unread(&self, chunks: &[Chunk]) -> Vec<Event> {
        let mut events = Vec::new();
        for chunk in chunks {
            let mut at = chunk.start;
            let stored: Vec<Event> = serde_json::from_str(&chunk.data).unwrap_or_default();
            for event in stored {
                let end = at + event.units();
                if end > self.offset
                    && let Some(rest) = event.skip(self.offset.saturating_sub(at))
                {
                    Event::push_coalesced(&mut events, rest);
                }
                at = end;
            }
        }
        events
    }

    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            self.offset += event.units();
            let (name, data) = frame(&event);
            self.over |= matches!(event, Event::Status { .. });
            self.ready.push_back(SseEvent::default().event(name).id(self.offset.to_string()).data(data.to_string()));
        }
    }

    fn end(&mut self, error: &Error) {
        self.over = true;
        self.ready.push_back(SseEvent::default().event("error").data(error.to_data().to_string()));
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
    (event.name(), data)
}
