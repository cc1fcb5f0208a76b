//! Who may issue tokens, as `[[auth.issuers]]` says. A mistake is named with its field, never with its value.

use std::fmt;

use anyhow::{Context, Result, bail};
use jsonwebtoken::Algorithm;
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use super::providers::{self, Provider};
use super::sign_in::PasswordSignIn;

/// Identity providers whose tokens are taken, and sign-in of our own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub issuers: Vec<Issuer>,
    /// Whom people sign in with in the built-in UI.
    pub providers: Vec<Provider>,
    pub password: PasswordSignIn,
    /// Days after which a person signs in again on a device, 1 to 365.
    pub session_days: u64,
}

impl Default for Auth {
    fn default() -> Self {
        let (issuers, providers) = (Vec::new(), Vec::new());
        Self { issuers, providers, password: PasswordSignIn::default(), session_days: 30 }
    }
}

/// One identity provider. Texts may be `${NAME}`, taken from the environment, or `${file:PATH}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// The `aud` of tokens that are meant for this server: one, or any of a list.
    #[serde(default, deserialize_with = "one_or_more")]
    pub audience: Vec<String>,
    /// The `azp` of tokens that are meant for this server, for issuers that set no audience.
    #[serde(default, deserialize_with = "one_or_more")]
    pub authorized_parties: Vec<String>,
    /// Where its public keys are: a URL, or a `data:` URL that holds them. Default: what the issuer's
    /// `/.well-known/openid-configuration` names.
    pub jwks: Option<String>,
    /// Its public keys themselves, as PEM or JWK, instead of `jwks`.
    #[serde(default, deserialize_with = "one_or_more")]
    pub keys: Vec<String>,
    /// The secret of an issuer that signs with HS256, instead of keys.
    pub secret: Option<Secret>,
    /// Signatures that are taken. Default: RS256, ES256 and EdDSA; with a secret HS256, and then no other.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Seconds that clocks may differ, 0 to 300.
    #[serde(default = "leeway_seconds")]
    pub leeway_seconds: u64,
    /// Seconds after which fetched keys are fetched again, 1 to 86400. The old ones serve meanwhile.
    #[serde(default = "cache_seconds")]
    pub cache_seconds: u64,
    /// Seconds between two fetches for tokens that name an unknown key, 1 to 3600.
    #[serde(default = "refetch_seconds")]
    pub refetch_seconds: u64,
    /// Lets keys be fetched without TLS from other machines. For private networks only.
    #[serde(default)]
    pub allow_http: bool,
    #[serde(default)]
    pub claims: ClaimNames,
}

/// Where a token says what is known of its user: a claim, or a path into one (`user_metadata.full_name`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimNames {
    pub name: String,
    pub email: String,
    pub picture: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { name: "name".into(), email: "email".into(), picture: "picture".into() }
    }
}

/// A text that is never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn resolve(&mut self, field: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        resolve(&mut self.0, field, variable)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Seconds that clocks may differ unless configured, also for tokens of our own.
pub const LEEWAY_SECONDS: u64 = 3;
/// RFC 7518, 3.2: a key of HS256 has at least the size of its hash.
const SECRET_BYTES: usize = 32;
/// Issuers that this server itself stands for; users of another must never be taken for them.
const RESERVED: &str = "spool:";

const fn leeway_seconds() -> u64 {
    LEEWAY_SECONDS
}

const fn cache_seconds() -> u64 {
    600
}

const fn refetch_seconds() -> u64 {
    30
}

impl Auth {
    /// Puts the environment's variables and files where they are referred to.
    pub fn resolve(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        for (at, issuer) in self.issuers.iter_mut().enumerate() {
            let field = |name: &str| format!("auth.issuers[{at}].{name}");
            resolve(&mut issuer.issuer, &field("issuer"), variable)?;
            for (name, texts) in [
                ("audience", &mut issuer.audience),
                ("authorized_parties", &mut issuer.authorized_parties),
                ("keys", &mut issuer.keys),
            ] {
                for (nth, text) in texts.iter_mut().enumerate() {
                    resolve(text, &field(&format!("{name}[{nth}]")), variable)?;
                }
            }
            if let Some(jwks) = &mut issuer.jwks {
                resolve(jwks, &field("jwks"), variable)?;
            }
            if let Some(Secret(secret)) = &mut issuer.secret {
                resolve(secret, &field("secret"), variable)?;
            }
        }
        for (at, provider) in self.providers.iter_mut().enumerate() {
            provider.resolve(&format!("auth.providers[{at}]"), variable)?;
        }
        Ok(())
    }

    pub fn check(&self) -> Result<()> {
        if !(1..=365).contains(&self.session_days) {
            bail!("auth.session_days: must be 1 to 365");
        }
        for (at, issuer) in self.issuers.iter().enumerate() {
            issuer.check().with_context(|| format!("auth.issuers[{at}]"))?;
            if self.issuers[..at].iter().any(|earlier| earlier.issuer == issuer.issuer) {
                bail!("auth.issuers[{at}].issuer: is configured twice; give one entry all its audiences and keys");
            }
        }
        providers::check(&self.providers)
    }
}

impl Issuer {
    /// An issuer of tokens for one client, whose discovery names its keys.
    pub(super) fn of_client(issuer: String, client_id: String) -> Self {
        Self {
            issuer,
            audience: vec![client_id],
            authorized_parties: Vec::new(),
            jwks: None,
            keys: Vec::new(),
            secret: None,
            algorithms: None,
            leeway_seconds: LEEWAY_SECONDS,
            cache_seconds: cache_seconds(),
            refetch_seconds: refetch_seconds(),
            allow_http: false,
            claims: ClaimNames::default(),
        }
    }

    pub(super) fn check_name(&self) -> Result<()> {
        if self.issuer.trim().is_empty() || self.issuer.starts_with(RESERVED) {
            bail!("issuer: must be the iss of its tokens, and must not begin with {RESERVED}");
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.check_name()?;
        if self.audience.is_empty() && self.authorized_parties.is_empty() {
            bail!("audience: must be set, or authorized_parties; else tokens for any other service would be taken");
        }
        for (name, texts) in [("audience", &self.audience), ("authorized_parties", &self.authorized_parties)] {
            if texts.iter().any(|text| text.trim().is_empty()) {
                bail!("{name}: must not be blank");
            }
        }
        let sources =
            usize::from(self.jwks.is_some()) + usize::from(!self.keys.is_empty()) + usize::from(self.secret.is_some());
        if sources > 1 {
            bail!("secret: an issuer has one of jwks, keys and secret");
        }
        self.check_algorithms()?;
        if self.secret.as_ref().is_some_and(|secret| secret.expose().len() < SECRET_BYTES) {
            bail!("secret: must have at least {SECRET_BYTES} bytes");
        }
        if sources == 0 {
            self.discovery_url().context("issuer")?;
        }
        if let Some(jwks) = self.jwks.as_deref().filter(|jwks| !jwks.starts_with("data:")) {
            self.fetchable(jwks).context("jwks")?;
        }
        for (name, value, most) in [
            ("leeway_seconds", self.leeway_seconds, 300),
            ("cache_seconds", self.cache_seconds, 86_400),
            ("refetch_seconds", self.refetch_seconds, 3600),
        ] {
            let least = u64::from(name != "leeway_seconds");
            if !(least..=most).contains(&value) {
                bail!("{name}: must be {least} to {most}");
            }
        }
        Ok(())
    }

    fn check_algorithms(&self) -> Result<()> {
        let algorithms = self.algorithms();
        if algorithms.is_empty() {
            bail!("algorithms: must not be empty");
        }
        let is_shared = |a: &Algorithm| matches!(a, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        if self.secret.is_some() {
            if algorithms != [Algorithm::HS256] {
                bail!("algorithms: a secret is for HS256 alone");
            }
        } else if algorithms.iter().any(is_shared) {
            bail!("algorithms: HS256 needs a secret, and HS384 and HS512 are not taken");
        }
        Ok(())
    }

    /// The signatures that are taken.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let default = match self.secret {
            Some(_) => vec![Algorithm::HS256],
            None => vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        };
        self.algorithms.clone().unwrap_or(default)
    }

    /// OpenID Connect Discovery 1.0, section 4.
    pub fn discovery_url(&self) -> Result<Url> {
        self.fetchable(&format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/')))
    }

    /// A URL that keys may be fetched from.
    pub fn fetchable(&self, url: &str) -> Result<Url> {
        let url = Url::parse(url).context("must be a URL, or the keys must be given as jwks, keys or secret")?;
        let local = url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
        match url.scheme() {
            "https" => Ok(url),
            "http" if local || self.allow_http => Ok(url),
            _ => bail!("must use https; on a private network, allow_http = true lets it be http"),
        }
    }
}

/// `${NAME}` and `${file:PATH}` become what they refer to; any other text stays.
pub(super) fn resolve(text: &mut String, field: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    let Some(reference) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else { return Ok(()) };
    let found = match reference.strip_prefix("file:") {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("{field}: the file {path} cannot be read"))?
        }
        None => {
            variable(reference).with_context(|| format!("{field}: the environment variable {reference} is not set"))?
        }
    };
    found.trim().clone_into(text);
    Ok(())
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Texts;

    impl<'de> serde::de::Visitor<'de> for Texts {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, or a list of texts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = list.next_element()? {
                texts.push(text);
            }
            Ok(texts)
        }
    }

    deserializer.deserialize_any(Texts)
}

#[cfg(test)]
mod tests;
