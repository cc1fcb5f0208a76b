//! Everybody whose tokens are taken: this server itself, and the configured issuers.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::anyhow;
use reqwest::Client;
use spool_protocol::Error;
use spool_store::Clock;

use super::jwt::{Claims, Reason, Rules, Token};
use super::keys::{self, Key};
use super::remote::{self, RemoteKeys};
use super::tokens::Tokens;
use crate::config;

pub struct Issuers {
    /// By `iss`, to the letter: two spellings are two issuers.
    issuers: HashMap<String, Issuer>,
    clock: Arc<dyn Clock>,
}

/// One of them: what its tokens must look like, and its keys.
pub struct Issuer {
    /// Its `iss`, to the letter.
    name: String,
    rules: Rules,
    keys: Keys,
}

enum Keys {
    Fixed(Vec<Key>),
    Remote(Arc<RemoteKeys>),
}

impl Issuers {
    pub fn new(own: &Tokens, configured: &config::auth::Auth, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let client = remote::client()?;
        let own_keys = vec![own.key()];
        let itself = Issuer { name: own.issuer().to_owned(), rules: own.rules(), keys: Keys::Fixed(own_keys) };
        let mut issuers = HashMap::from([(own.issuer().to_owned(), itself)]);
        for (at, config) in configured.issuers.iter().enumerate() {
            let issuer = Issuer::new(config, &client, &clock).map_err(|fault| anyhow!("auth.issuers[{at}].{fault}"))?;
            issuers.insert(config.issuer.clone(), issuer);
        }
        Ok(Self { issuers, clock })
    }

    /// What a token says, if it is to be believed.
    pub async fn verify(&self, text: &str) -> Result<Claims, Error> {
        let token = Token::read(text)?;
        let issuer = self.issuers.get(token.issuer()?).ok_or_else(|| Reason::UnknownIssuer.error())?;
        issuer.verify(&token, self.clock.now_ms()).await
    }
}

impl Issuer {
    /// A mistake in what is configured is named with its field.
    pub fn new(config: &config::auth::Issuer, client: &Client, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let keys = match fixed_keys(config)? {
            Some(keys) => Keys::Fixed(keys),
            None => Keys::Remote(RemoteKeys::new(config.clone(), client.clone(), Arc::clone(clock))),
        };
        let rules = Rules {
            audience: config.audience.clone(),
            authorized_parties: config.authorized_parties.clone(),
            algorithms: config.algorithms(),
            leeway_ms: config.leeway_seconds * 1000,
            names: config.claims.clone(),
        };
        Ok(Self { name: config.issuer.clone(), rules, keys })
    }

    /// What a token says, if it is of this issuer and to be believed.
    pub async fn verify(&self, token: &Token<'_>, now_ms: u64) -> Result<Claims, Error> {
        if token.issuer()? != self.name {
            return Err(Reason::UnknownIssuer.error());
        }
        // Before any key is looked for: what is refused anyway must not cause a fetch.
        if !self.rules.algorithms.contains(&token.algorithm()) {
            return Err(Reason::AlgorithmRefused.error());
        }
        match &self.keys {
            Keys::Fixed(keys) => token.check_signature(keys)?,
            Keys::Remote(remote) => token.check_signature(&remote.for_token(token).await?)?,
        }
        token.judge(&self.rules, now_ms)
    }
}

/// The keys that the configuration itself holds, if it does. A mistake is named with its field.
fn fixed_keys(issuer: &config::auth::Issuer) -> Result<Option<Vec<Key>>, String> {
    if let Some(secret) = &issuer.secret {
        return Ok(Some(vec![Key::secret(secret)]));
    }
    if let Some(url) = issuer.jwks.as_deref().filter(|url| url.starts_with("data:")) {
        return keys::of_data_url(url).map(Some).map_err(|fault| format!("jwks: {fault}"));
    }
    if issuer.keys.is_empty() {
        return Ok(None);
    }
    let keys = issuer.keys.iter().enumerate();
    let keys = keys.map(|(at, text)| Key::from_text(text).map_err(|fault| format!("keys[{at}]: {fault}")));
    keys.collect::<Result<_, _>>().map(Some)
}
