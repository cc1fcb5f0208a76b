//! `live=sse`: a stream as server-sent events. Every `data` event is followed by a `control` event that says
//! where the reader is.
//!
//! A follower holds an offset and at most one character; what comes next is read when the reader has taken what
//! was written. Payloads are written line by line, each as `data:`, so that nothing in
//! them can begin an event of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, header};
use axum::body::{Body, Bytes};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{FutureExt as _, stream};
use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;
use spool_protocol::{Error, Result};
use spool_store::Tail;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::content::{Kind, Payload};
use super::headers;
use super::offset::{self, Start};
use super::read::Reply;
use super::source::{Page, Source, View, pause_within};
use super::text::{Behind, Text};
use crate::app::App;
use crate::auth::revocation::Guard;
use crate::http::portions::Portions;

/// A connection ends after this, as the protocol wants it (8.2): a reader comes back with the place it was told.
const CONNECTION: Duration = Duration::from_secs(60);
/// Silence after which the place is said again, to keep proxies from closing the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Data written at once; what waits beyond it waits in the store. One chunk may have as much again, and one
/// JSON message up to 4 MiB.
const FRAME_BYTES: usize = 256 << 10;

struct Follower {
    app: Arc<App>,
    source: Source,
    view: View,
    /// Data that is to be written first.
    first: Option<Page>,
    /// Follows the log from its present end on; none while there is older data to write.
    tail: Option<Tail>,
    /// The offset after what was written and what `text` holds.
    next: u64,
    text: Text,
    /// The one that was told last.
    cursor: u64,
    until: Instant,
    portions: Portions,
    guard: Guard,
    over: bool,
    open: Gauge,
    _place: OwnedSemaphorePermit,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// A page of which one frame is made.
pub async fn page(app: &App, source: &Source, start: Start) -> Result<Page> {
    source.page_of(app, start, Some(FRAME_BYTES)).await
}

/// The response that begins with `first`. `place` is held as long as it lasts.
pub fn follow(
    app: Arc<App>, source: Source, first: Page, cursor: Option<&str>, place: OwnedSemaphorePermit,
) -> Response {
    let mut reply = Reply::new("text/event-stream");
    reply.set(header::CACHE_CONTROL, "no-cache");
    reply.set(header::HeaderName::from_static("x-accel-buffering"), "no");
    if first.view.kind == Kind::Binary {
        reply.set(headers::SSE_ENCODING, "base64");
    }
    let open = app.functions.metrics().stream_followers.clone();
    open.inc();
    let follower = Follower {
        view: first.view.clone(),
        next: first.from,
        first: Some(first),
        tail: None,
        text: Text::default(),
        cursor: offset::cursor(app.clock.now_ms(), cursor, rand::random()),
        until: Instant::now() + CONNECTION,
        portions: Portions::new(),
        guard: source.guard(&app),
        over: false,
        open,
        _place: place,
        source,
        app,
    };
    let frames = stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Some((Ok::<_, Infallible>(frame), follower))
    });
    reply.send(StatusCode::OK, Body::from_stream(frames))
}

impl Follower {
    /// The next bytes to send; `None` ends the connection, which a reader opens again where it was.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(portion) = self.portions.next() {
            return Some(portion);
        }
        let has_time = Instant::now() < self.until && !self.portions.is_slow();
        if self.over || !has_time || self.guard.ended().now_or_never().is_some() {
            return None;
        }
        match self.frame().await {
            Ok(frame) => frame.map(|frame| self.portions.begin(frame.into())),
            Err(error) => {
                // The status was sent long ago. A stream that was deleted ends like this, too.
                crate::functions::shown("stream", error);
                None
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<String>> {
        if self.tail.is_some() {
            return self.live().await;
        }
        let page = match self.first.take() {
            Some(page) => page,
            None => {
                let page = page(&self.app, &self.source, Start::At(self.next)).await?;
                self.source.touch(&self.app, &page.view).await?;
                page
            }
        };
        if self.is_same(&page.view) { self.catch_up(page).await } else { Ok(None) }
    }

    /// Whether it is still the stream that is followed: another one may have the name by now.
    fn is_same(&self, view: &View) -> bool {
        view.log == self.view.log
    }

    /// A page of stored data; the last one hands over to the tail.
    async fn catch_up(&mut self, page: Page) -> Result<Option<String>> {
        let mut frame = String::new();
        self.next = page.next;
        let up_to_date = page.is_up_to_date();
        self.over = page.is_final();
        self.view = page.view;
        self.write(&mut frame, page.payload, up_to_date)?;
        if up_to_date && !self.over {
            self.tail = Some(self.view.tail(&self.app, self.next).await?);
        }
        Ok(Some(frame))
    }

    /// Waits for what comes next.
    async fn live(&mut self) -> Result<Option<String>> {
        let Some(tail) = &mut self.tail else { return Ok(None) };
        let heartbeat = Instant::now() + self.view.ttl_seconds.map_or(HEARTBEAT, pause_within).min(HEARTBEAT);
        let app = Arc::clone(&self.app);
        let chunks = tokio::select! {
            chunks = tail.next() => chunks?,
            () = sleep_until(heartbeat.min(self.until)) => return self.silent().await,
            () = app.shutdown.cancelled() => return Ok(None),
            // The reader comes back at once and is told with the answer of that request.
            _ = self.guard.ended() => return Ok(None),
        };
        let mut payload = Payload::new(self.view.kind);
        let Some(chunks) = chunks else { return self.ended(payload).await };
        self.next = self.view.take(&mut payload, &chunks, self.next)?;
        // What is ready already goes out in the same write.
        while payload.len() < FRAME_BYTES as u64 {
            match tail.next().now_or_never() {
                Some(Ok(Some(chunks))) => self.next = self.view.take(&mut payload, &chunks, self.next)?,
                Some(Ok(None)) => return self.ended(payload).await,
                Some(Err(error)) => return Err(error),
                None => break,
            }
        }
        let up_to_date = tail.is_waiting();
        let mut frame = String::new();
        self.write(&mut frame, payload, up_to_date)?;
        Ok(Some(frame))
    }

    /// The log has ended: the stream was closed, or deleted.
    async fn ended(&mut self, payload: Payload) -> Result<Option<String>> {
        let view = self.source.view(&self.app).await.ok().filter(|view| self.is_same(view) && view.closed);
        let mut frame = String::new();
        if let Some(view) = view.as_ref().filter(|view| view.end > self.next) {
            // The log of an answer, removed after its time: pages have the rest of the message.
            (self.tail, self.view.closed, self.view.end) = (None, true, view.end);
            self.write(&mut frame, payload, false)?;
            return Ok(Some(frame));
        }
        self.over = true;
        if view.is_none() && payload.is_empty() {
            return Ok(None);
        }
        self.view.closed = view.is_some();
        self.write(&mut frame, payload, true)?;
        Ok(Some(frame))
    }

    /// Nothing came for a while.
    async fn silent(&mut self) -> Result<Option<String>> {
        if Instant::now() >= self.until {
            return Ok(None);
        }
        // Following is reading: it keeps a stream alive whose lifetime slides, and notices one that is over.
        let view = self.source.view(&self.app).await?;
        if !self.is_same(&view) {
            return Ok(None);
        }
        self.source.touch(&self.app, &view).await?;
        self.view = view;
        let mut frame = String::new();
        self.control(&mut frame, self.next >= self.view.end);
        Ok(Some(frame))
    }

    fn write(&mut self, frame: &mut String, payload: Payload, up_to_date: bool) -> Result<()> {
        let behind = match (self.over, up_to_date) {
            (true, _) => Behind::Nothing,
            (false, true) => Behind::NothingYet,
            (false, false) => Behind::More,
        };
        let data = match self.view.kind {
            Kind::Text => self.text.take(payload.into_body()?, behind),
            _ if payload.is_empty() => String::new(),
            Kind::Binary => BASE64.encode(payload.into_body()?),
            Kind::Json | Kind::Events => {
                String::from_utf8(payload.into_body()?).map_err(|_| Error::internal("a stored message is not UTF-8"))?
            }
        };
        if !data.is_empty() {
            frame.push_str("event: data\n");
            push_lines(frame, &data);
        }
        self.control(frame, up_to_date);
        Ok(())
    }

    fn control(&mut self, frame: &mut String, up_to_date: bool) {
        let place = offset::format(self.next - self.text.held());
        let mut control = json!({ "streamNextOffset": place });
        if self.over && self.view.closed {
            control["streamClosed"] = true.into();
        } else {
            // Never behind the one before.
            self.cursor = self.cursor.max(offset::cursor(self.app.clock.now_ms(), None, 0));
            control["streamCursor"] = self.cursor.to_string().into();
            if up_to_date {
                control["upToDate"] = true.into();
            }
        }
        frame.push_str("event: control\n");
        push_lines(frame, &control.to_string());
    }
}

/// The payload as `data:` lines, and the end of the event. Any of CR LF, CR and LF ends a line for a
/// reader, so each ends one here. A reader drops one space after the colon; a line that begins with one
/// gets another.
fn push_lines(frame: &mut String, payload: &str) {
    let mut rest = payload;
    loop {
        let end = rest.find(['\r', '\n']);
        let line = &rest[..end.unwrap_or(rest.len())];
        frame.push_str(if line.starts_with(' ') { "data: " } else { "data:" });
        frame.push_str(line);
        frame.push('\n');
        let Some(end) = end else { break };
        let length = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + length..];
    }
    frame.push('\n');
}

#[cfg(test)]
mod tests {
    use super::push_lines;

    #[test]
    fn no_payload_begins_an_event() {
        let mut frame = String::new();
        push_lines(&mut frame, "a\r\n\r\nevent: control\rdata: x\n\n id: 1\u{2028}b");
        assert_eq!(frame, "data:a\ndata:\ndata:event: control\ndata:data: x\ndata:\ndata:  id: 1\u{2028}b\n\n");
    }
}
