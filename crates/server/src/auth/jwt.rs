//! One JSON Web Token: how it is read and judged. Pure: fetches no keys, knows no clock.
//!
//! The order is: shape, algorithm, signature, claims. Nothing that a token says is believed before its
//! signature holds, except which issuer and key to check it with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use spool_protocol::{Code, Error};

use super::keys::Key;
use crate::config::auth::ClaimNames;

/// Tokens above this size are refused unread.
pub const TOKEN_BYTES: usize = 16 << 10;
/// What `users:provision` takes.
const SUBJECT_BYTES: usize = 1_000;
/// Longer names and addresses of people are not kept.
const PROFILE_BYTES: usize = 1_000;
/// Keys that a token without a key id is tried with, at most.
const KEYS_TRIED: usize = 8;

/// Why a token was refused, as `data.reason` says. A closed list; `docs/errors/invalid_token.md` has each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    TooLarge,
    Malformed,
    AlgorithmRefused,
    UnknownIssuer,
    UnknownKey,
    BadSignature,
    MissingClaim,
    WrongAudience,
    Expired,
    NotYetValid,
    /// The guest that the token is of is an account's now.
    GuestClaimed,
    /// The policy has no guests any more.
    GuestsOff,
    /// The session that the token is of was ended.
    Revoked,
    /// Of the token of a worker.
    InvalidWorkerSecret,
    WorkerPending,
    WorkerRevoked,
    WorkerRemoved,
    /// The only one that is not the token's fault: its keys could not be fetched.
    IssuerUnavailable,
}

impl Reason {
    pub const ALL: [Reason; 18] = [
        Self::TooLarge,
        Self::Malformed,
        Self::AlgorithmRefused,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::BadSignature,
        Self::MissingClaim,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::GuestClaimed,
        Self::GuestsOff,
        Self::Revoked,
        Self::InvalidWorkerSecret,
        Self::WorkerPending,
        Self::WorkerRevoked,
        Self::WorkerRemoved,
        Self::IssuerUnavailable,
    ];

    pub fn as_str(self) -> &'static str {
        self.texts().0
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::TooLarge => ("too_large", "the token has more than 16 KiB"),
            Self::Malformed => ("malformed", "the credentials are no JSON Web Token and no key"),
            Self::AlgorithmRefused => {
                ("algorithm_refused", "the token is signed in a way that is not accepted of its issuer")
            }
            Self::UnknownIssuer => {
                ("unknown_issuer", "the token's iss is not configured here; auth.issuers must name it to the letter")
            }
            Self::UnknownKey => ("unknown_key", "the token is signed with a key that its issuer does not publish"),
            Self::BadSignature => ("bad_signature", "the token's signature is wrong"),
            Self::MissingClaim => ("missing_claim", "the token lacks a required claim"),
            Self::WrongAudience => ("wrong_audience", "the token is for another audience"),
            Self::Expired => ("expired", "the token has expired"),
            Self::NotYetValid => ("not_yet_valid", "the token is not valid yet"),
            Self::GuestClaimed => {
                ("guest_claimed", "an account has taken over what this guest had; sign in to that account")
            }
            Self::GuestsOff => ("guests_off", "this server keeps nothing of guests; sign in"),
            Self::Revoked => ("revoked", "the session of the token was ended"),
            Self::InvalidWorkerSecret => {
                ("invalid_worker_secret", "the worker's token is wrong, or was replaced by a newer one")
            }
            Self::WorkerPending => ("worker_pending", "the worker waits for the approval of its machine's owner"),
            Self::WorkerRevoked => ("worker_revoked", "the worker was revoked by its machine's owner"),
            Self::WorkerRemoved => ("worker_removed", "the worker was removed by its machine's owner"),
            Self::IssuerUnavailable => {
                ("issuer_unavailable", "the keys of the token's issuer cannot be fetched; try again soon")
            }
        }
    }

    pub fn error(self) -> Error {
        let (reason, message) = self.texts();
        let code = if self == Self::IssuerUnavailable { Code::IssuerUnavailable } else { Code::InvalidToken };
        Error::new(code, message).with("reason", reason)
    }
}

/// What the tokens of one issuer must look like.
#[derive(Debug, Clone)]
pub struct Rules {
    pub audience: Vec<String>,
    pub authorized_parties: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub leeway_ms: u64,
    pub names: ClaimNames,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    pub issuer: String,
    pub subject: String,
    /// Unix time in milliseconds from which the token is refused, clocks that differ allowed for.
    pub until_ms: u64,
    /// Unix time in milliseconds; 0 if the token does not say.
    pub issued_ms: u64,
    /// The `sid`. Only this server's own tokens mean a session of ours by it.
    pub session: Option<String>,
    pub profile: Profile,
}

/// What is known of a person. Shown, never believed: nothing is allowed because of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub name: Option<String>,
    pub email: Option<String>,
    pub picture: Option<String>,
}

/// A token whose signature has not been checked.
#[derive(Debug)]
pub struct Token<'text> {
    signed: &'text str,
    signature: &'text str,
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Map<String, Value>,
}

impl<'text> Token<'text> {
    pub fn read(text: &'text str) -> Result<Self, Error> {
        if text.len() > TOKEN_BYTES {
            return Err(Reason::TooLarge.error());
        }
        let malformed = || Reason::Malformed.error();
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let (header, claims) = (object(header)?, object(claims)?);
        // An extension that must be understood, and none is (RFC 7515, 4.1.11).
        if header.contains_key("crit") {
            return Err(malformed());
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(malformed()),
        };
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or_else(malformed)?;
        // RFC 9864 has a new name for the same.
        let algorithm = if algorithm == "Ed25519" { "EdDSA" } else { algorithm };
        let algorithm = algorithm.parse().map_err(|_| Reason::AlgorithmRefused.error())?;
        Ok(Self { signed, signature, algorithm, key_id, claims })
    }

    /// The issuer that the token claims to be of.
    pub fn issuer(&self) -> Result<&str, Error> {
        self.text("iss")
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the token may be signed with this key, going by ids. A key without one may be any.
    pub fn names(&self, key: &Key) -> bool {
        match (&self.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        }
    }

    /// Checks the signature. What the key is for decides, never the token alone: a public key is no secret.
    pub fn check_signature(&self, keys: &[Key]) -> Result<(), Error> {
        let mut named = keys.iter().filter(|key| self.names(key)).peekable();
        if named.peek().is_none() {
            return Err(Reason::UnknownKey.error());
        }
        let mut fitting = named.filter(|key| key.fits(self.algorithm)).take(KEYS_TRIED).peekable();
        if fitting.peek().is_none() {
            return Err(Reason::AlgorithmRefused.error());
        }
        for key in fitting {
            let verified =
                jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), &key.decoding, self.algorithm);
            if verified.unwrap_or(false) {
                return Ok(());
            }
        }
        Err(Reason::BadSignature.error())
    }

    /// Judges the claims of a token whose signature holds.
    pub fn judge(&self, rules: &Rules, now_ms: u64) -> Result<Claims, Error> {
        let (issuer, subject) = (self.text("iss")?, self.text("sub")?);
        if subject.len() > SUBJECT_BYTES {
            return Err(wrong("sub"));
        }
        if !rules.audience.is_empty() && !self.audiences()?.iter().any(|one| rules.audience.iter().any(|a| a == one)) {
            return Err(Reason::WrongAudience.error());
        }
        if !rules.authorized_parties.is_empty() {
            let party = self.text("azp")?;
            if !rules.authorized_parties.iter().any(|allowed| allowed == party) {
                return Err(Reason::WrongAudience.error());
            }
        }
        let until_ms = self.time("exp")?.ok_or_else(|| missing("exp"))?.saturating_add(rules.leeway_ms);
        if now_ms >= until_ms {
            return Err(Reason::Expired.error());
        }
        if self.time("nbf")?.is_some_and(|from| from > now_ms.saturating_add(rules.leeway_ms)) {
            return Err(Reason::NotYetValid.error());
        }
        Ok(Claims {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            until_ms,
            issued_ms: self.time("iat")?.unwrap_or(0),
            session: self.claims.get("sid").and_then(Value::as_str).map(str::to_owned),
            profile: self.profile(&rules.names),
        })
    }

    /// A claim that is a text, if it is there. To be asked of a token that was verified.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// A claim that must be a text with something in it.
    fn text(&self, name: &str) -> Result<&str, Error> {
        match self.claims.get(name) {
            None | Some(Value::Null) => Err(missing(name)),
            Some(Value::String(text)) if text.is_empty() => Err(missing(name)),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(wrong(name)),
        }
    }

    /// RFC 7519, 4.1.3: one text, or a list of them.
    fn audiences(&self) -> Result<Vec<&str>, Error> {
        match self.claims.get("aud") {
            None | Some(Value::Null) => Err(missing("aud")),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(list)) => list.iter().map(|one| one.as_str().ok_or_else(|| wrong("aud"))).collect(),
            Some(_) => Err(wrong("aud")),
        }
    }

    /// Milliseconds of a claim in seconds, which may have a fraction (RFC 7519, section 2).
    fn time(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(value) = self.claims.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or_else(|| wrong(name))?;
        // Casts of floats saturate: a time too far to count in is as good as never.
        Ok(Some((seconds * 1000.0) as u64))
    }

    fn profile(&self, names: &ClaimNames) -> Profile {
        let shown = |path: &str| {
            let text = find(&self.claims, path)?.as_str()?.trim();
            (!text.is_empty() && text.len() <= PROFILE_BYTES).then(|| text.to_owned())
        };
        // Anybody can claim an address at an issuer that does not check it.
        let unverified = self.claims.get("email_verified").is_some_and(|verified| verified == false);
        Profile {
            name: shown(&names.name),
            email: shown(&names.email).filter(|_| !unverified),
            // It goes into pages.
            picture: shown(&names.picture).filter(|url| url.starts_with("https://")),
        }
    }
}

/// A claim by its name, which may have dots itself (`https://example.com/name`), or by a path of names.
fn find<'claims>(claims: &'claims Map<String, Value>, path: &str) -> Option<&'claims Value> {
    claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    })
}

fn object(encoded: &str) -> Result<Map<String, Value>, Error> {
    let bytes = BASE64.decode(encoded).map_err(|_| Reason::Malformed.error())?;
    serde_json::from_slice(&bytes).map_err(|_| Reason::Malformed.error())
}

fn missing(claim: &str) -> Error {
    let mut error = Reason::MissingClaim.error().with("claim", claim);
    error.message = format!("the token lacks the claim {claim}");
    error
}

/// A claim that is there, and of another type or size than it must be.
fn wrong(claim: &str) -> Error {
    let mut error = Reason::Malformed.error().with("claim", claim);
    error.message = format!("the token's claim {claim} is not what it must be");
    error
}

#[cfg(test)]
mod tests;
