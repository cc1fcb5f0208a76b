//! The Convex sync protocol and value encoding, as the official clients (npm 1.48, Rust 0.10) speak it.
//!
//! [`client`] is what they send, [`server`] what they understand, [`Text`] how it is held, [`value`] how values are encoded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub mod client;
pub mod server;
mod text;
pub mod value;

pub use text::Text;

/// `U64` on the wire: base64 of eight little-endian bytes.
pub fn encode_ts(ts: u64) -> String {
    BASE64.encode(ts.to_le_bytes())
}

/// The inverse of [`encode_ts`]; `None` for anything else.
pub fn decode_ts(text: &str) -> Option<u64> {
    Some(u64::from_le_bytes(BASE64.decode(text).ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_eight_little_endian_bytes() {
        assert_eq!(encode_ts(0), "AAAAAAAAAAA=");
        assert_eq!(encode_ts(1000), "6AMAAAAAAAA=");
        assert_eq!(decode_ts("6AMAAAAAAAA="), Some(1000));
        assert_eq!(decode_ts("6AM="), None);
    }
}
