//! A generation as a UI message stream: whole, or from an offset on.

use ::http::{HeaderMap, HeaderValue};
use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use spool_protocol::ai_sdk::{Chunk, DONE, Dialect, Encoder, pause, write_sse};
use spool_protocol::{Error, Event};

use super::Call;
use super::links::Links;
use super::thread::Thread;
use crate::http::follow::{Follower, Wire, deltas, last_event_id, respond};

/// The header by which a client asks for more than the common subset.
const VERSION: &str = "x-spool-ai-sdk";

/// What a client may say beside the protocol. Other parameters are the application's own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// The generation to read, also after its end.
    pub active_stream_id: Option<String>,
    offset: Option<u64>,
    pub parts: Option<Parts>,
    /// The same as the header, for clients that cannot send one.
    ai_sdk: Option<String>,
}

/// What a reader who resumes still has of the stream.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parts {
    /// The parts that were open where it stopped.
    Open,
}

impl Wish {
    pub fn dialect(&self, headers: &HeaderMap) -> Result<Dialect, Error> {
        let header = headers.get(VERSION).map(|value| value.to_str().unwrap_or("?"));
        match self.ai_sdk.as_deref().or(header) {
            None | Some("5") => Ok(Dialect::Common),
            Some("6") => Ok(Dialect::Six),
            Some("7") => Ok(Dialect::Seven),
            Some(_) => Err(Error::bad_request(format!("{VERSION}: expected 5, 6 or 7")).with("path", VERSION)),
        }
    }

    /// Where the reader is, if it has the beginning.
    pub fn offset(&self, headers: &HeaderMap) -> Result<Option<u64>, Error> {
        Ok(last_event_id(headers)?.or(self.offset))
    }
}

/// A generation and the message that it writes.
pub struct Answer {
    pub message: String,
    pub generation: String,
}

impl Answer {
    /// The answer of a generation in this thread.
    pub async fn find(call: &Call, thread: &Thread, generation: String) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Row {
            thread_id: String,
            message_id: String,
        }
        let row: Row = call.query("generations:get", json!({ "generationId": generation })).await?;
        if row.thread_id != thread.id {
            return Err(Error::not_found("generation"));
        }
        Ok(Self { message: row.message_id, generation })
    }

    /// The whole answer from its `start` on: what there is in one piece, then the tail.
    pub async fn replay(&self, call: &Call, dialect: Dialect) -> Result<Response, Error> {
        let follower = Follower::open(&call.app, &call.caller, &self.generation, 0).await?;
        let encoder = Encoder::new(dialect);
        let mut opening = String::new();
        write_sse(&encoder.begin(&self.message), encoder.offset(), &mut opening);
        Ok(self.respond(call, follower, encoder, opening))
    }

    /// What comes after `offset`, without a `start`. Parts that the reader still has open go on; any
    /// other reader gets parts of their own for the rest.
    pub async fn rest(
        &self, call: &Call, dialect: Dialect, offset: u64, held: Option<Parts>,
    ) -> Result<Response, Error> {
        let follower = Follower::open(&call.app, &call.caller, &self.generation, offset).await?;
        let mut encoder = self.encoder_at(call, dialect, offset).await?;
        let mut opening = String::new();
        if held.is_none() {
            write_sse(&encoder.reopen(), offset, &mut opening);
        }
        Ok(self.respond(call, follower, encoder, opening))
    }

    /// What comes after a decision, for the reader whose stream ended at `offset` to ask for it.
    pub async fn go_on(&self, call: &Call, dialect: Dialect, offset: u64) -> Result<Response, Error> {
        let follower = Follower::open(&call.app, &call.caller, &self.generation, offset).await?;
        let mut encoder = self.encoder_at(call, dialect, offset).await?;
        let mut opening = String::new();
        write_sse(&encoder.go_on(&self.message), offset, &mut opening);
        Ok(self.respond(call, follower, encoder, opening))
    }

    /// The state after the events before `offset`: read once, in pages, and forgotten.
    async fn encoder_at(&self, call: &Call, dialect: Dialect, offset: u64) -> Result<Encoder, Error> {
        let mut encoder = Encoder::new(dialect);
        while encoder.offset() < offset {
            let from = encoder.offset();
            let page = deltas(&call.app.functions, &call.caller.principal, &self.generation, from).await?;
            for event in page.events {
                let Some(event) = before(event, offset.saturating_sub(encoder.offset())) else { break };
                encoder.skip(event);
            }
            if encoder.offset() != page.cursor.min(offset) {
                // The log was removed: what is left of it does not say what was open where.
                return Ok(Encoder::resume(dialect, offset, None));
            }
            if encoder.offset() == from {
                break;
            }
        }
        Ok(encoder)
    }

    fn respond(&self, call: &Call, follower: Follower, encoder: Encoder, mut opening: String) -> Response {
        if follower.is_over() {
            opening.push_str(DONE);
        }
        let asks = encoder.dialect().asks();
        let wire = Chunks { encoder, links: Links::of(call), paused: false };
        let mut response = respond(&call.app, follower, wire, opening, None);
        if asks {
            response = response.map(until_done);
        }
        let headers = response.headers_mut();
        headers.insert("x-vercel-ai-ui-message-stream", HeaderValue::from_static("v1"));
        if let Ok(generation) = HeaderValue::from_str(&self.generation) {
            headers.insert("x-spool-generation-id", generation);
        }
        response
    }
}

/// The event's first `units`, or nothing of it. The offset was checked to lie between characters.
fn before(event: Event, units: u64) -> Option<Event> {
    if event.units() <= units {
        return Some(event).filter(|event| event.units() > 0);
    }
    let head = |text: &str| text.get(..usize::try_from(units).ok()?).filter(|text| !text.is_empty()).map(str::to_owned);
    match event {
        Event::Text { text } => head(&text).map(|text| Event::Text { text }),
        Event::Reasoning { text } => head(&text).map(|text| Event::Reasoning { text }),
        _ => None,
    }
}

/// The body up to the frame that ends in `[DONE]`: a stream that is paused ends, though its log goes on.
fn until_done(body: Body) -> Body {
    let frames = stream::unfold(Some(body.into_data_stream()), |frames| async move {
        let mut frames = frames?;
        let frame = frames.next().await?;
        let last = frame.as_ref().is_ok_and(|bytes| bytes.ends_with(DONE.as_bytes()));
        Some((frame, (!last).then_some(frames)))
    });
    Body::from_stream(frames)
}

/// The wire: chunks in `data:` lines, the offset in `id:`.
struct Chunks {
    encoder: Encoder,
    links: Links,
    /// The reader asks its user; nothing more is written.
    paused: bool,
}

impl Wire for Chunks {
    /// `[DONE]` is optional to the clients: only a broken connection tells them that something is missing.
    const BREAKS: bool = true;

    fn write(&mut self, _from: u64, events: Vec<Event>, out: &mut String) {
        self.say(events, None, out);
    }

    fn write_uncounted(&mut self, events: Vec<Event>, end: u64, out: &mut String) {
        self.say(events, Some(end), out);
    }

    fn fail(&mut self, error: Error, out: &mut String) {
        let chunks = self.encoder.fail(error.message);
        write_sse(&chunks, self.encoder.offset(), out);
        out.push_str(DONE);
    }

    fn shed(&mut self, error: Error, out: &mut String) {
        // Parts and calls stay open: they go on, and so may the reader.
        write_sse(&[Chunk::Error { error_text: error.message }], self.encoder.offset(), out);
    }
}

impl Chunks {
    /// With `end`, only the last of the events has a place, and that is it.
    fn say(&mut self, mut events: Vec<Event>, end: Option<u64>, out: &mut String) {
        if self.paused {
            return;
        }
        if self.encoder.dialect().asks() {
            self.encoder.foresee(&events);
            if let Some(shown) = pause(&events) {
                events.truncate(shown);
                self.paused = true;
            }
        }
        let count = events.len();
        for (at, event) in events.into_iter().enumerate() {
            let last = matches!(event, Event::Status { .. });
            let mut chunks = self.encoder.push(event);
            self.links.complete(&mut chunks);
            let place = match end {
                None => Some(self.encoder.offset()),
                Some(end) => (at + 1 == count).then_some(end),
            };
            write_sse(&chunks, place, out);
            if last {
                out.push_str(DONE);
            }
        }
        if self.paused {
            write_sse(&self.encoder.pause(), self.encoder.offset(), out);
            out.push_str(DONE);
        }
    }
}
