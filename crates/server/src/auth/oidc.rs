//! Sign-in with an identity provider, for the built-in UI: OpenID Connect's code flow with PKCE.
//!
//! This server is the client: the browser never sees a token of the provider. The id token is checked like
//! any token of an issuer, and must be for this client and of this very sign-in. Nothing here is logged that
//! the provider or the browser said, except words of a closed list and short descriptions of faults.

pub mod pending;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Url};
use serde::Deserialize;
use spool_store::Clock;

use super::issuers::Issuer;
use super::jwt::{Claims, Token};
use super::remote;
use crate::config::providers::Provider as Settings;
use pending::{Pending, Seal};

/// How long what a provider says of itself is believed, in milliseconds.
const BELIEVED_MS: u64 = 10 * 60_000;
/// Between two attempts to reach a provider that is away: whoever clicks again must not make us call others.
const PAUSE_MS: u64 = 1_000;

/// Why a sign-in failed, as `signin_error` says in the address of the page that it ends on. A closed list; the
/// UI has a sentence for each, and `docs/authentication.md` says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    UnknownProvider,
    BadReturn,
    StateMissing,
    StateMismatch,
    StateExpired,
    Denied,
    ProviderError,
    ProviderUnavailable,
    CodeRefused,
    TokenRefused,
    NonceMismatch,
    ServerError,
}

impl Failure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_provider",
            Self::BadReturn => "bad_return",
            Self::StateMissing => "state_missing",
            Self::StateMismatch => "state_mismatch",
            Self::StateExpired => "state_expired",
            Self::Denied => "denied",
            Self::ProviderError => "provider_error",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::CodeRefused => "code_refused",
            Self::TokenRefused => "token_refused",
            Self::NonceMismatch => "nonce_mismatch",
            Self::ServerError => "server_error",
        }
    }
}

/// Everybody that people can sign in with.
pub struct Providers {
    providers: HashMap<String, Provider>,
    pub seal: Seal,
    client: Client,
    clock: Arc<dyn Clock>,
}

struct Provider {
    settings: Settings,
    /// Checks its id tokens.
    issuer: Issuer,
    /// What it said when it was asked last, and when that was; nothing if it could not be reached.
    known: Mutex<Option<(u64, Option<Metadata>)>>,
}

/// What a provider says of itself.
#[derive(Debug, Clone)]
struct Metadata {
    authorization_endpoint: Url,
    token_endpoint: Url,
    /// Whether it takes our secret in the `Authorization` header.
    takes_basic: bool,
}

impl Providers {
    pub fn new(settings: &[Settings], signing_key: &[u8], clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let client = remote::client()?;
        let mut providers = HashMap::new();
        for (at, settings) in settings.iter().enumerate() {
            let issuer = Issuer::new(&settings.as_issuer(), &client, &clock);
            let issuer = issuer.map_err(|fault| anyhow::anyhow!("auth.providers[{at}].{fault}"))?;
            let provider = Provider { settings: settings.clone(), issuer, known: Mutex::default() };
            providers.insert(settings.id.clone(), provider);
        }
        Ok(Self { providers, seal: Seal::derive(signing_key), client, clock })
    }

    /// Begins a sign-in: where to send the browser, and what it is to keep. `origin` is where this server is.
    pub async fn start(&self, id: &str, return_to: &str, origin: &str) -> Result<(Url, Pending), Failure> {
        let provider = self.find(id)?;
        let return_to = pending::check_return(return_to)?;
        let redirect_uri = format!("{origin}/api/auth/oidc/{id}/callback");
        let mut url = self.metadata(provider).await?.authorization_endpoint;
        let pending = Pending::new(id, return_to, redirect_uri, self.clock.now_ms());
        let mut scopes = provider.settings.scopes.clone();
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &provider.settings.client_id),
            ("redirect_uri", &pending.redirect_uri),
            ("scope", &scopes.join(" ")),
            ("state", &pending.state),
            ("nonce", &pending.nonce),
            ("code_challenge", &pending.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        Ok((url, pending))
    }

    /// Ends a sign-in: who the provider says it was.
    pub async fn finish(&self, pending: &Pending, code: &str) -> Result<Claims, Failure> {
        let provider = self.find(&pending.provider)?;
        let text = self.exchange(provider, pending, code).await?;
        let refused = |error: spool_protocol::Error| {
            let away = error.code == spool_protocol::Code::IssuerUnavailable;
            let reason = error.data.as_ref().and_then(|data| data["reason"].as_str().map(str::to_owned));
            let failure = if away { Failure::ProviderUnavailable } else { Failure::TokenRefused };
            provider.report(failure, &format!("the id token: {}", reason.unwrap_or_default()))
        };
        let token = Token::read(&text).map_err(refused)?;
        let claims = provider.issuer.verify(&token, self.clock.now_ms()).await.map_err(refused)?;
        // OpenID Connect Core 1.0, 3.1.3.7: a token for several is for the one that it was made for.
        if token.optional("azp").is_some_and(|party| party != provider.settings.client_id) {
            return Err(provider.report(Failure::TokenRefused, "the id token is for another party"));
        }
        let nonce = token.optional("nonce").unwrap_or_default();
        if verify_slices_are_equal(nonce.as_bytes(), pending.nonce.as_bytes()).is_err() {
            return Err(provider.report(Failure::NonceMismatch, "the id token is of another sign-in"));
        }
        Ok(claims)
    }

    fn find(&self, id: &str) -> Result<&Provider, Failure> {
        self.providers.get(id).ok_or(Failure::UnknownProvider)
    }

    /// Trades the code for an id token.
    async fn exchange(&self, provider: &Provider, pending: &Pending, code: &str) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: Option<String>,
        }
        let metadata = self.metadata(provider).await?;
        let Settings { client_id, client_secret, .. } = &provider.settings;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &pending.redirect_uri),
            ("code_verifier", &pending.verifier),
        ];
        let mut request = self.client.post(metadata.token_endpoint.clone()).header("accept", "application/json");
        match client_secret.as_ref().map(|secret| secret.expose()) {
            // RFC 6749, 2.3.1: both are encoded before they are joined.
            Some(secret) if metadata.takes_basic => {
                let pair = format!("{}:{}", encoded(client_id), encoded(secret));
                request = request.header("authorization", format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(secret) => form.extend([("client_id", client_id.as_str()), ("client_secret", secret)]),
            None => form.push(("client_id", client_id)),
        }
        let body: String = url_form(&form);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let (status, body) = remote::send(request)
            .await
            .map_err(|why| provider.report(Failure::ProviderUnavailable, &format!("the token endpoint: {why}")))?;
        if status.is_server_error() {
            return Err(provider.report(Failure::ProviderUnavailable, &format!("the token endpoint: status {status}")));
        }
        if !status.is_success() {
            // What the provider says may repeat the code, so only the word for it is kept.
            let why = refusal_of(&body);
            return Err(provider.report(Failure::CodeRefused, &format!("the token endpoint: status {status}, {why}")));
        }
        let answer = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.id_token);
        answer.ok_or_else(|| provider.report(Failure::ProviderError, "the token endpoint gave no id_token"))
    }

    /// What the provider says of itself, fetched once in a while.
    async fn metadata(&self, provider: &Provider) -> Result<Metadata, Failure> {
        let now = self.clock.now_ms();
        let known = provider.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known.map(|(at, metadata)| (now.saturating_sub(at), metadata)) {
            Some((age, Some(metadata))) if age < BELIEVED_MS => return Ok(metadata),
            Some((age, None)) if age < PAUSE_MS => return Err(Failure::ProviderUnavailable),
            _ => {}
        }
        let fetched = self.discover(provider).await;
        let seen = fetched.as_ref().ok().cloned();
        *provider.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, seen));
        fetched.map_err(|why| provider.report(Failure::ProviderUnavailable, &format!("its configuration: {why}")))
    }

    async fn discover(&self, provider: &Provider) -> Result<Metadata, String> {
        let config = provider.settings.as_issuer();
        let url = config.discovery_url().map_err(|e| format!("{e:#}"))?;
        let (status, body) = remote::send(self.client.get(url.clone()).header("accept", "application/json")).await?;
        if status != 200 {
            return Err(format!("status {status}"));
        }
        let document: Document =
            serde_json::from_slice(&body).map_err(|e| format!("not the expected document: {e}"))?;
        // OpenID Connect Discovery 1.0, 4.3: else one provider could stand in for another.
        if document.issuer != provider.settings.issuer {
            return Err(format!("it says that it is \"{}\"; auth.providers must say the same", document.issuer));
        }
        let endpoint = |text: &str| {
            let endpoint = config.fetchable(text).map_err(|e| format!("its endpoints: {e:#}"))?;
            // A provider elsewhere has nothing to say about what runs on this machine.
            if url.scheme() == "https" && endpoint.scheme() != "https" {
                return Err("its endpoints must use https, as it does itself".to_owned());
            }
            Ok(endpoint)
        };
        let methods = document.token_endpoint_auth_methods_supported;
        Ok(Metadata {
            authorization_endpoint: endpoint(&document.authorization_endpoint)?,
            token_endpoint: endpoint(&document.token_endpoint)?,
            // The default of the specification, unless the provider says that it takes the other form alone.
            takes_basic: methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic")),
        })
    }
}

/// OpenID Connect Discovery 1.0, section 3.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Provider {
    fn report(&self, failure: Failure, why: &str) -> Failure {
        let why: String = why.chars().filter(|c| !c.is_control()).take(500).collect();
        tracing::warn!(provider = self.settings.id, failure = failure.as_str(), why, "a sign-in failed");
        failure
    }
}

/// The `error` of RFC 6749, 5.2, if it is one of the words there.
fn refusal_of(body: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    const WORDS: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let said = serde_json::from_slice::<Answer>(body).map(|answer| answer.error).unwrap_or_default();
    WORDS.into_iter().find(|word| *word == said).unwrap_or("and no known reason")
}

fn encoded(text: &str) -> String {
    url_form(&[("", text)]).trim_start_matches('=').to_owned()
}

/// `application/x-www-form-urlencoded`, as the query of a URL is.
fn url_form(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://form/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_encoded_before_they_are_joined() {
        assert_eq!(encoded("a:b c%"), "a%3Ab+c%25");
        assert_eq!(encoded("==x"), "%3D%3Dx");
    }

    #[test]
    fn op_06_of_a_refusal_only_known_words_are_kept() {
        assert_eq!(refusal_of(br#"{"error":"invalid_grant","error_description":"code abc"}"#), "invalid_grant");
        assert_eq!(refusal_of(br#"{"error":"planted"}"#), "and no known reason");
        assert_eq!(refusal_of(b"<html>"), "and no known reason");
    }
}
