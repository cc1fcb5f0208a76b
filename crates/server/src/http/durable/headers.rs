//! Headers of requests, checked one by one, and the names of all that this wire uses.

use ::http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use spool_protocol::{Error, Result};

use super::{offset, paths};

pub const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
pub const UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
pub const CLOSED: HeaderName = HeaderName::from_static("stream-closed");
pub const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
pub const TTL: HeaderName = HeaderName::from_static("stream-ttl");
pub const EXPIRES_AT: HeaderName = HeaderName::from_static("stream-expires-at");
pub const SSE_ENCODING: HeaderName = HeaderName::from_static("stream-sse-data-encoding");
pub const PRODUCER_EPOCH: HeaderName = HeaderName::from_static("producer-epoch");
pub const PRODUCER_SEQ: HeaderName = HeaderName::from_static("producer-seq");
pub const EXPECTED_SEQ: HeaderName = HeaderName::from_static("producer-expected-seq");
pub const RECEIVED_SEQ: HeaderName = HeaderName::from_static("producer-received-seq");

/// Ours: the protocol knows no workers. `Producer-Epoch` is the writer's own count.
const WORKER_EPOCH: &str = "x-spool-worker-epoch";

/// What pages of other sites may read of an answer.
pub const EXPOSED: [HeaderName; 13] = [
    NEXT_OFFSET,
    UP_TO_DATE,
    CLOSED,
    CURSOR,
    TTL,
    EXPIRES_AT,
    SSE_ENCODING,
    PRODUCER_EPOCH,
    PRODUCER_SEQ,
    EXPECTED_SEQ,
    RECEIVED_SEQ,
    ::http::header::ETAG,
    ::http::header::LOCATION,
];

/// Longest life that a stream can be given, in seconds: far beyond every clock, within every number.
const LONGEST_TTL: u64 = 9_007_199_254;
/// Largest integer that every JavaScript client can send.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The header's value, `None` if it is absent. Of two that contradict each other neither is believed.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str()).transpose();
    if values.next().is_some() {
        return Err(malformed(name, "is given more than once"));
    }
    value.map_err(|_| malformed(name, "is not ASCII"))
}

fn malformed(name: &str, fault: &str) -> Error {
    Error::bad_request(format!("{name} {fault}")).with("path", name)
}

/// `type/subtype`, with any parameters.
pub fn content_type(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = text(headers, "content-type")?.map(str::trim).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let token = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let media = value.split(';').next().unwrap_or_default().trim();
    match media.split_once('/') {
        Some((kind, subtype)) if token(kind) && token(subtype) => Ok(Some(value.to_owned())),
        _ => Err(malformed("Content-Type", "is not type/subtype")),
    }
}

pub fn is_closing(headers: &HeaderMap) -> Result<bool> {
    Ok(text(headers, "stream-closed")?.is_some_and(|value| value.eq_ignore_ascii_case("true")))
}

/// Digits without a sign, and without leading zeros where the protocol forbids them.
fn integer(name: &str, value: &str, largest: u64, leading_zeros: bool) -> Result<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let plain = leading_zeros || value == "0" || !value.starts_with('0');
    let number = value.parse().ok().filter(|number| digits && plain && *number <= largest);
    number.ok_or_else(|| malformed(name, &format!("is not an integer from 0 to {largest}")))
}

/// Adds a stream's lifetime to the arguments of its creation.
pub fn lifetime(headers: &HeaderMap, args: &mut Value) -> Result<()> {
    let (ttl, until) = (text(headers, "stream-ttl")?, text(headers, "stream-expires-at")?);
    match (ttl, until) {
        (Some(_), Some(_)) => return Err(malformed("Stream-TTL", "and Stream-Expires-At exclude each other")),
        (Some(ttl), None) => args["ttlSeconds"] = integer("Stream-TTL", ttl, LONGEST_TTL, false)?.into(),
        (None, Some(until)) => {
            let ms = crate::instant::parse(until);
            args["expiresAtMs"] = ms.ok_or_else(|| malformed("Stream-Expires-At", "is not RFC 3339"))?.into();
            args["expiresAt"] = until.into();
        }
        (None, None) => {}
    }
    Ok(())
}

/// The source of a fork, as an argument of its creation.
pub fn fork(headers: &HeaderMap) -> Result<Option<Value>> {
    let from = text(headers, "stream-forked-from")?;
    let (at, past) = (text(headers, "stream-fork-offset")?, text(headers, "stream-fork-sub-offset")?);
    let Some(from) = from else {
        return if past.is_some() || at.is_some() {
            Err(malformed("Stream-Forked-From", "is missing"))
        } else {
            Ok(None)
        };
    };
    let mut fork = json!({ "path": paths::named(from)? });
    if let Some(at) = at {
        fork["offset"] = offset::parse(at).map_err(|_| malformed("Stream-Fork-Offset", "is not an offset"))?.into();
    }
    if let Some(past) = past {
        fork["subOffset"] = integer("Stream-Fork-Sub-Offset", past, SAFE_INTEGER, false)?.into();
    }
    Ok(Some(fork))
}

/// A producer's name, epoch and sequence: all three, or none.
pub fn producer(headers: &HeaderMap) -> Result<Option<(String, u64, u64)>> {
    let id = text(headers, "producer-id")?;
    let (epoch, seq) = (text(headers, "producer-epoch")?, text(headers, "producer-seq")?);
    match (id, epoch, seq) {
        (None, None, None) => Ok(None),
        (Some(""), Some(_), Some(_)) => Err(malformed("Producer-Id", "is empty")),
        (Some(id), Some(epoch), Some(seq)) => {
            let epoch = integer("Producer-Epoch", epoch, SAFE_INTEGER, true)?;
            let seq = integer("Producer-Seq", seq, SAFE_INTEGER, true)?;
            Ok(Some((id.to_owned(), epoch, seq)))
        }
        _ => Err(malformed("Producer-Id", "Producer-Epoch and Producer-Seq come together")),
    }
}

/// The epoch that `workers:connect` gave, from the worker that makes an answer.
pub fn worker_epoch(headers: &HeaderMap) -> Result<Option<u64>> {
    let epoch = text(headers, WORKER_EPOCH)?;
    epoch.map(|epoch| integer("X-Spool-Worker-Epoch", epoch, SAFE_INTEGER, true)).transpose()
}

/// `Stream-Seq`, compared byte by byte.
pub fn sequence(headers: &HeaderMap) -> Result<Option<&str>> {
    text(headers, "stream-seq")
}

/// Whether the client has this version already (RFC 9110, 13.1.2).
pub fn has_version(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all("if-none-match").iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn numbers_have_one_form() {
        for bad in ["", "-1", "+1", "01", "1.0", "1e3", " 1", "0x1", "99999999999999999999"] {
            let mut args = json!({});
            assert!(lifetime(&headers(&[("stream-ttl", bad)]), &mut args).is_err(), "{bad}");
        }
        let epoch =
            |value: &str| producer(&headers(&[("producer-id", "p"), ("producer-epoch", value), ("producer-seq", "0")]));
        assert!(epoch("9007199254740991").is_ok());
        for bad in ["9007199254740992", "1.0", "-1", "", "1abc"] {
            assert!(epoch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_content_type_is_a_type() {
        let parse = |value: &str| content_type(&headers(&[("content-type", value)]));
        assert_eq!(parse("Text/Plain; charset=utf-8").unwrap().unwrap(), "Text/Plain; charset=utf-8");
        assert_eq!(parse("").unwrap(), None);
        for bad in ["text", "text/", "/plain", "text/pl ain", "te,xt/plain"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
