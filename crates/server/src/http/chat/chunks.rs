//! Events of a log as the chunks of a UI message stream, and where such a stream ends before its log does.

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use spool_protocol::ai_sdk::{Chunk, DONE, Encoder, write_sse};
use spool_protocol::{Error, Event};

use super::links::Links;
use crate::http::follow::Wire;

/// The wire: chunks in `data:` lines, the offset in `id:`.
pub struct Chunks {
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
    pub fn new(encoder: Encoder, links: Links) -> Self {
        Self { encoder, links, paused: false }
    }

    /// With `end`, only the last of the events has a place, and that is it.
    fn say(&mut self, events: Vec<Event>, end: Option<u64>, out: &mut String) {
        if self.paused {
            return;
        }
        self.encoder.foresee(&events);
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            let last = matches!(event, Event::Status { .. });
            let mut chunks = self.encoder.push(event);
            self.links.complete(&mut chunks);
            let place = match end {
                None => Some(self.encoder.offset()),
                Some(end) => events.as_slice().is_empty().then_some(end),
            };
            write_sse(&chunks, place, out);
            if last {
                out.push_str(DONE);
            }
            if self.pause_if_asked(events.as_slice(), out) {
                return;
            }
        }
    }

    /// Ends the stream if its reader has to ask its user now, and about nothing more in `next`, which follows at once.
    pub fn pause_if_asked(&mut self, next: &[Event], out: &mut String) -> bool {
        self.paused = self.encoder.waits() && !self.encoder.asks_in(next);
        if self.paused {
            write_sse(&self.encoder.pause(), self.encoder.offset(), out);
            out.push_str(DONE);
        }
        self.paused
    }
}

/// The body up to the frame that ends in `[DONE]`: a stream that is paused ends, though its log goes on.
pub fn until_done(body: Body) -> Body {
    let frames = stream::unfold(Some(body.into_data_stream()), |frames| async move {
        let mut frames = frames?;
        let frame = frames.next().await?;
        let last = frame.as_ref().is_ok_and(|bytes| bytes.ends_with(DONE.as_bytes()));
        Some((frame, (!last).then_some(frames)))
    });
    Body::from_stream(frames)
}
