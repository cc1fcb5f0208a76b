//! The way to a provider over HTTP: one shared client, one request, one stream of frames.
//!
//! Owns connections, timeouts and the reading of server-sent events. Must never know what a frame
//! means (that is [`Decode`]'s), and must never hold a setting of any one provider.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, Response, Url};
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep};

use super::frames::Frames;
use super::surrogates::Surrogates;
use super::{EventStream, Failure, ProviderEvent, checked};

/// The longest a connection may take to open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest a provider may send nothing at all, from the request on. There is no limit on the whole
/// answer: reasoning models work for many minutes.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The most bytes of one event. A server that never ends its event must not fill the memory.
const MAX_FRAME_BYTES: usize = 8 << 20;
/// The most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// The HTTP client that all providers of a process share: one pool of connections, no settings.
///
/// # Errors
/// Where the TLS roots of the system cannot be read.
pub fn client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would carry `x-api-key` to another host; a POST does not survive most of them anyway.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("spool/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::transport(&error, None))
}

/// A secret that authenticates at one provider. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// `None` for a blank text, which is how an unset key arrives from many environments.
    pub fn new(key: impl AsRef<str>) -> Option<Self> {
        let key = key.as_ref().trim();
        (!key.is_empty()).then(|| Self(key.to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// A header of `prefix` and the key, marked so that no HTTP layer prints it.
    pub(super) fn header(&self, prefix: &str) -> Result<HeaderValue, Failure> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0))
            .map_err(|_| Failure::error("The provider's API key has characters that no header can carry.", false))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// `base` with `path` behind it, whether or not `base` ends in a slash.
///
/// # Errors
/// If `base` is no `http` or `https` URL.
pub(super) fn endpoint(base: &str, path: &str) -> Result<Url, Failure> {
    Url::parse(&format!("{}{path}", base.trim().trim_end_matches('/')))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Failure::error("The provider's base URL is not an http or https URL.", false))
}

/// What the frames of one provider mean.
pub(super) trait Decode: Send + Unpin + 'static {
    /// Reads the data of one event and adds what it says.
    fn frame(&mut self, data: &str, events: &mut Vec<ProviderEvent>) -> Result<(), Failure>;

    /// The stream is over. Adds the `Finish` if the provider had named a reason; many servers close
    /// without their end marker. Adding nothing means that the answer is cut.
    fn close(&mut self, events: &mut Vec<ProviderEvent>);
}

/// Sends `request` at the first poll and reads its answer through `decoder`.
pub(super) fn stream(request: RequestBuilder, decoder: impl Decode, key: Option<ApiKey>) -> EventStream {
    let opened = stream::once(async move {
        let response = open(request, key.as_ref()).await?;
        Ok(reading(Box::pin(response.bytes_stream()), decoder, key))
    });
    checked(opened.try_flatten())
}

async fn open(request: RequestBuilder, key: Option<&ApiKey>) -> Result<Response, Failure> {
    let sent = tokio::time::timeout(IDLE_TIMEOUT, request.header(ACCEPT, "text/event-stream").send()).await;
    let response = sent.map_err(|_| Failure::silent())?.map_err(|error| Failure::transport(&error, key))?;
    let status = response.status();
    if !status.is_success() {
        let body = error_body(response).await;
        return Err(Failure::answered(status.as_u16(), &body, key));
    }
    // Some servers leave the type out, so only a type that cannot be a stream is refused.
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") || kind.starts_with("text/html") {
        let body = error_body(response).await;
        return Err(match serde_json::from_str::<Value>(&body) {
            Ok(json) if json.get("error").is_some() => Failure::reported(&json, key),
            _ => Failure::error("The model provider did not answer with a stream; check its base URL.", false),
        });
    }
    Ok(response)
}

/// As much of a body as an excerpt can need, and as comes in time. An error while reading it is no news: the status
/// is.
async fn error_body(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(IDLE_TIMEOUT, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    body.truncate(MAX_ERROR_BYTES);
    String::from_utf8_lossy(&body).into_owned()
}

type Body = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// Everything that one answer needs while it is read.
struct Reading<D> {
    body: Body,
    frames: Frames,
    surrogates: Surrogates,
    decoder: D,
    key: Option<ApiKey>,
    /// Of the frame that is being read; its memory is used again.
    events: Vec<ProviderEvent>,
    ready: VecDeque<Result<ProviderEvent, Failure>>,
    open: bool,
    /// When something last came, and a timer that is set anew only when it fires: setting it for every frame costs
    /// as much as reading the frame.
    heard: Instant,
    silence: Pin<Box<Sleep>>,
}

fn reading<D: Decode>(body: Body, decoder: D, key: Option<ApiKey>) -> Reading<D> {
    Reading {
        body,
        frames: Frames::default(),
        surrogates: Surrogates::default(),
        decoder,
        key,
        events: Vec::new(),
        ready: VecDeque::new(),
        open: true,
        heard: Instant::now(),
        silence: Box::pin(sleep(IDLE_TIMEOUT)),
    }
}

impl<D: Decode> Stream for Reading<D> {
    type Item = Result<ProviderEvent, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.ready.is_empty() && self.open {
            let failure = match self.body.as_mut().poll_next(task) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.heard = Instant::now();
                    self.read(&bytes).err()
                }
                Poll::Ready(end) => self.close(end.and_then(Result::err)),
                Poll::Pending => {
                    ready!(self.poll_silent(task));
                    Some(Failure::silent())
                }
            };
            self.open &= failure.is_none();
            self.ready.extend(failure.map(Err));
        }
        Poll::Ready(self.ready.pop_front())
    }
}

impl<D: Decode> Reading<D> {
    /// Ready once nothing has come for [`IDLE_TIMEOUT`].
    fn poll_silent(&mut self, task: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.silence.as_mut().poll(task));
            let until = self.heard + IDLE_TIMEOUT;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.silence.as_mut().reset(until);
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next() {
            let data = self.surrogates.mend(frame.map_err(|_| unreadable())?);
            let read = self.decoder.frame(&data, &mut self.events);
            self.ready.extend(self.events.drain(..).map(Ok));
            read?;
        }
        if self.frames.held() > MAX_FRAME_BYTES {
            return Err(Failure::error("The model provider sent an event that is too large.", false));
        }
        Ok(())
    }

    /// A connection that breaks after the provider named its reason has lost nothing.
    fn close(&mut self, broken: Option<reqwest::Error>) -> Option<Failure> {
        self.open = false;
        self.decoder.close(&mut self.events);
        let failure = broken.filter(|_| self.events.is_empty());
        self.ready.extend(self.events.drain(..).map(Ok));
        failure.map(|error| Failure::transport(&error, self.key.as_ref()))
    }
}

/// The failure for a frame that is not what the protocol says.
pub(super) fn unreadable() -> Failure {
    Failure::error("The model provider sent something that is not in its protocol.", true)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    struct Nothing;

    impl Decode for Nothing {
        fn frame(&mut self, _: &str, _: &mut Vec<ProviderEvent>) -> Result<(), Failure> {
            Ok(())
        }

        fn close(&mut self, _: &mut Vec<ProviderEvent>) {}
    }

    #[tokio::test(start_paused = true)]
    async fn st_09_silence_counts_from_what_came_last() {
        let body = stream::once(async {
            sleep(IDLE_TIMEOUT - Duration::from_secs(1)).await;
            Ok(Bytes::from_static(b": still here\n\n"))
        });
        let begun = Instant::now();
        let mut reading = reading(Box::pin(body.chain(stream::pending())), Nothing, None);
        let failure = reading.next().await.unwrap().unwrap_err();
        assert_eq!(failure, Failure::silent());
        assert_eq!(begun.elapsed().as_secs(), 2 * IDLE_TIMEOUT.as_secs() - 1);
        assert!(reading.next().await.is_none());
    }
}
