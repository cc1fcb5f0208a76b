//! The keys of durable streams, all derived from the server's one signing key: they survive restarts, and
//! none of them tells another.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spool_chat::functions::streams::urls::UrlKey;
use spool_chat::tables::Subscription;
use spool_store::Id;

/// How long a callback token can be used: 30 days. What ends it is its wake, whose lease the holder may renew for as
/// long as the work takes; this only keeps a token that leaked from being good for ever.
const TOKEN_MS: u64 = 30 * 24 * 3_600_000;

pub struct StreamKeys {
    /// Signs read URLs.
    pub urls: UrlKey,
    tokens: hmac::Key,
    webhooks: Ed25519KeyPair,
    key_id: String,
}

impl StreamKeys {
    /// `secret` is the server's signing key. A purpose goes into each derivation.
    pub fn derive(secret: &[u8]) -> anyhow::Result<Self> {
        let root = hmac::Key::new(HMAC_SHA256, secret);
        let key = |purpose: &str| -> [u8; 32] {
            let mut key = [0; 32];
            key.copy_from_slice(hmac::sign(&root, purpose.as_bytes()).as_ref());
            key
        };
        let webhooks = Ed25519KeyPair::from_seed_unchecked(&key("spool streams: webhooks"))
            .map_err(|e| anyhow::anyhow!("deriving the key of webhooks: {e}"))?;
        let x = BASE64.encode(webhooks.public_key());
        // The thumbprint of the public key (RFC 7638).
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        Ok(Self {
            urls: UrlKey(key("spool streams: read urls")),
            tokens: hmac::Key::new(HMAC_SHA256, &key("spool streams: callback tokens")),
            key_id: format!("ds_{}", BASE64.encode(thumbprint)),
            webhooks,
        })
    }

    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public key of webhooks (RFC 8037).
    pub fn jwks(&self) -> Value {
        let x = BASE64.encode(self.webhooks.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.key_id, "use": "sig", "alg": "EdDSA" }] })
    }

    /// The `Webhook-Signature` of a body.
    pub fn sign(&self, body: &str, now_ms: u64) -> String {
        let seconds = now_ms / 1000;
        let signature = self.webhooks.sign(format!("{seconds}.{body}").as_bytes());
        format!("t={seconds},kid={},ed25519={}", self.key_id, BASE64.encode(signature))
    }

    /// What the holder of a wake shows when it comes back.
    pub fn token(&self, subscription: &Id<Subscription>, generation: u64, now_ms: u64) -> String {
        let claims = format!("{subscription}.{generation}.{}", now_ms + TOKEN_MS);
        let mac = hmac::sign(&self.tokens, claims.as_bytes());
        format!("{}.{}", BASE64.encode(claims), BASE64.encode(mac))
    }

    /// The subscription and generation of a token, or the protocol's code of its fault.
    pub fn open(&self, token: &str, now_ms: u64) -> Result<(Id<Subscription>, u64), &'static str> {
        let opened = || {
            let (claims, mac) = token.split_once('.')?;
            let (claims, mac) = (BASE64.decode(claims).ok()?, BASE64.decode(mac).ok()?);
            hmac::verify(&self.tokens, &claims, &mac).ok()?;
            let claims = String::from_utf8(claims).ok()?;
            let mut parts = claims.split('.');
            let id = Id::parse(parts.next()?).ok()?;
            let (generation, until) = (parts.next()?.parse().ok()?, parts.next()?.parse::<u64>().ok()?);
            Some((id, generation, until))
        };
        let (id, generation, until) = opened().ok_or("TOKEN_INVALID")?;
        if until <= now_ms { Err("TOKEN_EXPIRED") } else { Ok((id, generation)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn tokens_speak_of_one_generation_and_expire() {
        let (keys, other) = (StreamKeys::derive(b"one").unwrap(), StreamKeys::derive(b"two").unwrap());
        let id: Id<Subscription> = Id::parse("sub_01j00000000000000000000000").unwrap();
        let token = keys.token(&id, 3, 1_000);
        assert_eq!(keys.open(&token, 1_000), Ok((id.clone(), 3)));
        // A holder who renews its lease, of ten minutes at most, may need days.
        assert_eq!(keys.open(&token, 1_000 + 7 * 24 * 3_600_000), Ok((id, 3)));
        assert_eq!(keys.open(&token, 1_000 + TOKEN_MS), Err("TOKEN_EXPIRED"));
        assert_eq!(other.open(&token, 1_000), Err("TOKEN_INVALID"));
        assert_eq!(keys.open(&token[1..], 1_000), Err("TOKEN_INVALID"));
        assert_eq!(keys.open("", 1_000), Err("TOKEN_INVALID"));
    }

    #[test]
    fn the_published_key_verifies_what_is_signed() {
        let keys = StreamKeys::derive(b"one").unwrap();
        let jwks = keys.jwks();
        let public = BASE64.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
        let header = keys.sign("body", 5_000);
        let signature = header.strip_prefix(&format!("t=5,kid={},ed25519=", keys.key_id())).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(b"5.body", &BASE64.decode(signature).unwrap()).unwrap();
    }
}
