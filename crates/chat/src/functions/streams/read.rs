//! Reading: what a stream is, its data from an offset on, and the note that it was read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::Tx;

use super::{Meta, Named, live, meta, touch_row};
use crate::context::CallContext;
use crate::limits;
use crate::tables::Stream;

/// `streams:meta`
pub fn stat(tx: &mut Tx<'_>, _ctx: &CallContext, args: Named) -> Result<Meta> {
    let stream = live(tx, &args.owner, &args.path)?;
    meta(tx, &stream)
}

/// `streams:touch`: somebody read the stream; its TTL begins anew.
pub fn touch(tx: &mut Tx<'_>, _ctx: &CallContext, args: Named) -> Result<()> {
    let mut stream = live(tx, &args.owner, &args.path)?;
    let now = tx.now();
    touch_row(&mut stream, now);
    tx.put(&stream)
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Read {
    pub owner: String,
    pub path: String,
    /// Where to begin; the stream's end if absent.
    pub offset: Option<u64>,
    /// Bytes of data at most, unless one chunk alone has more.
    pub max_bytes: Option<usize>,
}

/// What a slice has around its data, about, in the answer of [`read`]: many small chunks are much of it.
const SLICE_BYTES: usize = 64;

/// A stored chunk, and the part of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// The offset of the chunk's first unit.
    pub start: u64,
    /// The units `from..to` of the stream are meant.
    pub from: u64,
    pub to: u64,
    pub data: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub meta: Meta,
    pub slices: Vec<Slice>,
    /// Where the page begins and where to go on.
    pub from: u64,
    pub next: u64,
}

/// `streams:read`: a page of at least one chunk, if there is any, and of no more than fit. Data that a fork shares
/// with its source is read from the source's log, whatever became of the source since.
pub fn read(tx: &mut Tx<'_>, _ctx: &CallContext, args: Read) -> Result<Page> {
    let stream = live(tx, &args.owner, &args.path)?;
    let meta = meta(tx, &stream)?;
    let from = args.offset.unwrap_or(meta.end);
    if from > meta.end {
        let message = format!("offset: the stream ends at {}, not beyond {from}", meta.end);
        return Err(Error::bad_request(message).with("path", "offset").with("end", meta.end));
    }
    let most = args.max_bytes.unwrap_or(limits::STREAM_PAGE_BYTES).min(limits::STREAM_PAGE_BYTES);
    let (mut next, mut slices, mut bytes) = (from, Vec::new(), 0);
    let mut segments = segments(tx, stream, from, meta.end)?;
    'page: while next < meta.end {
        let missing = || Error::internal(format!("log {} has no data at {next}", meta.log));
        while segments.last().is_some_and(|segment| segment.cap <= next) {
            segments.pop();
        }
        let Segment { log, base, cap } = segments.last().ok_or_else(missing)?;
        let chunks = tx.log_read(log, next - base)?;
        if chunks.is_empty() {
            return Err(missing());
        }
        for chunk in chunks {
            let (start, to) = (base + chunk.start, (base + chunk.end).min(*cap));
            if start >= *cap {
                break;
            }
            bytes += chunk.data.len() + SLICE_BYTES;
            if bytes > most && !slices.is_empty() {
                break 'page;
            }
            slices.push(Slice { start, from: next, to, data: chunk.data.to_string() });
            next = to;
        }
    }
    Ok(Page { meta, slices, from, next })
}

/// A part of a stream that is in one log.
struct Segment {
    log: String,
    /// The offset of the log's first unit.
    base: u64,
    /// Where the log stops being valid for the reader.
    cap: u64,
}

/// The logs that hold a stream from offset `at` to its end, the last part first. Down a chain of forks once: each
/// source is read up to where the next one left it, and one that was left before it began has no part.
fn segments(tx: &mut Tx<'_>, stream: Stream, at: u64, end: u64) -> Result<Vec<Segment>> {
    let (mut holder, mut cap, mut segments) = (stream, end, Vec::new());
    loop {
        segments.push(Segment { log: holder.id.to_string(), base: holder.base, cap });
        if holder.base <= at {
            return Ok(segments);
        }
        cap = cap.min(holder.base);
        let source = holder.source_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
        holder = source.ok_or_else(|| Error::internal(format!("the source of stream {} is missing", holder.id)))?;
    }
}
