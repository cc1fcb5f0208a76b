//! Signed, expiring URLs for readers that cannot send headers.
//!
//! A signature speaks for its owner, one path and one moment of expiry; the server checks it without any
//! row. It lets read, never write.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spool_protocol::{Error, Result};
use spool_store::{Id, Tx};

use super::live;
use crate::context::CallContext;
use crate::limits;
use crate::owned;
use crate::tables::Generation;

/// The secret that signs read URLs. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlKey(pub [u8; 32]);

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlKey(..)")
    }
}

impl UrlKey {
    /// The signature as it stands in a URL: 64 hex digits.
    pub fn sign(&self, owner: &str, path: &str, expires: u64) -> String {
        let message = format!("read\n{owner}\n{expires}\n{path}");
        hmac(&self.0, message.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The URL of an upload, relative to the server.
    pub fn upload_url(&self, owner: &str, id: &str, expires: u64) -> String {
        let signature = self.sign(owner, &upload_path(id), expires);
        format!("/api/uploads/{id}?signature={owner}.{signature}&expires={expires}")
    }

    /// Compares in a time that tells nothing about the right answer.
    pub fn verify(&self, owner: &str, path: &str, expires: u64, signature: &str) -> bool {
        let right = self.sign(owner, path, expires);
        let differing = right.bytes().zip(signature.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        right.len() == signature.len() && differing == 0
    }
}

/// What is signed for an upload. The path of a stream has no control characters, so no signature of one
/// fits the other.
pub fn upload_path(id: &str) -> String {
    format!("upload\n{id}")
}

/// HMAC-SHA256 (RFC 2104) for a key of 32 bytes.
pub(crate) fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadUrl {
    /// The path of one of the caller's streams …
    pub path: Option<String>,
    /// … or one of the caller's generations.
    pub generation_id: Option<Id<Generation>>,
    /// How long the URL can be opened, 1 second to a week.
    pub ttl_seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedUrl {
    /// Relative to the server, with a query; `offset` and `live` are added with `&`.
    pub url: String,
    /// Milliseconds since the Unix epoch.
    pub expires_at: u64,
}

/// `streams:readUrl`: a mutation although it changes nothing, because the answer of a live query would
/// outlive its own expiry.
pub fn read_url(tx: &mut Tx<'_>, ctx: &CallContext, args: ReadUrl) -> Result<SignedUrl> {
    check_ttl(args.ttl_seconds)?;
    let user = ctx.user()?.clone();
    let (owner, path) = match (args.path, args.generation_id) {
        (Some(path), None) => {
            live(tx, user.as_str(), &path)?;
            (user.to_string(), path)
        }
        (None, Some(id)) => {
            // A service acts for the owner of the thread; the URL reads as that owner.
            let (thread, generation) = owned::generation(tx, &ctx.principal, &id)?;
            (thread.user_id.to_string(), format!("generations/{}", generation.id))
        }
        _ => return Err(Error::bad_request("either path or generationId names what to read").with("path", "path")),
    };
    let key = ctx.settings.url_key.as_ref().ok_or_else(|| Error::internal("no key signs URLs here"))?;
    let expires = tx.now() / 1000 + args.ttl_seconds;
    let signature = key.sign(&owner, &path, expires);
    let url = format!("/v1/stream/{}?signature={owner}.{signature}&expires={expires}", escaped(&path));
    Ok(SignedUrl { url, expires_at: expires * 1000 })
}

/// Whether a URL may live this long.
pub(crate) fn check_ttl(seconds: u64) -> Result<()> {
    if (1..=limits::READ_URL_SECONDS).contains(&seconds) {
        return Ok(());
    }
    let message = format!("ttlSeconds: 1 to {}", limits::READ_URL_SECONDS);
    Err(Error::bad_request(message).with("path", "ttlSeconds"))
}

/// The path as part of a URL: what is not unreserved (RFC 3986, 2.3) is escaped; slashes stay.
fn escaped(path: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    path.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_hmac_sha256() {
        // RFC 4231 has no case with 32 bytes of key; a shorter key is one that is padded with zeros.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let hex: String =
            hmac(&key, b"what do ya want for nothing?").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_signature_is_for_one_owner_path_and_moment() {
        let key = UrlKey([7; 32]);
        let signature = key.sign("usr_1", "a/b", 10);
        assert!(key.verify("usr_1", "a/b", 10, &signature));
        assert!(!key.verify("usr_2", "a/b", 10, &signature));
        assert!(!key.verify("usr_1", "a/c", 10, &signature));
        assert!(!key.verify("usr_1", "a/b", 11, &signature));
        assert!(!key.verify("usr_1", "a/b", 10, &signature[1..]));
        assert!(!UrlKey([8; 32]).verify("usr_1", "a/b", 10, &signature));
        assert_eq!(escaped("a b/ü?"), "a%20b/%C3%BC%3F");
    }
}
