//! The tokens of share links.
//!
//! A token is a code of the share's id under a key that only the server has: 256 bits that nobody can
//! guess, that the owner can be shown again, and that are stored nowhere. Rows keep the hash.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use spool_protocol::{Error, Result};

use crate::context::CallContext;
use crate::functions::streams::urls::hmac;
use crate::tables::Share;
use crate::tables::credential::secret_hash;

/// The secret that tokens come from. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareKey(pub [u8; 32]);

impl fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareKey(..)")
    }
}

impl ShareKey {
    /// The token of a share's link: 43 characters that need no escape in a URL.
    fn token(&self, share: &str) -> String {
        BASE64.encode(hmac(&self.0, format!("share\n{share}").as_bytes()))
    }
}

/// How a token is stored and looked up. The time of a look-up tells of the hash at most, which nobody
/// can choose.
pub(crate) fn hash(token: &str) -> String {
    secret_hash(token)
}

/// The hash to store with a new link.
pub(super) fn hash_of(ctx: &CallContext, share: &str) -> Result<String> {
    let key = ctx.settings.share_key.as_ref().ok_or_else(|| Error::internal("no key makes links here"))?;
    Ok(hash(&key.token(share)))
}

/// The path of a share's link, for its owner. None if it has no link, or the server's key is another than
/// when it was made: then the link still opens for those who have it.
pub(super) fn path_of(ctx: &CallContext, share: &Share) -> Option<String> {
    let stored = share.token_hash.as_ref().filter(|_| ctx.settings.share_links)?;
    let token = ctx.settings.share_key.as_ref()?.token(share.id.as_str());
    (hash(&token) == *stored).then(|| format!("/s/{token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sh_01_a_token_is_of_one_share_and_one_key() {
        let key = ShareKey([7; 32]);
        let token = key.token("shr_1");
        assert_eq!(token.len(), 43);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(token, key.token("shr_1"));
        assert_ne!(token, key.token("shr_2"));
        assert_ne!(token, ShareKey([8; 32]).token("shr_1"));
        assert_eq!(format!("{key:?}"), "ShareKey(..)");
    }
}
