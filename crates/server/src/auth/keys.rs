//! Keys that signatures are checked with: JWK, PEM, or a shared secret. Pure.
//!
//! A key knows what it is for. That, and not the token, keeps a public key from being used as a secret.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::config::auth::Secret;

/// Keys of one issuer; more are not looked at.
const KEYS: usize = 64;

const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

#[derive(Clone)]
pub struct Key {
    /// The `kid`, if it has one.
    pub id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub decoding: DecodingKey,
}

impl Key {
    /// Whether signatures of this algorithm can be checked with it.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// For HS256.
    pub fn secret(secret: &Secret) -> Self {
        let decoding = DecodingKey::from_secret(secret.expose().as_bytes());
        Self { id: None, algorithms: vec![Algorithm::HS256], decoding }
    }

    pub fn es256(id: String, decoding: DecodingKey) -> Self {
        Self { id: Some(id), algorithms: vec![Algorithm::ES256], decoding }
    }

    /// A public key as text, PEM or JWK. The failure says what must be, and not what was.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        if text.trim_start().starts_with('{') {
            let jwk = serde_json::from_str(text).map_err(|_| "must be a JWK, and is not JSON")?;
            return Self::from_jwk(jwk)
                .ok_or("must be a public JWK for signatures: RSA, EC P-256 or P-384, or Ed25519");
        }
        Self::from_pem(text)
    }

    fn from_pem(text: &str) -> Result<Self, &'static str> {
        let wanted = "must be a PEM with BEGIN PUBLIC KEY, or a JWK";
        let (_, rest) = text.split_once("-----BEGIN ").ok_or(wanted)?;
        let (label, rest) = rest.split_once("-----").ok_or(wanted)?;
        if label.contains("PRIVATE") {
            return Err("must be the public key; the private one stays with the issuer");
        }
        if !["PUBLIC KEY", "RSA PUBLIC KEY"].contains(&label) {
            return Err(wanted);
        }
        let (body, _) = rest.split_once("-----END ").ok_or(wanted)?;
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        let der = STANDARD.decode(body).map_err(|_| wanted)?;
        let is = |kind: &'static dyn VerificationAlgorithm| ParsedPublicKey::new(kind, &der).is_ok();
        let (algorithms, decoding) = if is(&RSA_PKCS1_2048_8192_SHA256) {
            (RSA.to_vec(), DecodingKey::from_rsa_der(&der))
        } else if is(&ECDSA_P256_SHA256_FIXED) {
            (vec![Algorithm::ES256], DecodingKey::from_ec_der(&der))
        } else if is(&ECDSA_P384_SHA384_FIXED) {
            (vec![Algorithm::ES384], DecodingKey::from_ec_der(&der))
        } else if is(&ED25519) {
            (vec![Algorithm::EdDSA], DecodingKey::from_ed_der(&der))
        } else {
            return Err("must be an RSA key of 2048 bits or more, an EC key on P-256 or P-384, or Ed25519");
        };
        Ok(Self { id: None, algorithms, decoding })
    }

    /// `None` for keys that check no signatures, or none that is known here. Shared secrets are not among
    /// them: what is published is not secret.
    fn from_jwk(jwk: Jwk) -> Option<Self> {
        let signs = jwk.usage.is_none_or(|usage| usage == "sig")
            && jwk.operations.is_none_or(|list| list.iter().any(|one| one == "verify"));
        if !signs {
            return None;
        }
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (mut algorithms, decoding) = match (jwk.kind.as_str(), jwk.curve.as_deref()) {
            ("RSA", _) => (RSA.to_vec(), DecodingKey::from_rsa_components(&text(&jwk.n), &text(&jwk.e))),
            ("EC", Some("P-256")) => {
                (vec![Algorithm::ES256], DecodingKey::from_ec_components(&text(&jwk.x), &text(&jwk.y)))
            }
            ("EC", Some("P-384")) => {
                (vec![Algorithm::ES384], DecodingKey::from_ec_components(&text(&jwk.x), &text(&jwk.y)))
            }
            ("OKP", Some("Ed25519")) => (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(&text(&jwk.x))),
            _ => return None,
        };
        if let Some(only) = jwk.algorithm.filter(|only| only != "Ed25519") {
            algorithms.retain(|algorithm| only.parse::<Algorithm>().ok().as_ref() == Some(algorithm));
        }
        let decoding = decoding.ok().filter(|_| !algorithms.is_empty())?;
        Some(Self { id: jwk.id, algorithms, decoding })
    }
}

/// RFC 7517 and 7518, as far as public keys for signatures go.
#[derive(Deserialize)]
struct Jwk {
    #[serde(rename = "kty")]
    kind: String,
    #[serde(rename = "crv")]
    curve: Option<String>,
    #[serde(rename = "kid")]
    id: Option<String>,
    #[serde(rename = "alg")]
    algorithm: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    #[serde(rename = "key_ops")]
    operations: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a JWK set. Others may stand beside them (RFC 7517, section 5).
pub fn of_set(set: &[u8]) -> Result<Vec<Key>, &'static str> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(|_| "must be a JWK set, {\"keys\": […]}")?;
    let jwks = set.keys.into_iter().take(KEYS).filter_map(|jwk| serde_json::from_value(jwk).ok());
    let keys: Vec<Key> = jwks.filter_map(Key::from_jwk).collect();
    if keys.is_empty() { Err("must hold at least one public key for signatures") } else { Ok(keys) }
}

/// The keys in a `data:` URL (RFC 2397).
pub fn of_data_url(url: &str) -> Result<Vec<Key>, &'static str> {
    let (head, data) = url.split_once(',').ok_or("must be a data: URL with a comma before its data")?;
    let data = unescape(data);
    let set = if head.ends_with(";base64") {
        STANDARD.decode(data).map_err(|_| "must be base64 after the comma")?
    } else {
        data
    };
    of_set(&set)
}

/// Percent signs become the bytes that they stand for.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        let escaped = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    plain
}
