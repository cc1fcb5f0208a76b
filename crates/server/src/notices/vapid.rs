//! Who sends a push message: Voluntary Application Server Identification (RFC 8292).
//!
//! The key is derived from the server's one signing key, as its other keys are: it survives restarts, so
//! browsers stay subscribed, and a backup of the data directory has it.

use anyhow::anyhow;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use reqwest::Url;
use serde_json::json;

/// How long a token is good for, in seconds; services take up to 24 hours.
const LIFE: u64 = 12 * 3600;

pub struct Vapid {
    key: EcdsaKeyPair,
    public: Vec<u8>,
    contact: String,
}

impl Vapid {
    /// `secret` is the server's signing key. `contact` is a `mailto:` or a URL of whoever runs the server.
    pub fn derive(secret: &[u8], contact: &str) -> anyhow::Result<Self> {
        let root = hmac::Key::new(HMAC_SHA256, secret);
        // Not every number is a private key, but nearly every one is: one in four billion is not.
        let found = (0..4_u8).find_map(|round| {
            let mut purpose = b"spool notices: vapid".to_vec();
            purpose.push(round);
            let private = hmac::sign(&root, &purpose);
            let public = PrivateKey::from_private_key(&ECDH_P256, private.as_ref()).ok()?.compute_public_key().ok()?;
            Some((private, public.as_ref().to_vec()))
        });
        let (private, public) = found.ok_or_else(|| anyhow!("deriving the key of push messages failed"))?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, private.as_ref(), &public)
            .map_err(|e| anyhow!("deriving the key of push messages: {e}"))?;
        Ok(Self { key, public, contact: contact.to_owned() })
    }

    /// As browsers want it for `applicationServerKey`: the uncompressed point, base64url.
    pub fn public_key(&self) -> String {
        BASE64.encode(&self.public)
    }

    /// The `Authorization` of a message to this endpoint: a token for its origin, and the key that proves it.
    pub fn authorization(&self, endpoint: &str, now_ms: u64) -> Result<String, &'static str> {
        let origin = Url::parse(endpoint).map_err(|_| "the endpoint is not a URL")?.origin().ascii_serialization();
        let claims = json!({ "aud": origin, "exp": now_ms / 1000 + LIFE, "sub": self.contact });
        let part = |value: &serde_json::Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ES256" })), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| "signing failed")?;
        Ok(format!("vapid t={signed}.{}, k={}", BASE64.encode(signature), self.public_key()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn a_token_is_for_the_origin_of_the_endpoint_and_proven_by_the_key() {
        let vapid = Vapid::derive(b"one", "mailto:ops@example.com").unwrap();
        assert_eq!(vapid.public_key(), Vapid::derive(b"one", "x").unwrap().public_key(), "it survives restarts");
        assert_ne!(vapid.public_key(), Vapid::derive(b"two", "x").unwrap().public_key());
        let header = vapid.authorization("https://push.example.net/send/secret?x=1", 5_000).unwrap();
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(key, vapid.public_key());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, BASE64.decode(key).unwrap());
        public.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
        let claims = BASE64.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        let expected = json!({ "aud": "https://push.example.net", "exp": 5 + LIFE, "sub": "mailto:ops@example.com" });
        assert_eq!(claims, expected);
        assert!(vapid.authorization("nowhere", 0).is_err());
    }
}
