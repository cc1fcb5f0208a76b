//! Offsets and cursors as clients see them. Pure.
//!
//! An offset is the number of units before it, in 16 digits, so that text order is offset order.

use spool_protocol::{Error, Result};

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    At(u64),
    /// The stream's end (`now`).
    End,
}

const DIGITS: usize = 16;

pub fn format(offset: u64) -> String {
    format!("{offset:0DIGITS$}")
}

/// An offset that this server gave, or one that counts the same without the zeros: the other wires write
/// it so. The start of a stream is also taken in the form `0000000000000000_0000000000000000`, which the
/// protocol's reference server and its public test suite use.
pub fn parse(text: &str) -> Result<u64> {
    let digits = match text.split_once('_') {
        Some((file, position)) if !file.is_empty() && file.bytes().all(|byte| byte == b'0') => position,
        Some(_) => "",
        None => text,
    };
    let valid = (1..=DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let malformed = || Error::bad_request("offset: not one that this server gave").with("path", "offset");
    if valid { digits.parse().map_err(|_| malformed()) } else { Err(malformed()) }
}

/// The `offset` parameter: at most one, never empty.
pub fn start(params: &[(String, String)]) -> Result<Option<Start>> {
    let mut given = params.iter().filter(|(name, _)| name == "offset").map(|(_, value)| value.as_str());
    let first = given.next();
    if given.next().is_some() {
        return Err(Error::bad_request("offset: given more than once").with("path", "offset"));
    }
    first
        .map(|text| match text {
            "-1" => Ok(Start::At(0)),
            "now" => Ok(Start::End),
            text => parse(text).map(Start::At),
        })
        .transpose()
}

/// When cursors began to count: 2024-10-09T00:00:00Z.
const CURSOR_EPOCH_MS: u64 = 1_728_432_000_000;
const CURSOR_SLOT_MS: u64 = 20_000;
/// Slots that a cursor may be ahead: 3,600 s.
const JITTER_SLOTS: u64 = 180;

/// The cursor of a live answer: the present slot of 20 s, or a later one if the client is there already,
/// so that no cache, which knows requests by their URL, answers with what it gave before.
pub fn cursor(now_ms: u64, client: Option<&str>, random: u64) -> u64 {
    let present = now_ms.saturating_sub(CURSOR_EPOCH_MS) / CURSOR_SLOT_MS;
    let client = client.and_then(|client| client.parse::<u64>().ok()).filter(|client| *client >= present);
    // What has no next was never given by us, and counts like nonsense.
    client.and_then(|client| client.checked_add(1 + random % JITTER_SLOTS)).unwrap_or(present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_offsets_are_offsets() {
        assert_eq!(parse(&format(1_234)).unwrap(), 1_234);
        assert_eq!(parse("17").unwrap(), 17);
        assert_eq!(parse("0000000000000000_0000000000000000").unwrap(), 0);
        assert!(format(9) < format(10));
        for text in ["", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "1,2", "../1", "1\0", "_1", "1_1", "0_", "٣"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("12345678901234567").is_err());
    }

    #[test]
    fn a_cursor_is_never_behind_the_clients() {
        let now = CURSOR_EPOCH_MS + 100 * CURSOR_SLOT_MS + 1;
        assert_eq!(cursor(now, None, 0), 100);
        assert_eq!(cursor(now, Some("99"), 0), 100);
        assert_eq!(cursor(now, Some("100"), 180), 101);
        assert_eq!(cursor(now, Some("500"), 179), 680);
        assert_eq!(cursor(now, Some("x"), 0), 100);
        assert_eq!(cursor(now, Some(&u64::MAX.to_string()), 0), 100);
    }
}
