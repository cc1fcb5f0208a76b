//! Tokens that this server signs itself, of guests and of sessions: ES256, its own key pair, published as a JWKS.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spool_chat::functions::credentials::Session;
use spool_protocol::Error;
use spool_store::Clock;

use super::jwt::Rules;
use super::keys::Key;
use crate::config::auth::{ClaimNames, LEEWAY_SECONDS};

/// Milliseconds that the token of a session lives. The session itself lives on; this is how long a token is
/// of use to somebody else who gets hold of it.
pub const SESSION_TOKEN_MS: u64 = 10 * 60_000;
/// The audience of tokens that are taken here.
pub const AUDIENCE: &str = "spool";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    /// Unix seconds. Clients need both to know when to renew.
    iat: u64,
    exp: u64,
    /// The session that the token is of; a guest has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
}

#[derive(Clone)]
pub struct Tokens {
    issuer: String,
    key_id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: (String, String),
    clock: Arc<dyn Clock>,
}

/// A fresh P-256 key in PKCS #8.
pub fn generate_key() -> anyhow::Result<Vec<u8>> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| anyhow::anyhow!("the system gives no randomness for a signing key"))?;
    Ok(document.as_ref().to_vec())
}

impl Tokens {
    pub fn new(key: &[u8], clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key)
            .map_err(|e| anyhow::anyhow!("the signing key, signing-key.pk8 in the data directory, is damaged: {e}"))?;
        // An uncompressed point: 0x04, then x and y of 32 bytes each (SEC 1, 2.3.3).
        let point = pair.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..65]));
        let key_id = BASE64.encode(&Sha256::digest(point)[..12]);
        Ok(Self {
            // The key is the identity of the installation: addresses change, it does not.
            issuer: format!("spool:{key_id}"),
            key_id,
            encoding: EncodingKey::from_ec_der(key),
            decoding: DecodingKey::from_ec_components(&x, &y)?,
            public: (x, y),
            clock,
        })
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public key, as served at `/.well-known/jwks.json` (RFC 7517).
    pub fn jwks(&self) -> Value {
        let (x, y) = &self.public;
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.key_id, "x": x, "y": y }] })
    }

    /// The token of a guest, which lives for `life_ms` milliseconds.
    pub fn issue(&self, subject: &str, life_ms: u64) -> Result<String, Error> {
        let iat = self.clock.now_ms() / 1000;
        self.sign(&Claims { iss: &self.issuer, sub: subject, aud: AUDIENCE, iat, exp: iat + life_ms / 1000, sid: None })
    }

    /// A token of a session, and until when it is good, in milliseconds: never longer than the session.
    pub fn issue_session(&self, session: &Session) -> Result<(String, u64), Error> {
        let now = self.clock.now_ms();
        let (iat, exp) = (now / 1000, (now + SESSION_TOKEN_MS).min(session.expires_at) / 1000);
        let (sub, sid) = (session.user.as_str(), Some(session.credential.as_str()));
        let token = self.sign(&Claims { iss: &self.issuer, sub, aud: AUDIENCE, iat, exp, sid })?;
        Ok((token, exp * 1000))
    }

    /// A token of ours with any claims. Its audience must be another than [`AUDIENCE`], or it would be a user's.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|e| Error::internal(format!("signing a token: {e}")))
    }

    /// The key that tokens of our own are checked with.
    pub fn key(&self) -> Key {
        Key::es256(self.key_id.clone(), self.decoding.clone())
    }

    /// What tokens of our own look like.
    pub fn rules(&self) -> Rules {
        Rules {
            audience: vec![AUDIENCE.to_owned()],
            authorized_parties: Vec::new(),
            algorithms: vec![Algorithm::ES256],
            leeway_ms: LEEWAY_SECONDS * 1000,
            names: ClaimNames::default(),
        }
    }
}
