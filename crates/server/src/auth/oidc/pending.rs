//! A sign-in that is on its way: what was sent to the provider, kept in a signed cookie of the browser that
//! began it. Pure but for randomness.
//!
//! The browser is the only one who knows state, nonce and verifier, so a callback that another browser was
//! tricked into, or that comes a second time, finds nothing. Nothing is kept here for those who never return.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Failure;
use crate::auth::random_token;

/// How long a person may take at the provider, in milliseconds.
pub const LIFE_MS: u64 = 10 * 60_000;

/// What the callback is compared with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub provider: String,
    pub state: String,
    pub nonce: String,
    /// RFC 7636: shown to the token endpoint alone.
    pub verifier: String,
    /// A path on this server.
    pub return_to: String,
    pub redirect_uri: String,
    /// Unix time in milliseconds.
    pub until_ms: u64,
}

impl Pending {
    pub fn new(provider: &str, return_to: String, redirect_uri: String, now_ms: u64) -> Self {
        Self {
            provider: provider.to_owned(),
            state: random_token(),
            nonce: random_token(),
            verifier: random_token(),
            return_to,
            redirect_uri,
            until_ms: now_ms + LIFE_MS,
        }
    }

    /// The `code_challenge`, S256.
    pub fn challenge(&self) -> String {
        BASE64.encode(Sha256::digest(&self.verifier))
    }

    /// The sign-in that a callback belongs to.
    pub fn of_callback(
        seal: &Seal, cookie: Option<&str>, state: &str, provider: &str, now_ms: u64,
    ) -> Result<Self, Failure> {
        let pending = cookie.and_then(|cookie| seal.open(cookie)).ok_or(Failure::StateMissing)?;
        let same = verify_slices_are_equal(pending.state.as_bytes(), state.as_bytes()).is_ok();
        if !same || pending.provider != provider {
            return Err(Failure::StateMismatch);
        }
        if pending.until_ms <= now_ms {
            return Err(Failure::StateExpired);
        }
        Ok(pending)
    }
}

/// Signs and opens cookies.
pub struct Seal(hmac::Key);

impl Seal {
    /// `secret` is the server's signing key. The purpose goes into the derivation.
    pub fn derive(secret: &[u8]) -> Self {
        let root = hmac::Key::new(HMAC_SHA256, secret);
        Self(hmac::Key::new(HMAC_SHA256, hmac::sign(&root, b"spool sign-in: pending").as_ref()))
    }

    pub fn close(&self, pending: &Pending) -> String {
        let text = BASE64.encode(serde_json::to_vec(pending).unwrap_or_default());
        let signature = BASE64.encode(hmac::sign(&self.0, text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn open(&self, cookie: &str) -> Option<Pending> {
        let (text, signature) = cookie.split_once('.')?;
        hmac::verify(&self.0, text.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
    }
}

/// Where to go after the sign-in: a path on this server with its query, and nothing that a browser could read
/// as another place. The API is no place for people.
pub fn check_return(path: &str) -> Result<String, Failure> {
    let starts = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/api/");
    // Browsers read `\` as `/`, and drop tabs and line ends before they look.
    let plain = path.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    if starts && plain && path.len() <= 1_500 { Ok(path.to_owned()) } else { Err(Failure::BadReturn) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ia_02_only_paths_of_this_server_are_returned_to() {
        for path in ["/", "/t/thr_1", "/t/x?y=z#w", "/a//b", "/%2f%2fevil.example"] {
            assert_eq!(check_return(path).unwrap(), path);
        }
        for path in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "javascript:alert(1)",
            " /",
            "/api/auth/oidc/x/start",
            "evil.example",
            "/a b",
            "/ä",
        ] {
            assert_eq!(check_return(path).unwrap_err(), Failure::BadReturn, "{path:?}");
        }
    }

    #[test]
    fn ia_02_a_callback_belongs_to_the_sign_in_of_its_browser() {
        let seal = Seal::derive(b"secret");
        let pending = Pending::new("x", "/".into(), "https://here/callback".into(), 1_000);
        let cookie = seal.close(&pending);
        let read = |cookie: Option<&str>, state: &str, provider: &str, now| {
            Pending::of_callback(&seal, cookie, state, provider, now)
        };
        assert_eq!(read(Some(&cookie), &pending.state, "x", 2_000).unwrap(), pending);
        assert_eq!(read(None, &pending.state, "x", 2_000).unwrap_err(), Failure::StateMissing);
        assert_eq!(read(Some(&cookie), "", "x", 2_000).unwrap_err(), Failure::StateMismatch);
        assert_eq!(read(Some(&cookie), &pending.nonce, "x", 2_000).unwrap_err(), Failure::StateMismatch);
        assert_eq!(read(Some(&cookie), &pending.state, "y", 2_000).unwrap_err(), Failure::StateMismatch);
        assert_eq!(read(Some(&cookie), &pending.state, "x", 1_000 + LIFE_MS).unwrap_err(), Failure::StateExpired);
        let foreign = Seal::derive(b"other").close(&pending);
        let (text, signature) = cookie.split_once('.').unwrap();
        let longer = BASE64.encode(
            serde_json::to_vec(&Pending {
                until_ms: u64::MAX,
                ..read(Some(&cookie), &pending.state, "x", 2_000).unwrap()
            })
            .unwrap(),
        );
        for broken in
            [foreign, text.to_owned(), format!("{text}."), format!("{longer}.{signature}"), ".".into(), String::new()]
        {
            assert_eq!(read(Some(&broken), &pending.state, "x", 2_000).unwrap_err(), Failure::StateMissing, "{broken}");
        }
    }
}
