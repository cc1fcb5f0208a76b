//! The key of share links, derived from the server's one signing key: links survive restarts, and whoever
//! has the database alone can make none.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use spool_chat::functions::shares::tokens::ShareKey;

/// `secret` is the server's signing key. The purpose goes into the derivation, so no key tells another.
pub fn key(secret: &[u8]) -> ShareKey {
    let root = hmac::Key::new(HMAC_SHA256, secret);
    let mut key = [0; 32];
    key.copy_from_slice(hmac::sign(&root, b"spool shares: tokens").as_ref());
    ShareKey(key)
}
