//! Names of streams as they stand in URLs and headers, and where this server is. Pure.

use ::http::HeaderMap;
use spool_chat::tables::Generation;
use spool_protocol::{Error, Result};
use spool_store::Id;

/// Where all streams are.
pub const ROOT: &str = "/v1/stream/";
/// The first segment that belongs to the protocol.
const RESERVED: &str = "__ds";
/// The first segment of all answers' logs.
const ANSWERS: &str = "generations";

/// What a path below [`ROOT`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Stream(String),
    /// An answer's log.
    Generation(Id<Generation>),
}

/// `path` is decoded already.
pub fn target(path: String) -> Result<Target> {
    let first = path.split('/').next().unwrap_or_default();
    if path.is_empty() || first == RESERVED {
        return Err(Error::not_found("stream"));
    }
    if path.chars().any(char::is_control) {
        return Err(Error::bad_request("a stream's path has no control characters"));
    }
    if !is_answer(&path) {
        return Ok(Target::Stream(path));
    }
    // What cannot be an id is as missing as an id of nothing.
    let id = path.split_once('/').and_then(|(_, id)| Id::parse(id).ok());
    id.map(Target::Generation).ok_or_else(|| Error::not_found("generation"))
}

/// Whether a path, or a pattern of paths, is about answers' logs and nothing else.
pub fn is_answer(path: &str) -> bool {
    path.split('/').next() == Some(ANSWERS)
}

/// A stream that a header names: its URL, its path on this server, or just its name.
pub fn named(value: &str) -> Result<String> {
    let path = match value.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => value,
    };
    let path = path.strip_prefix(ROOT).unwrap_or(path).trim_start_matches('/');
    let path = decode(path).ok_or_else(|| Error::bad_request("the name of a stream is not valid UTF-8"))?;
    match target(path)? {
        Target::Stream(path) => Ok(path),
        Target::Generation(_) => Err(Error::not_found("stream")),
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// How the caller reached this server, for URLs that it gets back: `public_url` if the operator set it.
pub fn origin(public_url: Option<&str>, headers: &HeaderMap) -> String {
    if let Some(url) = public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{}", text("host").unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_streams_by_url_path_or_name() {
        for name in ["a b/c", "/v1/stream/a%20b/c", "http://h:1/v1/stream/a%20b/c", "/a b/c"] {
            assert_eq!(named(name).unwrap(), "a b/c", "{name}");
        }
        for name in ["", "/v1/stream/", "__ds/x", "%5F_ds/x", "a%00b", "a\u{7f}", "%ff"] {
            assert!(named(name).is_err(), "{name}");
        }
    }
}
