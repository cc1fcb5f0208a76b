//! Durable streams: named logs that clients create, write and read over the Durable Streams wire.
//!
//! Internal functions only: the wire decides who the owner is and hands it in. A stream is found by
//! (owner, path) and nothing else, so a foreign stream and a missing one cannot be told apart.

pub mod append;
pub mod create;
pub mod delete;
pub mod read;
pub mod urls;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::Tx;

use crate::limits::{self, check_bytes};
use crate::tables::{Stream, stream};

/// A stream by its name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    pub owner: String,
    pub path: String,
}

/// Units of data that are stored as one chunk.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Piece {
    /// Messages or bytes.
    pub units: u64,
    /// As the wire encodes it; opaque here.
    pub data: String,
}

/// What is known of a stream without its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The log that has the units from `base` on.
    pub log: String,
    pub base: u64,
    pub content_type: String,
    /// The offset after the last unit.
    pub end: u64,
    pub closed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Whether a use of the stream is to be noted, for its sliding TTL.
    pub touch_due: bool,
}

/// The part of a TTL by which notes of use may lag. A stream lives that much longer, never shorter, and
/// is written for its readers that rarely.
const TOUCH_PART: u64 = 64;

fn deadline(ttl_seconds: u64, now: u64) -> u64 {
    let ttl = ttl_seconds.saturating_mul(1000);
    now.saturating_add(ttl).saturating_add(ttl / TOUCH_PART)
}

/// Notes that the stream was used now.
fn touch_row(stream: &mut Stream, now: u64) {
    stream.touched_at = now;
    if let Some(ttl) = stream.ttl_seconds {
        stream.deadline = Some(deadline(ttl, now));
    }
}

fn touch_due(stream: &Stream, now: u64) -> bool {
    stream.ttl_seconds.is_some_and(|ttl| now.saturating_sub(stream.touched_at) >= ttl.saturating_mul(1000) / TOUCH_PART)
}

/// The row, whatever became of it.
pub(crate) fn row(tx: &mut Tx<'_>, owner: &str, path: &str) -> Result<Option<Stream>> {
    check_bytes("path", path, limits::STREAM_PATH_BYTES)?;
    tx.query::<Stream>(stream::BY_PATH).eq(owner).eq(path).first()
}

/// Whether other streams read this one's log.
fn has_forks(tx: &mut Tx<'_>, stream: &Stream) -> Result<bool> {
    Ok(tx.query::<Stream>(stream::BY_SOURCE).eq(&stream.id).first()?.is_some())
}

/// The stream, if it is there and not over. `gone` if only its forks keep it.
pub(crate) fn live(tx: &mut Tx<'_>, owner: &str, path: &str) -> Result<Stream> {
    let stream = row(tx, owner, path)?.ok_or_else(missing)?;
    if stream.gone {
        return Err(gone());
    }
    if stream.is_over(tx.now()) {
        return Err(if has_forks(tx, &stream)? { gone() } else { missing() });
    }
    Ok(stream)
}

/// The offset after the last unit.
pub(crate) fn end(tx: &mut Tx<'_>, stream: &Stream) -> Result<u64> {
    Ok(stream.base + tx.log_end(stream.id.as_str())?.end)
}

fn meta(tx: &mut Tx<'_>, stream: &Stream) -> Result<Meta> {
    Ok(Meta {
        log: stream.id.to_string(),
        base: stream.base,
        content_type: stream.content_type.clone(),
        end: end(tx, stream)?,
        closed: stream.closed,
        ttl_seconds: stream.ttl_seconds,
        expires_at: stream.expires_at.clone(),
        touch_due: touch_due(stream, tx.now()),
    })
}

fn missing() -> Error {
    Error::not_found("stream")
}

fn gone() -> Error {
    Error::new(Code::Gone, "The stream was deleted; only its forks still read it.")
}

fn conflict(reason: &str, message: impl Into<String>) -> Error {
    Error::new(Code::StreamConflict, message).with("reason", reason)
}
