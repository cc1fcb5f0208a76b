//! A reader of one generation's log, and the event stream that it becomes. Every wire that streams over
//! HTTP is one [`Wire`] over this.
//!
//! A reader holds an offset and one batch; a slow one reads later, from storage. What is ready when it
//! wakes goes out in one write. A chunk that comes alone, as it does to all who keep up, is encoded once; where
//! it looks the same to all of them, they wait in a [room](crate::rooms) for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;
use serde_json::json;
use spool_chat::Principal;
use spool_chat::states::GenerationStatus;
use spool_protocol::{Code, Error, Event, Failure, FinalStatus};
use spool_store::{Chunk, Encoded, Tail};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::aside::Aside;
use crate::auth::Identity;
use crate::auth::revocation::Guard;
use crate::functions::Functions;
use crate::http::portions::{PATIENCE, Portions};
use crate::rooms::{Encode, Lane, Seat};

/// After this much silence, and before twice as much, a comment keeps the connection open through proxies.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a slow reader gets to take the last word before its connection breaks.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Room for what a wire writes around the data of a chunk.
const FRAME: usize = 64;
/// A comment: readers of event streams pass over it.
const COMMENT: &str = ":\n\n";

/// What `generations:deltas` answers.
#[derive(Deserialize)]
pub struct Deltas {
    pub events: Vec<Event>,
    pub cursor: u64,
    pub status: GenerationStatus,
}

impl Deltas {
    /// Where the page ends, if its events do not add up to that from `offset` on.
    fn uncounted(&self, offset: u64) -> Option<u64> {
        let counted = offset + self.events.iter().map(Event::units).sum::<u64>();
        (counted != self.cursor).then_some(self.cursor)
    }
}

/// One page of a log, for whoever may read it; refuses an offset that is none.
pub async fn deltas(
    functions: &Functions, principal: &Arc<Principal>, generation: &str, offset: u64,
) -> Result<Deltas, Error> {
    let args = json!({ "generationId": generation, "cursor": offset });
    let (_, page) = functions.query("generations:deltas", principal, args).await?;
    serde_json::from_str(&page).map_err(|e| Error::internal(format!("generations:deltas: {e}")))
}

/// The offset that a reconnecting reader has seen; browsers send an empty id before the first event.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else { return Ok(None) };
    let offset = id.to_str().ok().and_then(|id| id.trim().parse().ok());
    offset.map(Some).ok_or_else(|| Error::bad_request("Last-Event-ID: expected an offset, a whole number"))
}

/// A reader at its place in the log.
pub struct Follower {
    functions: Functions,
    principal: Arc<Principal>,
    tail: Tail,
    /// The offset after the last event handed out.
    offset: u64,
    /// The page that the reader came with.
    first: Vec<Event>,
    /// Where that page ends, if its events do not add up to it: then no place inside it is known.
    uncounted: Option<u64>,
    /// Where chunks reach the reader without passing here, and whether they do now.
    seat: Option<Seat>,
    parked: bool,
    /// Since when the socket has not taken the rest of what the room began to write.
    owes_since: Option<Instant>,
    /// Whether the answer was over when the reader came: then pages are all there is, from wherever they come.
    ended: bool,
    over: bool,
    /// Ends the reader with its credential.
    guard: Guard,
    open: Gauge,
    _place: OwnedSemaphorePermit,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Follower {
    /// Whoever may read the deltas may follow them.
    pub async fn open(app: &App, caller: &Identity, generation: &str, offset: u64) -> Result<Self, Error> {
        Self::open_in(app.admit()?, app, caller, generation, offset).await
    }

    /// The same in a place that was taken before. The query also checks the offset, and answers for a log that has
    /// been compacted away.
    pub async fn open_in(
        place: OwnedSemaphorePermit, app: &App, caller: &Identity, generation: &str, offset: u64,
    ) -> Result<Self, Error> {
        let (functions, principal) = (app.functions.clone(), Arc::clone(&caller.principal));
        let page = deltas(&functions, &principal, generation, offset).await?;
        let ended = page.status.is_terminal();
        let over = page.events.is_empty() && ended;
        let uncounted = page.uncounted(offset);
        let tail = functions.store().tail(generation, page.cursor).await?;
        let open = app.functions.metrics().stream_followers.clone();
        open.inc();
        let guard = app.auth.revocations().guard(caller);
        let first = page.events;
        Ok(Self {
            functions,
            principal,
            tail,
            offset,
            first,
            uncounted,
            seat: None,
            parked: false,
            owes_since: None,
            ended,
            over,
            guard,
            open,
            _place: place,
        })
    }

    /// Whether the log has ended and everything was handed out.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What is ready; waits for something. `None` after the last event. Safe to cancel.
    async fn next(&mut self) -> Option<Result<Ready, Error>> {
        while !self.over {
            let mut events = std::mem::take(&mut self.first);
            if events.is_empty() {
                let news = if self.ended {
                    Ok(None)
                } else if self.wait_in_room().await > PATIENCE {
                    return Some(Ok(Ready::Late));
                } else {
                    self.tail.next().await
                };
                match news {
                    Ok(Some(mut chunks)) => {
                        let whole = chunks.len() == 1 && chunks[0].start == self.offset;
                        if whole && let Some(chunk) = chunks.pop() {
                            self.offset = chunk.end;
                            return Some(Ok(Ready::Whole(chunk)));
                        }
                        events = self.unread(&chunks);
                    }
                    Ok(None) => match self.page().await {
                        Ok(page) => events = page,
                        Err(error) => return self.failed(error),
                    },
                    Err(error) => return self.failed(crate::functions::shown("stream", error)),
                }
            }
            if let Some(end) = self.uncounted.take() {
                (self.offset, self.over) = (end, is_last(&events));
                return Some(Ok(Ready::Uncounted(events, end)));
            }
            let from = self.offset;
            self.offset += events.iter().map(Event::units).sum::<u64>();
            self.over = is_last(&events);
            if !events.is_empty() {
                return Some(Ok(Ready::Events(from, events)));
            }
        }
        None
    }

    /// The next page of an answer that is over. So is one whose log ended without a last word: it was removed after
    /// its time while this reader was still at it, and the message has the rest. Or it went with its thread.
    async fn page(&mut self) -> Result<Vec<Event>, Error> {
        let page = deltas(&self.functions, &self.principal, self.tail.log(), self.offset).await?;
        if page.events.is_empty() {
            return Err(Error::not_found("generation"));
        }
        self.uncounted = page.uncounted(self.offset);
        self.tail.skip_to(page.cursor);
        Ok(page.events)
    }

    /// As long as there is nothing to read, and a room to wait in. What the room began to write is written to its
    /// end, also while the model is silent; returns how long that took. Safe to cancel, if [`Self::resume`] follows.
    async fn wait_in_room(&mut self) -> Duration {
        loop {
            match self.settle().await {
                Ok(took) if took <= PATIENCE => {}
                Ok(took) => return took,
                // A connection that is gone is found by whoever writes next.
                Err(_) => return Duration::ZERO,
            }
            let Some(seat) = self.seat.as_ref().filter(|_| self.tail.is_waiting()) else { return Duration::ZERO };
            self.parked = true;
            seat.park(&self.tail).await;
            self.resume();
        }
    }

    /// Goes on after what the room has written. Whether it has written anything.
    fn resume(&mut self) -> bool {
        let before = self.offset;
        if let Some(seat) = self.seat.as_ref().filter(|_| std::mem::take(&mut self.parked)) {
            self.offset = seat.take_back();
            self.tail.skip_to(self.offset);
            self.owes_since = seat.owes().then(Instant::now);
        }
        self.offset > before
    }

    /// Writes the rest of what the room began, and says how long that took. Safe to cancel.
    async fn settle(&mut self) -> io::Result<Duration> {
        let Some(seat) = self.seat.as_ref().filter(|_| self.owes_since.is_some()) else { return Ok(Duration::ZERO) };
        seat.settle().await?;
        Ok(self.owes_since.take().map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// To be called with everything that the body hands out.
    fn fill(&self) {
        if let Some(seat) = &self.seat {
            seat.fill();
        }
    }

    fn failed(&mut self, error: Error) -> Option<Result<Ready, Error>> {
        self.over = true;
        Some(Err(error))
    }

    /// The events of `chunks` from the current offset on.
    fn unread(&self, chunks: &[Chunk]) -> Vec<Event> {
        let mut events = Vec::new();
        for chunk in chunks {
            let mut at = chunk.start;
            for event in stored(chunk) {
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
}

/// What a reader gets at once.
enum Ready {
    /// A chunk from its beginning to its end.
    Whole(Chunk),
    /// What comes after an offset, neighbouring text joined.
    Events(u64, Vec<Event>),
    /// What is left of a log that was removed after its time, and the offset after it.
    Uncounted(Vec<Event>, u64),
    /// Nothing, too late: for a long time the reader did not take what its room had begun to write.
    Late,
}

/// The events of a chunk. One that cannot be read ends its readers' streams with an error: what follows it would be
/// taken for all there is.
fn stored(chunk: &Chunk) -> Vec<Event> {
    serde_json::from_str(&chunk.data).unwrap_or_else(|cause| {
        tracing::error!(start = chunk.start, %cause, "a chunk of a log cannot be read");
        let message = format!("The log of this answer cannot be read at offset {}.", chunk.start);
        let error = Failure { code: Code::Internal.to_string(), message, retryable: false };
        vec![Event::Status { status: FinalStatus::Error, error: Some(error), usage: None, finish_reason: None }]
    })
}

pub fn is_last(events: &[Event]) -> bool {
    matches!(events.last(), Some(Event::Status { .. }))
}

/// How one protocol writes events.
pub trait Wire: Send + 'static {
    /// Whether a response that the server cuts short has to look broken. False where the protocol has a
    /// last word anyway, so that its absence tells.
    const BREAKS: bool;

    /// How a whole chunk is encoded, if it looks the same to every reader. One wire at most may share.
    const SHARED: Option<Encode> = None;

    /// Writes `events`, which begin at the offset `from`.
    fn write(&mut self, from: u64, events: Vec<Event>, out: &mut String);
    /// Writes `events`, of which nothing is a place to resume at but their end.
    fn write_uncounted(&mut self, events: Vec<Event>, end: u64, out: &mut String);
    /// Nothing follows.
    fn fail(&mut self, error: Error, out: &mut String);
    /// The reader is sent away before the end. If the response [breaks](Self::BREAKS), that follows.
    fn shed(&mut self, error: Error, out: &mut String) {
        self.fail(error, out);
    }
}

/// What ends the wait for the next event.
enum Interrupt {
    Heartbeat(CancellationToken, Guard),
    Shutdown,
    /// The reader's credential is over.
    Ended(Error),
}

fn interrupt_after(silence: Duration, shutdown: CancellationToken, mut guard: Guard) -> Aside<Interrupt> {
    Aside::new(async move {
        tokio::select! {
            why = guard.ended() => return Interrupt::Ended(why),
            () = shutdown.cancelled() => return Interrupt::Shutdown,
            () = tokio::time::sleep(silence) => {}
        }
        Interrupt::Heartbeat(shutdown, guard)
    })
}

struct Frames<W> {
    follower: Follower,
    wire: W,
    /// Written and not sent: what the response opens with.
    out: String,
    interrupt: Aside<Interrupt>,
    portions: Portions,
    /// Whether anything was sent since the last heartbeat was due.
    spoke: bool,
    /// The reader was told that it is too slow.
    shed: bool,
    done: bool,
}

impl<W: Wire> Frames<W> {
    /// The next bytes of the response.
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if let Some(portion) = self.portions.next() {
            self.follower.fill();
            return Some(Ok(portion));
        }
        if self.shed && W::BREAKS {
            // hyper forgets what it has not sent when a response breaks.
            tokio::time::sleep(LAST_WORD).await;
            return self.cut("the reader is too slow");
        }
        if self.portions.is_slow() && !self.done {
            self.shed();
        }
        let bytes = self.write().await;
        // Only a last word finds something left to settle here: a reader who does not take that hears no word.
        self.follower.resume();
        let settled = tokio::time::timeout(PATIENCE, self.follower.settle()).await;
        if let Err(error) = settled.unwrap_or_else(|_| Err(io::Error::other("the reader is too slow"))) {
            self.done = true;
            return Some(Err(error));
        }
        self.follower.fill();
        bytes.map(|bytes| bytes.map(|page| self.portions.begin(page)))
    }

    /// Ends the response before the log does.
    fn cut(&mut self, reason: &'static str) -> Option<Result<Bytes, io::Error>> {
        self.done = true;
        W::BREAKS.then(|| Err(io::Error::other(reason)))
    }

    /// Sends a reader away that takes too little, with the place to come back to.
    fn shed(&mut self) {
        let offset = self.follower.offset;
        let message = format!("The reader is too slow for the stream; it can be resumed at offset {offset}.");
        let error = Error::new(Code::Overloaded, message).with("retryable", true).with("offset", offset);
        self.wire.shed(error, &mut self.out);
        self.stop_reading();
        self.shed = true;
    }

    /// The last word before the log's own, with the place to come back to.
    fn end(&mut self, error: Error) {
        self.wire.fail(error.with("offset", self.follower.offset), &mut self.out);
        self.stop_reading();
    }

    fn stop_reading(&mut self) {
        self.follower.over = true;
        self.follower.first.clear();
    }

    async fn write(&mut self) -> Option<Result<Bytes, io::Error>> {
        while !self.done {
            let must_wait = self.follower.first.is_empty() && !self.follower.over;
            if !self.out.is_empty() && must_wait {
                break;
            }
            tokio::select! {
                biased;
                interrupt = &mut self.interrupt => match interrupt {
                    Interrupt::Shutdown => return self.cut("the server is shutting down"),
                    Interrupt::Ended(why) => {
                        self.follower.resume();
                        self.end(why);
                        self.done = true;
                    }
                    Interrupt::Heartbeat(shutdown, guard) => {
                        self.interrupt = interrupt_after(HEARTBEAT, shutdown, guard);
                        let heard = self.follower.resume() || self.follower.owes_since.is_some();
                        if !std::mem::take(&mut self.spoke) && !heard {
                            self.out.push_str(COMMENT);
                        }
                    }
                },
                next = self.follower.next() => match next {
                    Some(Ok(Ready::Whole(chunk))) => match W::SHARED.filter(|_| self.out.is_empty()) {
                        Some(encode) => {
                            self.spoke = true;
                            let encoded = encode(&chunk);
                            self.follower.over = encoded.is_last;
                            return Some(Ok(encoded.bytes.clone()));
                        }
                        None => {
                            let events = coalesced(&chunk);
                            self.follower.over = is_last(&events);
                            self.wire.write(chunk.start, events, &mut self.out);
                        }
                    },
                    Some(Ok(Ready::Events(from, events))) => self.wire.write(from, events, &mut self.out),
                    Some(Ok(Ready::Uncounted(events, end))) => self.wire.write_uncounted(events, end, &mut self.out),
                    Some(Ok(Ready::Late)) => self.shed(),
                    Some(Err(error)) => self.wire.fail(error, &mut self.out),
                    None => self.done = true,
                },
            }
            if !self.out.is_empty() {
                break;
            }
        }
        self.spoke = true;
        let out = std::mem::take(&mut self.out);
        (!out.is_empty()).then(|| Ok(Bytes::from(out)))
    }
}

/// A chunk as its first reader wrote it, for all of them: a chunk of HTTP/1.1 (RFC 9112, 7.1), and what is in it.
/// `write` says whether nothing follows.
pub fn shared(chunk: &Chunk, write: fn(&Chunk, &mut String) -> bool) -> &Encoded {
    chunk.encoded.get_or_init(|| {
        let mut out = String::with_capacity(chunk.data.len() + FRAME);
        let is_last = write(chunk, &mut out);
        let head = format!("{:x}\r\n", out.len());
        let (start, end) = (head.len(), head.len() + out.len());
        let framed = Bytes::from([&head, out.as_str(), "\r\n"].concat());
        Encoded { bytes: framed.slice(start..end), framed, is_last }
    })
}

/// The events of a whole chunk, neighbouring text joined.
pub fn coalesced(chunk: &Chunk) -> Vec<Event> {
    let mut events = Vec::new();
    stored(chunk).into_iter().for_each(|event| Event::push_coalesced(&mut events, event));
    events
}

/// The response that begins with `opening` and goes on until the log ends or the reader leaves. With a `lane`,
/// a reader that keeps up gets chunks from the room of its log.
pub fn respond<W: Wire>(
    app: &App, mut follower: Follower, wire: W, opening: String, lane: Option<Arc<Lane>>,
) -> Response {
    follower.seat = lane.zip(W::SHARED).map(|(lane, encode)| app.rooms.join(follower.tail.log(), lane, encode));
    let interrupt = interrupt_after(HEARTBEAT, app.shutdown.clone(), follower.guard.clone());
    let portions = Portions::new();
    let frames = Frames { follower, wire, out: opening, interrupt, portions, spoke: false, shed: false, done: false };
    let frames = stream::unfold(frames, |mut frames| async move { frames.next().await.map(|bytes| (bytes, frames)) });
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    (headers, Body::from_stream(frames)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_cannot_be_read_is_an_error_and_the_last_thing_that_is_heard() {
        let events = stored(&Chunk::new(5, 9, "[{\"type\":\"text\""));
        assert!(is_last(&events));
        let [Event::Status { status: FinalStatus::Error, error: Some(error), .. }] = &events[..] else { panic!() };
        assert!(error.message.contains("offset 5"), "{}", error.message);
    }
}
