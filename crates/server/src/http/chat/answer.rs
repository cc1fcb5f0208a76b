//! A generation as a UI message stream: whole, or from an offset on.

use ::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use spool_chat::limits::PENDING_APPROVALS;
use spool_protocol::ai_sdk::{DONE, Dialect, Encoder, Opening, Waiting, write_sse};
use spool_protocol::{ApprovalStatus, Error, Event};
use tokio::sync::OwnedSemaphorePermit;

use super::Call;
use super::chunks::{Chunks, until_done};
use super::decisions::Asked;
use super::links::Links;
use super::request::Shown;
use super::thread::Thread;
use crate::http::follow::{Follower, deltas, last_event_id, respond};

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

/// What a reader has of an answer.
pub enum Have {
    Nothing,
    /// Everything before an offset, and maybe the parts that were open there.
    Until(u64, Option<Parts>),
    /// Everything up to where its stream ended to ask about these approvals.
    Asked(Vec<Shown>),
}

/// A generation and the message that it writes.
pub struct Answer {
    pub message: String,
    pub generation: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    thread_id: String,
    message_id: String,
    cursor: u64,
}

impl Answer {
    async fn row(call: &Call, generation: &str) -> Result<Row, Error> {
        call.query("generations:get", json!({ "generationId": generation })).await
    }

    /// The answer of a generation in this thread.
    pub async fn find(call: &Call, thread: &Thread, generation: String) -> Result<Self, Error> {
        let row = Self::row(call, &generation).await?;
        if row.thread_id != thread.id {
            return Err(Error::not_found("generation"));
        }
        Ok(Self { message: row.message_id, generation })
    }

    /// What the reader does not have: what there is in one piece, then the tail. Parts that it holds open go on; any
    /// other reader gets parts of their own for the rest.
    pub async fn follow(
        &self, call: &Call, place: OwnedSemaphorePermit, dialect: Dialect, have: Have,
    ) -> Result<Response, Error> {
        let waiting = self.waiting(call, dialect).await?;
        let (mut encoder, offset, opening) = match &have {
            Have::Nothing => (Encoder::new(dialect), 0, Opening::Whole(&self.message)),
            Have::Until(offset, held) => {
                let opening = if held.is_some() { Opening::Held } else { Opening::Rest };
                (self.encoder_at(call, dialect, *offset).await?, *offset, opening)
            }
            Have::Asked(shown) => {
                let encoder = self.encoder_behind(call, dialect, shown).await?;
                let offset = encoder.offset();
                (encoder, offset, Opening::Asked(&self.message))
            }
        };
        let follower = Follower::open_in(place, &call.app, &call.caller, &self.generation, offset).await?;
        encoder.know(waiting);
        let mut opened = String::new();
        write_sse(&encoder.open(opening), offset, &mut opened);
        Ok(self.respond(call, follower, encoder, opened))
    }

    /// What of this answer waits for people, if the reader asks them. Only people decide, so nobody else is asked.
    async fn waiting(&self, call: &Call, dialect: Dialect) -> Result<Waiting, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            page: Vec<Asked>,
            is_done: bool,
            continue_cursor: String,
        }
        let Some(me) = call.person().filter(|_| dialect.asks()) else { return Ok(Waiting::default()) };
        // The end first: whatever was asked before it and does not wait now is over.
        let Row { thread_id, cursor: log_end, .. } = Self::row(call, &self.generation).await?;
        let mut waiting = Waiting { log_end, ..Waiting::default() };
        let mut options = json!({ "numItems": PENDING_APPROVALS, "cursor": null });
        loop {
            let args = json!({ "threadId": thread_id, "paginationOpts": options });
            let Page { page, is_done, continue_cursor } = call.query("approvals:listByThread", args).await?;
            let before = page.len();
            // What is pending comes first.
            let pending: Vec<Asked> = page.into_iter().take_while(Asked::is_pending).collect();
            let last = is_done || pending.len() < before;
            let of_answer = pending.into_iter().filter(|asked| asked.generation_id == self.generation);
            waiting.approvals.extend(of_answer.map(|asked| (asked.id.clone(), asked.waits(me))));
            if last {
                return Ok(waiting);
            }
            options["cursor"] = json!(continue_cursor);
        }
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

    /// The state where a stream ended that has asked about the approvals in `shown`: where nothing could go on but by
    /// a decision for the first time since the newest of those requests, or of their decisions that the reader has seen
    /// carried out.
    async fn encoder_behind(&self, call: &Call, dialect: Dialect, shown: &[Shown]) -> Result<Encoder, Error> {
        let mut encoder = Encoder::new(dialect);
        encoder.know(Waiting::shown(shown.iter().map(|shown| &shown.approval)));
        let (mut place, mut sought) = (None, false);
        loop {
            let page = deltas(&call.app.functions, &call.caller.principal, &self.generation, encoder.offset()).await?;
            if page.events.is_empty() {
                return place.ok_or_else(|| Error::not_found("approval"));
            }
            for event in page.events {
                let told = told_of(&event).and_then(|(approval, status)| {
                    let shown = shown.iter().find(|shown| shown.approval == approval)?;
                    Some((status == ApprovalStatus::Pending, shown.over))
                });
                encoder.skip(event);
                let asks = told.is_some_and(|(asks, _)| asks);
                sought |= told == Some((false, true));
                if asks || (sought && encoder.waits()) {
                    place = Some(encoder.clone());
                    sought = !encoder.waits();
                }
            }
        }
    }

    fn respond(&self, call: &Call, follower: Follower, encoder: Encoder, mut opened: String) -> Response {
        let asks = encoder.dialect().asks();
        let mut wire = Chunks::new(encoder, Links::of(call));
        if follower.is_over() {
            opened.push_str(DONE);
        } else {
            wire.pause_if_asked(&[], &mut opened);
        }
        let mut response = respond(&call.app, follower, wire, opened, None);
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

/// The approval of a tool call that this event tells of, and how it stands.
fn told_of(event: &Event) -> Option<(&str, ApprovalStatus)> {
    match event {
        Event::Approval { approval_id, status, tool_call_id: Some(_), .. } => Some((approval_id, *status)),
        _ => None,
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
