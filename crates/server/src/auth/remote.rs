//! The published keys of one issuer: fetched when first needed, kept, and fetched again.
//!
//! Whoever sends garbage must not make this server call others: a key id that is not known leads to at
//! most one fetch per interval, and everybody who waits shares it. An issuer that is away takes nobody's
//! session: the last good keys serve until they are too old to be believed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spool_protocol::Error;
use spool_store::Clock;

use super::jwt::{Reason, Token};
use super::keys::{self, Key};
use crate::config::auth::Issuer;

/// The longest a fetch may take, discovery included. Whoever signs in waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Key sets have a few thousand bytes.
const DOCUMENT_BYTES: usize = 256 << 10;
/// What a fault may take in the log.
const FAULT_BYTES: usize = 500;
/// Without any keys nobody can sign in, so a fetch that failed is tried again sooner than the interval says.
const PAUSE_AFTER_FAILURE_MS: u64 = 2_000;
/// Keys that could not be renewed for so long are not believed any more: the issuer may have withdrawn one.
const STALE_MS: u64 = 24 * 3600 * 1000;

pub struct RemoteKeys {
    issuer: Issuer,
    client: Client,
    clock: Arc<dyn Clock>,
    known: RwLock<Option<Arc<Known>>>,
    /// Held while a fetch runs.
    gate: Arc<tokio::sync::Mutex<Last>>,
}

/// Keys, and when they were fetched.
struct Known {
    keys: Vec<Key>,
    at_ms: u64,
}

/// How the last fetch ended, and when.
#[derive(Default)]
struct Last {
    at_ms: Option<u64>,
    failed: bool,
}

/// A client for keys. Redirects are not followed: whom to believe is in the configuration.
pub fn client() -> anyhow::Result<Client> {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
    Ok(builder.user_agent(concat!("spool/", env!("CARGO_PKG_VERSION"))).build()?)
}

impl RemoteKeys {
    pub fn new(issuer: Issuer, client: Client, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { issuer, client, clock, known: RwLock::default(), gate: Arc::default() })
    }

    /// The keys to check `token` with; they may lack the one it names.
    pub async fn for_token(self: &Arc<Self>, token: &Token<'_>) -> Result<Vec<Key>, Error> {
        let seen = self.known();
        if let Some(known) = self.believed(&seen).filter(|known| known.keys.iter().any(|key| token.names(key))) {
            // In the background, by the first who comes: the old keys are good enough for this token.
            let old = self.age_ms(known) >= self.issuer.cache_seconds * 1000;
            if old && self.gate.try_lock().is_ok_and(|last| self.may_fetch(&last)) {
                self.refresh(seen.clone());
            }
            return Ok(known.keys.clone());
        }
        // The task goes on if this caller leaves, so that callers who hang up cannot keep others waiting.
        let failed = self.refresh(seen).await.unwrap_or(true);
        let known = self.known();
        match self.believed(&known) {
            // Nobody can say whether the issuer knows this key.
            Some(known) if failed && !known.keys.iter().any(|key| token.names(key)) => {
                Err(Reason::IssuerUnavailable.error())
            }
            Some(known) => Ok(known.keys.clone()),
            None => Err(Reason::IssuerUnavailable.error()),
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn believed<'known>(&self, known: &'known Option<Arc<Known>>) -> Option<&'known Known> {
        known.as_deref().filter(|known| self.age_ms(known) < STALE_MS)
    }

    fn age_ms(&self, known: &Known) -> u64 {
        self.clock.now_ms().saturating_sub(known.at_ms)
    }

    /// Fetches the keys unless somebody has since `seen`, or has tried just now. Ends with whether the
    /// last fetch failed.
    fn refresh(self: &Arc<Self>, seen: Option<Arc<Known>>) -> tokio::task::JoinHandle<bool> {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut last = this.gate.lock().await;
            let renewed = this.known().map(|known| known.at_ms) != seen.map(|seen| seen.at_ms);
            if renewed || !this.may_fetch(&last) {
                return last.failed;
            }
            match this.fetch().await {
                Ok(keys) => {
                    let known = Known { keys, at_ms: this.clock.now_ms() };
                    *this.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
                    last.failed = false;
                }
                Err(mut why) => {
                    // Some of it may be the words of whoever answered.
                    why.truncate(why.floor_char_boundary(FAULT_BYTES));
                    tracing::warn!(issuer = this.issuer.issuer, why, "the keys of an issuer could not be fetched");
                    last.failed = true;
                }
            }
            last.at_ms = Some(this.clock.now_ms());
            last.failed
        })
    }

    fn may_fetch(&self, last: &Last) -> bool {
        let interval = self.issuer.refetch_seconds * 1000;
        let pause = if last.failed && self.known().is_none() { interval.min(PAUSE_AFTER_FAILURE_MS) } else { interval };
        last.at_ms.is_none_or(|at| self.clock.now_ms().saturating_sub(at) >= pause)
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let fetched = tokio::time::timeout(PATIENCE, self.fetch_slowly()).await;
        fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    async fn fetch_slowly(&self) -> Result<Vec<Key>, String> {
        let url = match &self.issuer.jwks {
            Some(url) => self.issuer.fetchable(url).map_err(|e| format!("jwks: {e:#}"))?,
            None => self.discover().await?,
        };
        let set = self.get(url.clone()).await.map_err(|why| format!("{url}: {why}"))?;
        keys::of_set(&set).map_err(|why| format!("{url}: {why}"))
    }

    /// Where the issuer says that its keys are.
    async fn discover(&self) -> Result<Url, String> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
        }
        let url = self.issuer.discovery_url().map_err(|e| format!("{e:#}"))?;
        let read = async {
            let document: Document = parse(&self.get(url.clone()).await?)?;
            // OpenID Connect Discovery 1.0, 4.3: else one issuer could stand in for another.
            if document.issuer != self.issuer.issuer {
                return Err(format!("it says that it is \"{}\"; auth.issuers must say the same", document.issuer));
            }
            let keys = self.issuer.fetchable(&document.jwks_uri).map_err(|e| format!("jwks_uri: {e:#}"))?;
            // An issuer elsewhere has nothing to say about what runs on this machine.
            if url.scheme() == "https" && keys.scheme() != "https" {
                return Err("jwks_uri: must use https, as the issuer does".to_owned());
            }
            Ok(keys)
        };
        read.await.map_err(|why| format!("{url}: {why}"))
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, String> {
        let request = self.client.get(url).header("accept", "application/json, application/jwk-set+json");
        let (status, body) = send(request).await?;
        if status == 200 { Ok(body) } else { Err(format!("status {status}")) }
    }
}

/// The status and the body of an answer of at most [`DOCUMENT_BYTES`].
pub async fn send(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
    let mut answer = request.send().await.map_err(|e| reason_of(&e))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| reason_of(&e))? {
        if body.len() + chunk.len() > DOCUMENT_BYTES {
            return Err(format!("more than {DOCUMENT_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("not the expected document: {e}"))
}

/// The innermost cause says what is wrong (`connection refused`), the outer ones that something is.
fn reason_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() }
}
