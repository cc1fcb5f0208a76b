//! GET and HEAD: what is there, a page of it, or the wait for more.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use spool_protocol::{Error, Result};
use tokio::time::{Instant, sleep, sleep_until};

use super::offset::{self, Start};
use super::source::{Page, Source, View, pause_within};
use super::{Answer, Params, caller, headers, parameter, paths, sse};
use crate::app::App;

/// How long a page that nothing can change may be kept, and how much longer it may be shown while it is asked for
/// again, in seconds.
const FRESH_SECONDS: u64 = 60;
const STALE_SECONDS: u64 = 300;
/// A page that ends where the stream ends now: the same request has another answer in a moment, so it is
/// asked for again each time, by its ETag. (The protocol would allow keeping it, too; then a reader in a
/// browser would miss for a minute what it has written itself.)
const CHECKED: &str = "private, no-cache";

/// How long what cannot change may be kept, and by whom: by its reader, not by a cache that others share, because a
/// stream is its owner's. But a signed URL lets in everybody who has it, so such a cache may keep an answer under it,
/// for as long as the URL can be opened.
fn kept(shared_until_ms: Option<u64>, now_ms: u64) -> String {
    let (by, left) = match shared_until_ms {
        None => ("private", u64::MAX),
        Some(until) => ("public", until.saturating_sub(now_ms) / 1000),
    };
    let fresh = left.min(FRESH_SECONDS);
    let stale = (left - fresh).min(STALE_SECONDS);
    format!("{by}, max-age={fresh}, stale-while-revalidate={stale}")
}

async fn source(app: &App, headers: &HeaderMap, params: &[(String, String)], path: String) -> Result<Source> {
    let whose = caller::reader(app, headers, params, &path).await?;
    Ok(Source::new(whose, paths::target(path)?))
}

pub async fn head(
    State(app): State<Arc<App>>, Path(path): Path<String>, Query(params): Params, request: HeaderMap,
) -> Answer {
    let view = source(&app, &request, &params, path).await?.view(&app).await?;
    let mut reply = Reply::new(&view.content_type);
    reply.set(headers::NEXT_OFFSET, offset::format(view.end));
    reply.set(header::CACHE_CONTROL, "no-store");
    reply.set_if(view.closed, headers::CLOSED);
    if let Some(ttl) = view.ttl_seconds {
        reply.set(headers::TTL, ttl.to_string());
    }
    if let Some(until) = view.expires_at {
        reply.set(headers::EXPIRES_AT, until);
    }
    Ok(reply.send(StatusCode::OK, Body::empty()))
}

pub async fn get(
    State(app): State<Arc<App>>, Path(path): Path<String>, Query(params): Params, request: HeaderMap,
) -> Answer {
    let source = source(&app, &request, &params, path).await?;
    let start = offset::start(&params)?;
    let client = parameter(&params, "cursor");
    let needed = || Error::bad_request("offset: live reads begin at an offset; -1 is the start").with("path", "offset");
    match parameter(&params, "live") {
        None => page(&app, &source, start, &request).await,
        Some("long-poll") => long_poll(&app, &source, start.ok_or_else(needed)?, client).await,
        Some("sse") => {
            let place = app.admit()?;
            let first = sse::page(&app, &source, start.ok_or_else(needed)?).await?;
            source.touch(&app, &first.view).await?;
            Ok(sse::follow(app, source, first, client, place))
        }
        Some(_) => Err(Error::bad_request("live: long-poll or sse").with("path", "live").into()),
    }
}

/// What is there now.
async fn page(app: &App, source: &Source, start: Option<Start>, request: &HeaderMap) -> Answer {
    let start = start.unwrap_or(Start::At(0));
    let page = source.page(app, start).await?;
    source.touch(app, &page.view).await?;
    let mut reply = Reply::new(&page.view.content_type);
    reply.place(&page);
    if start == Start::End {
        reply.set(header::CACHE_CONTROL, "no-store");
        return Ok(reply.send(StatusCode::OK, page.payload.into_body()?));
    }
    let etag = etag(&page);
    reply.set(header::ETAG, etag.clone());
    if page.is_up_to_date() && !page.view.closed {
        reply.set(header::CACHE_CONTROL, CHECKED);
    } else {
        reply.set(header::CACHE_CONTROL, kept(source.shared_until_ms(), app.clock.now_ms()));
    }
    reply.set(header::VARY, "authorization");
    if headers::has_version(request, &etag) {
        return Ok(reply.send(StatusCode::NOT_MODIFIED, Body::empty()));
    }
    Ok(reply.send(StatusCode::OK, page.payload.into_body()?))
}

/// Names the stream (not only its path: a new stream there is another), the place, and what a reader may
/// conclude at its end.
fn etag(page: &Page) -> String {
    let mark = match (page.is_final(), page.is_up_to_date()) {
        (true, _) => ":closed",
        (false, true) => ":tail",
        (false, false) => "",
    };
    format!("\"{}:{}:{}{mark}\"", page.view.log, page.from, page.next)
}

/// What is there, or what comes within the wait.
async fn long_poll(app: &App, source: &Source, start: Start, client: Option<&str>) -> Answer {
    let mut page = source.page(app, start).await?;
    source.touch(app, &page.view).await?;
    if page.payload.is_empty() && !page.is_final() {
        let view = page.view;
        wait(app, source, &view, page.next).await?;
        page = source.page(app, Start::At(page.next)).await?;
        // Another stream may have the name by now.
        if page.view.log != view.log {
            return Err(Error::not_found("stream").into());
        }
        source.touch(app, &page.view).await?;
    }
    let mut reply = Reply::new(&page.view.content_type);
    reply.place(&page);
    reply.set(headers::CURSOR, offset::cursor(app.clock.now_ms(), client, rand::random()).to_string());
    if page.payload.is_empty() {
        reply.set(header::CACHE_CONTROL, "no-store");
        reply.0.remove(header::CONTENT_TYPE);
        return Ok(reply.send(StatusCode::NO_CONTENT, Body::empty()));
    }
    reply.set(header::ETAG, etag(&page));
    // The data does not change. But it ends where the stream ended, and a reader who asks anew may hear of more: so
    // no cache that is shared.
    reply.set(header::CACHE_CONTROL, kept(None, 0));
    reply.set(header::VARY, "authorization");
    Ok(reply.send(StatusCode::OK, page.payload.into_body()?))
}

/// Until there is something after `offset`, the stream ends, or the time is up. Waiting is reading: it keeps a stream
/// alive whose lifetime slides. Fails when the reader's credential is over, or when the server has as many open
/// connections as it may.
async fn wait(app: &App, source: &Source, view: &View, offset: u64) -> Result<()> {
    let _place = app.admit()?;
    let mut guard = source.guard(app);
    let mut tail = view.tail(app, offset).await?;
    let limit = Duration::from_millis(app.config.streams.long_poll_ms);
    let (until, pause) = (Instant::now() + limit, view.ttl_seconds.map_or(limit, pause_within));
    loop {
        tokio::select! {
            news = tail.next() => return news.map(drop),
            why = guard.ended() => return Err(why),
            () = sleep_until(until) => return Ok(()),
            () = app.shutdown.cancelled() => return Ok(()),
            () = sleep(pause) => source.touch(app, &source.view(app).await?).await?,
        }
    }
}

/// The head of an answer.
pub struct Reply(HeaderMap);

impl Reply {
    pub fn new(content_type: &str) -> Self {
        let mut reply = Self(HeaderMap::new());
        reply.set(header::CONTENT_TYPE, content_type);
        reply
    }

    pub fn bare() -> Self {
        Self(HeaderMap::new())
    }

    pub fn set(&mut self, name: HeaderName, value: impl Into<String>) {
        // What is no header value was never accepted as one.
        if let Ok(value) = HeaderValue::try_from(value.into()) {
            self.0.insert(name, value);
        }
    }

    pub fn set_if(&mut self, condition: bool, name: HeaderName) {
        if condition {
            self.set(name, "true");
        }
    }

    fn place(&mut self, page: &Page) {
        self.set(headers::NEXT_OFFSET, offset::format(page.next));
        self.set_if(page.is_up_to_date(), headers::UP_TO_DATE);
        self.set_if(page.is_final(), headers::CLOSED);
    }

    pub fn send(self, status: StatusCode, body: impl Into<Body>) -> Response {
        (status, self.0, body.into()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::kept;

    #[test]
    fn nothing_is_kept_longer_than_its_url_can_be_opened() {
        for (left_ms, expected) in [
            (3_600_000, "public, max-age=60, stale-while-revalidate=300"),
            (100_000, "public, max-age=60, stale-while-revalidate=40"),
            (9_999, "public, max-age=9, stale-while-revalidate=0"),
            (0, "public, max-age=0, stale-while-revalidate=0"),
        ] {
            assert_eq!(kept(Some(5_000 + left_ms), 5_000), expected);
        }
        assert_eq!(kept(None, 5_000), "private, max-age=60, stale-while-revalidate=300");
    }
}
