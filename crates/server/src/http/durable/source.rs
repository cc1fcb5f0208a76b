//! What can be read on this wire, behind one face: a durable stream, or a generation.
//!
//! Pages come from queries; a [`Tail`] takes over at the end, so that new data runs no query.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use spool_chat::functions::streams::Meta;
use spool_chat::functions::streams::read::Slice;
use spool_chat::states::GenerationStatus;
use spool_chat::tables::Generation;
use spool_protocol::{Event, Result};
use spool_store::{Chunk, Id, Tail};

use super::super::follow;
use super::caller::Whose;
use super::content::{Kind, Payload};
use super::offset::Start;
use super::paths::Target;
use crate::app::App;
use crate::auth::revocation::Guard;
use crate::functions::decoded;

/// A stream, and who reads it.
#[derive(Debug, Clone)]
pub struct Source {
    whose: Whose,
    target: Target,
}

/// How often a stream whose lifetime slides is noted as used while somebody waits at its end: often enough to keep it.
pub fn pause_within(ttl_seconds: u64) -> Duration {
    Duration::from_millis((ttl_seconds.saturating_mul(1000) / 2).max(100))
}

/// What a reader is told of a stream besides its data.
#[derive(Debug, Clone)]
pub struct View {
    pub log: String,
    /// The offset at which the log begins.
    pub base: u64,
    pub kind: Kind,
    pub content_type: String,
    pub end: u64,
    pub closed: bool,
    pub ttl_seconds: Option<u64>,
    pub expires_at: Option<String>,
    touch_due: bool,
}

/// A piece of a stream.
#[derive(Debug, Clone)]
pub struct Page {
    pub view: View,
    pub payload: Payload,
    pub from: u64,
    /// Where to go on.
    pub next: u64,
}

impl Page {
    pub fn is_up_to_date(&self) -> bool {
        self.next >= self.view.end
    }

    /// Whether nothing can follow.
    pub fn is_final(&self) -> bool {
        self.view.closed && self.is_up_to_date()
    }
}

/// What `streams:read` answers.
#[derive(Deserialize)]
struct Read {
    meta: Meta,
    slices: Vec<Slice>,
    from: u64,
    next: u64,
}

/// What `generations:get` answers, as far as it matters here.
#[derive(Deserialize)]
struct Progress {
    status: GenerationStatus,
    cursor: u64,
}

impl Source {
    pub fn new(whose: Whose, target: Target) -> Self {
        Self { whose, target }
    }

    /// Ends a wait or a connection with the reader's credential.
    pub fn guard(&self, app: &App) -> Guard {
        app.auth.revocations().guard(&self.whose.identity)
    }

    /// Until when everybody may read who has the reader's URL, in milliseconds.
    pub fn shared_until_ms(&self) -> Option<u64> {
        self.whose.shared_until_ms
    }

    pub async fn view(&self, app: &App) -> Result<View> {
        match &self.target {
            Target::Stream(path) => {
                let args = json!({ "owner": self.whose.owner, "path": path });
                Ok(view_of(app.functions.ask("streams:meta", args).await?))
            }
            Target::Generation(id) => {
                let progress = self.progress(app, id).await?;
                Ok(generation_view(id, progress.cursor, progress.status))
            }
        }
    }

    /// Data from `start` on, as much as fits a page. Refuses an offset beyond the end.
    pub async fn page(&self, app: &App, start: Start) -> Result<Page> {
        self.page_of(app, start, None).await
    }

    /// The same with at most `max_bytes` of data, unless one chunk alone has more. (Pages of an answer have
    /// 256 KiB anyway.)
    pub async fn page_of(&self, app: &App, start: Start, max_bytes: Option<usize>) -> Result<Page> {
        match &self.target {
            Target::Stream(path) => {
                let mut args = json!({ "owner": self.whose.owner, "path": path, "maxBytes": max_bytes });
                if let Start::At(offset) = start {
                    args["offset"] = offset.into();
                }
                let Read { meta, slices, from, next } = app.functions.ask("streams:read", args).await?;
                let view = view_of(meta);
                let mut payload = Payload::new(view.kind);
                for slice in slices {
                    payload.push(&slice.data, slice.start, slice.from, slice.to)?;
                }
                Ok(Page { view, payload, from, next })
            }
            Target::Generation(id) => self.generation_page(app, id, start).await,
        }
    }

    async fn generation_page(&self, app: &App, id: &Id<Generation>, start: Start) -> Result<Page> {
        // The end first: what the log has beyond it by the time it is read only makes the page longer.
        let progress = self.progress(app, id).await?;
        let Start::At(from) = start else {
            // The end, and nothing that came behind it meanwhile.
            let (from, payload) = (progress.cursor, Payload::new(Kind::Events));
            return Ok(Page { view: generation_view(id, from, progress.status), payload, from, next: from });
        };
        let deltas = follow::deltas(&app.functions, &self.whose.identity.principal, id.as_str(), from).await?;
        let over = matches!(deltas.events.last(), Some(Event::Status { .. }));
        let status = if over { deltas.status } else { progress.status };
        let mut payload = Payload::new(Kind::Events);
        payload.push_events(deltas.events);
        let view = generation_view(id, progress.cursor, status);
        Ok(Page { view, payload, from, next: deltas.cursor })
    }

    async fn progress(&self, app: &App, id: &Id<Generation>) -> Result<Progress> {
        let args = json!({ "generationId": id });
        let (_, progress) = app.functions.query("generations:get", &self.whose.identity.principal, args).await?;
        decoded("generations:get", &progress)
    }

    /// Notes that the stream was read, if its lifetime slides and the last note is old enough.
    pub async fn touch(&self, app: &App, view: &View) -> Result<()> {
        let Target::Stream(path) = &self.target else { return Ok(()) };
        if view.touch_due {
            let args = json!({ "owner": self.whose.owner, "path": path });
            app.functions.tell::<()>("streams:touch", args).await?;
        }
        Ok(())
    }
}

impl View {
    /// Follows from `offset` on, which must not lie before the log's own beginning.
    pub async fn tail(&self, app: &App, offset: u64) -> Result<Tail> {
        app.functions.store().tail(&self.log, offset.saturating_sub(self.base)).await
    }

    /// Adds followed chunks; returns the offset after them.
    pub fn take(&self, payload: &mut Payload, chunks: &[Chunk], from: u64) -> Result<u64> {
        let mut next = from;
        for chunk in chunks {
            let (start, end) = (self.base + chunk.start, self.base + chunk.end);
            if end > next {
                payload.push_rest(&chunk.data, start, next.max(start))?;
                next = end;
            }
        }
        Ok(next)
    }
}

fn view_of(meta: Meta) -> View {
    View {
        kind: Kind::of(&meta.content_type),
        log: meta.log,
        base: meta.base,
        content_type: meta.content_type,
        end: meta.end,
        closed: meta.closed,
        ttl_seconds: meta.ttl_seconds,
        expires_at: meta.expires_at,
        touch_due: meta.touch_due,
    }
}

fn generation_view(id: &Id<Generation>, end: u64, status: GenerationStatus) -> View {
    View {
        log: id.to_string(),
        base: 0,
        kind: Kind::Events,
        content_type: "application/json".to_owned(),
        end,
        closed: status.is_terminal(),
        ttl_seconds: None,
        expires_at: None,
        touch_due: false,
    }
}
