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
use spool_protocol::{Code, Error, Event};
use spool_store::{Chunk, Encoded, Tail};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::aside::Aside;
use crate::auth::Identity;
use crate::auth::revocation::Guard;
use crate::rooms::{Encode, Lane, Seat};

/// After this much silence, and before twice as much, a comment keeps the connection open through proxies.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a reader may leave unread what was written for it while more is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a slow reader gets to take the last word before its connection breaks.
const LAST_WORD: Duration = Duration::from_secs(1);
/// A comment: readers of event streams pass over it.
const COMMENT: &str = ":\n\n";

/// What `generations:deltas` answers.
#[derive(Deserialize)]
pub struct Deltas {
    pub events: Vec<Event>,
    pub cursor: u64,
    pub status: GenerationStatus,
}

/// One page of a log, for whoever may read it; refuses an offset that is none.
pub async fn deltas(app: &App, principal: &Arc<Principal>, generation: &str, offset: u64) -> Result<Deltas, Error> {
    let args = json!({ "generationId": generation, "cursor": offset });
    let (_, page) = app.functions.query("generations:deltas", principal, args).await?;
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
        let page = deltas(app, &caller.principal, generation, offset).await?;
        let over = page.events.is_empty() && page.status.is_terminal();
        let counted = offset + page.events.iter().map(Event::units).sum::<u64>();
        let uncounted = (counted != page.cursor).then_some(page.cursor);
        let tail = app.functions.store().tail(generation, page.cursor).await?;
        let open = app.functions.metrics().stream_followers.clone();
        open.inc();
        let guard = app.auth.revocations().guard(caller);
        let first = page.events;
        Ok(Self { tail, offset, first, uncounted, seat: None, parked: false, over, guard, open, _place: place })
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
                self.wait_in_room().await;
                match self.tail.next().await {
                    Ok(Some(mut chunks)) => {
                        let whole = chunks.len() == 1 && chunks[0].start == self.offset;
                        if whole && let Some(chunk) = chunks.pop() {
                            self.offset = chunk.end;
                            return Some(Ok(Ready::Whole(chunk)));
                        }
                        events = self.unread(&chunks);
                    }
                    // A log without a last word was deleted together with its thread.
                    Ok(None) => return self.failed(Error::not_found("generation")),
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

    /// As long as there is nothing to read, and a room to wait in. What the room began to write is written to its
    /// end, also while the model is silent. Safe to cancel, if [`Self::resume`] follows.
    async fn wait_in_room(&mut self) {
        while let Some(seat) = self.seat.as_ref().filter(|_| self.tail.is_waiting()) {
            // A connection that is gone is found by whoever writes next.
            if seat.settle().await.is_err() {
                return;
            }
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
        }
        self.offset > before
    }

    /// Makes the connection ready for what the body hands out next.
    async fn settle(&mut self) -> io::Result<()> {
        self.resume();
        if let Some(seat) = &self.seat {
            seat.settle().await?;
            seat.fill();
        }
        Ok(())
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
}

fn stored(chunk: &Chunk) -> Vec<Event> {
    serde_json::from_str(&chunk.data).unwrap_or_default()
}

fn is_last(events: &[Event]) -> bool {
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
    /// When the last bytes were handed over. Until most of them are sent, nobody asks for more.
    handed_at: Instant,
    /// Whether anything was sent since the last heartbeat was due.
    spoke: bool,
    /// The reader was told that it is too slow.
    shed: bool,
    done: bool,
}

impl<W: Wire> Frames<W> {
    /// The next bytes of the response.
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.shed && W::BREAKS {
            // hyper forgets what it has not sent when a response breaks.
            tokio::time::sleep(LAST_WORD).await;
            return self.cut("the reader is too slow");
        }
        if self.handed_at.elapsed() > PATIENCE && !self.done {
            self.shed();
        }
        let bytes = self.write().await;
        let settled = tokio::time::timeout(PATIENCE, self.follower.settle()).await;
        if let Err(error) = settled.unwrap_or_else(|_| Err(io::Error::other("the reader is too slow"))) {
            self.done = true;
            return Some(Err(error));
        }
        self.handed_at = Instant::now();
        bytes
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
                        let heard = self.follower.resume();
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
pub fn shared(chunk: &Chunk, write: fn(u64, Vec<Event>, &mut String)) -> &Encoded {
    chunk.encoded.get_or_init(|| {
        let (events, mut out) = (coalesced(chunk), String::new());
        let is_last = is_last(&events);
        write(chunk.start, events, &mut out);
        let head = format!("{:x}\r\n", out.len());
        let (start, end) = (head.len(), head.len() + out.len());
        let framed = Bytes::from([&head, out.as_str(), "\r\n"].concat());
        Encoded { bytes: framed.slice(start..end), framed, is_last }
    })
}

fn coalesced(chunk: &Chunk) -> Vec<Event> {
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
    let handed_at = Instant::now();
    let frames = Frames { follower, wire, out: opening, interrupt, handed_at, spoke: false, shed: false, done: false };
    let frames = stream::unfold(frames, |mut frames| async move { frames.next().await.map(|bytes| (bytes, frames)) });
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    (headers, Body::from_stream(frames)).into_response()
}
