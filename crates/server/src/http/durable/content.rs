//! Between bodies and stored chunks. Pure.
//!
//! A chunk of a JSON stream is a JSON array of messages. A chunk of any other stream is its bytes: `t` and
//! the text if they are UTF-8, else `b` and base64. A generation's chunk is a JSON array of events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use spool_protocol::{Code, Error, Event, Result};

/// Bytes in one chunk, so that a reader of a large append can be served in parts.
const CHUNK_BYTES: usize = 256 << 10;
/// One JSON message. It is never cut, so a page that holds it must fit a function's result.
const MESSAGE_BYTES: usize = 4 << 20;

/// What the units of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Json,
    Text,
    Binary,
    /// A generation: shown as JSON messages, counted as [`Event::units`].
    Events,
}

impl Kind {
    pub fn of(content_type: &str) -> Self {
        let media = spool_chat::tables::stream::media_type(content_type);
        match media.as_str() {
            "application/json" => Kind::Json,
            media if media.starts_with("text/") => Kind::Text,
            _ => Kind::Binary,
        }
    }

    fn is_json(self) -> bool {
        matches!(self, Kind::Json | Kind::Events)
    }
}

/// The body of a write as arguments of `streams:append`. An empty JSON array is nothing to append, and
/// only a creation may say so.
pub fn pieces(kind: Kind, body: &[u8], creating: bool) -> Result<Vec<Value>> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    if kind == Kind::Json { json_pieces(body, creating) } else { Ok(byte_pieces(body)) }
}

/// Flattens one level of array, and keeps every message as it was written.
fn json_pieces(body: &[u8], creating: bool) -> Result<Vec<Value>> {
    let invalid = |error: serde_json::Error| Error::bad_request(format!("the body is not JSON: {error}"));
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let messages: Vec<&RawValue> = if is_array {
        serde_json::from_slice(body).map_err(invalid)?
    } else {
        vec![serde_json::from_slice(body).map_err(invalid)?]
    };
    if messages.is_empty() && !creating {
        return Err(Error::bad_request("an empty array has nothing to append"));
    }
    let mut pieces = Vec::new();
    let (mut data, mut units) = (String::new(), 0_u64);
    for message in messages {
        let message = message.get();
        if message.len() > MESSAGE_BYTES {
            let text = format!("a message has {} bytes; the limit is {MESSAGE_BYTES}", message.len());
            return Err(Error::new(Code::TooLarge, text).with("limit", MESSAGE_BYTES));
        }
        if units > 0 && data.len() + message.len() > CHUNK_BYTES {
            pieces.push(json!({ "units": units, "data": format!("[{data}]") }));
            data.clear();
            units = 0;
        }
        if units > 0 {
            data.push(',');
        }
        data.push_str(message);
        units += 1;
    }
    if units > 0 {
        pieces.push(json!({ "units": units, "data": format!("[{data}]") }));
    }
    Ok(pieces)
}

fn byte_pieces(body: &[u8]) -> Vec<Value> {
    if let Ok(mut text) = std::str::from_utf8(body) {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let (piece, rest) = text.split_at(text.floor_char_boundary(CHUNK_BYTES));
            pieces.push(json!({ "units": piece.len(), "data": format!("t{piece}") }));
            text = rest;
        }
        return pieces;
    }
    let chunks = body.chunks(CHUNK_BYTES);
    chunks.map(|chunk| json!({ "units": chunk.len(), "data": format!("b{}", BASE64.encode(chunk)) })).collect()
}

/// Units of a stream, gathered from its chunks.
#[derive(Debug, Clone)]
pub struct Payload {
    kind: Kind,
    /// Messages with commas between them, or bytes.
    data: Vec<u8>,
    events: Vec<Event>,
}

impl Payload {
    pub fn new(kind: Kind) -> Self {
        Self { kind, data: Vec::new(), events: Vec::new() }
    }

    /// Bytes, as far as they grow without bound.
    pub fn len(&self) -> u64 {
        self.data.len() as u64 + self.events.iter().map(Event::units).sum::<u64>()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.events.is_empty()
    }

    /// Adds the units `from..to` of a chunk that begins with unit `start`.
    pub fn push(&mut self, data: &str, start: u64, from: u64, to: u64) -> Result<()> {
        let damaged = || Error::internal("a stored chunk is not what its stream says");
        let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
        let (first, last) = (place(from), place(to));
        match self.kind {
            Kind::Events => {
                let mut at = start;
                for event in serde_json::from_str::<Vec<Event>>(data).map_err(|_| damaged())? {
                    let end = at + event.units();
                    if end > from
                        && let Some(rest) = event.skip(from.saturating_sub(at))
                    {
                        Event::push_coalesced(&mut self.events, rest);
                    }
                    at = end;
                }
            }
            Kind::Json => {
                let messages: Vec<&RawValue> = serde_json::from_str(data).map_err(|_| damaged())?;
                for message in messages.get(first..last.min(messages.len())).ok_or_else(damaged)? {
                    if !self.data.is_empty() {
                        self.data.push(b',');
                    }
                    self.data.extend_from_slice(message.get().as_bytes());
                }
            }
            Kind::Text | Kind::Binary => {
                let (mark, rest) = data.split_at_checked(1).ok_or_else(damaged)?;
                let decoded;
                let bytes = match mark {
                    "t" => rest.as_bytes(),
                    "b" => {
                        decoded = BASE64.decode(rest).map_err(|_| damaged())?;
                        &decoded
                    }
                    _ => return Err(damaged()),
                };
                self.data.extend_from_slice(bytes.get(first..last.min(bytes.len())).ok_or_else(damaged)?);
            }
        }
        Ok(())
    }

    /// Adds everything of a chunk from unit `from` on. Whole JSON chunks, which is what followers get, are
    /// taken as they are.
    pub fn push_rest(&mut self, data: &str, start: u64, from: u64) -> Result<()> {
        let whole = (from <= start).then(|| data.strip_prefix('[')?.strip_suffix(']')).flatten();
        let Some(messages) = whole.filter(|_| self.kind == Kind::Json) else {
            return self.push(data, start, from, u64::MAX);
        };
        if !self.data.is_empty() {
            self.data.push(b',');
        }
        self.data.extend_from_slice(messages.as_bytes());
        Ok(())
    }

    /// Adds events that are cut already.
    pub fn push_events(&mut self, events: Vec<Event>) {
        for event in events {
            Event::push_coalesced(&mut self.events, event);
        }
    }

    /// The body of an answer: the bytes, or one JSON array.
    pub fn into_body(mut self) -> Result<Vec<u8>> {
        if self.kind == Kind::Events {
            return serde_json::to_vec(&self.events).map_err(|e| Error::internal(format!("encoding events: {e}")));
        }
        if self.kind.is_json() {
            self.data.insert(0, b'[');
            self.data.push(b']');
        }
        Ok(self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(kind: Kind, body: &[u8]) -> Vec<(u64, String)> {
        let pieces = pieces(kind, body, false).unwrap();
        let piece = |piece: &Value| (piece["units"].as_u64().unwrap(), piece["data"].as_str().unwrap().to_owned());
        pieces.iter().map(piece).collect()
    }

    fn part(kind: Kind, chunks: &[(u64, String)], from: u64, to: u64) -> Vec<u8> {
        let (mut payload, mut start) = (Payload::new(kind), 0);
        for (units, data) in chunks {
            if start < to && start + units > from {
                payload.push(data, start, from.max(start), to.min(start + units)).unwrap();
            }
            start += units;
        }
        payload.into_body().unwrap()
    }

    #[test]
    fn json_is_flattened_once_and_kept_as_written() {
        let chunks = stored(Kind::Json, br#" [ 1.50 , [2, 3],{"a" :1e999}, "\ud800" ] "#);
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].0, 4);
        assert_eq!(part(Kind::Json, &chunks, 0, 4), br#"[1.50,[2, 3],{"a" :1e999},"\ud800"]"#);
        assert_eq!(part(Kind::Json, &chunks, 1, 3), br#"[[2, 3],{"a" :1e999}]"#);
        for from in 0..4 {
            let mut payload = Payload::new(Kind::Json);
            payload.push_rest(&chunks[0].1, 0, from).unwrap();
            payload.push_rest("[0]", 4, 4).unwrap();
            let expected = String::from_utf8(part(Kind::Json, &chunks, from, 4))
                .unwrap()
                .replace(r#""\ud800"]"#, r#""\ud800",0]"#);
            assert_eq!(payload.into_body().unwrap(), expected.as_bytes());
        }
        assert_eq!(part(Kind::Json, &[], 0, 0), b"[]");
        assert_eq!(stored(Kind::Json, b"null"), [(1, "[null]".to_owned())]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in [&b"{"[..], b"[1,]", b"[1] 2", b" ", b"\xff", b"[]"] {
            assert!(pieces(Kind::Json, body, false).is_err(), "{body:?}");
        }
        assert!(pieces(Kind::Json, b"[]", true).unwrap().is_empty());
    }

    #[test]
    fn bytes_come_back_from_any_place_and_large_bodies_are_cut() {
        let text = "aé".repeat(CHUNK_BYTES);
        let binary: Vec<u8> = (0..=255).cycle().take(CHUNK_BYTES * 2 + 7).collect();
        for body in [text.as_bytes(), &binary] {
            let chunks = stored(Kind::Binary, body);
            assert!(chunks.len() > 2);
            assert_eq!(part(Kind::Binary, &chunks, 0, body.len() as u64), body);
            let (from, to) = (CHUNK_BYTES - 1, CHUNK_BYTES + 5);
            assert_eq!(part(Kind::Binary, &chunks, from as u64, to as u64), &body[from..to]);
        }
    }
}
