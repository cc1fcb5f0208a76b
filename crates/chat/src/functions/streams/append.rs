//! Appending and closing: one function, because both take part in the order of producers.
//!
//! Order of checks: lost producers and known repetitions, closed, content type, producer order,
//! `Stream-Seq`. A producer's state outlives the closing, so a repeated closing append is known like any
//! other, and so is a late repetition of one before it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::Tx;

use super::{Piece, conflict, end, live, touch_row};
use crate::context::CallContext;
use crate::functions::subscriptions;
use crate::limits::{self, check_bytes, check_count};
use crate::tables::stream::media_type;
use crate::tables::{Producer, Stream, producer};

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Append {
    pub owner: String,
    pub path: String,
    /// Absent where nothing is appended.
    pub content_type: Option<String>,
    #[serde(default)]
    pub pieces: Vec<Piece>,
    #[serde(default)]
    pub close: bool,
    /// `Stream-Seq`
    pub seq: Option<String>,
    pub producer: Option<ProducerArgs>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProducerArgs {
    pub id: String,
    pub epoch: u64,
    pub seq: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Appended {
    /// The offset after the last unit.
    pub end: u64,
    pub closed: bool,
    /// Nothing was done, because it had been done before.
    pub duplicate: bool,
    /// The highest sequence number taken from this producer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_seq: Option<u64>,
}

/// `streams:append`
pub fn append(tx: &mut Tx<'_>, _ctx: &CallContext, args: Append) -> Result<Appended> {
    let mut stream = live(tx, &args.owner, &args.path)?;
    let known = args.producer.as_ref().map(|producer| state(tx, stream.id.as_str(), producer)).transpose()?.flatten();
    if let Some(seq) = repeated(args.producer.as_ref(), known.as_ref())? {
        let (end, closed) = (end(tx, &stream)?, stream.closed);
        return Ok(Appended { end, closed, duplicate: true, producer_seq: Some(seq) });
    }
    if stream.closed {
        // Closing what is closed says nothing new; only a producer must know whose closing it was.
        let says_nothing = args.pieces.is_empty() && args.producer.is_none();
        let end = end(tx, &stream)?;
        if says_nothing {
            return Ok(Appended { end, closed: true, duplicate: true, producer_seq: None });
        }
        return Err(Error::new(Code::LogSealed, "The stream is closed.").with("end", end));
    }
    if !args.pieces.is_empty() {
        let given = args.content_type.as_deref().unwrap_or_default();
        if media_type(given) != media_type(&stream.content_type) {
            return Err(conflict("content_type", format!("The stream is {}.", stream.content_type)));
        }
    }
    if let Some(producer) = &args.producer {
        step(tx, stream.id.as_str(), producer, known)?;
    }
    if let Some(seq) = args.seq.filter(|_| !args.pieces.is_empty()) {
        check_bytes("seq", &seq, limits::NAME_BYTES)?;
        if stream.last_seq.as_ref().is_some_and(|last| seq <= *last) {
            return Err(conflict("sequence", "The Stream-Seq is not above the last one."));
        }
        stream.last_seq = Some(seq);
    }
    let before = end(tx, &stream)?;
    for piece in &args.pieces {
        tx.log_append(stream.id.as_str(), piece.units, piece.data.clone())?;
    }
    if args.close {
        seal(tx, &mut stream)?;
    }
    note(tx, &mut stream, args.close)?;
    if !args.pieces.is_empty() {
        subscriptions::wakes::stream_grew(tx, &stream, before)?;
    }
    let producer_seq = args.producer.map(|producer| producer.seq);
    Ok(Appended { end: end(tx, &stream)?, closed: stream.closed, duplicate: false, producer_seq })
}

/// Stores the row if anything in it changed: an append to a stream without TTL or sequence does not.
pub(crate) fn note(tx: &mut Tx<'_>, stream: &mut Stream, closed: bool) -> Result<()> {
    let sequenced = stream.last_seq.is_some();
    if closed || sequenced || stream.ttl_seconds.is_some() {
        let now = tx.now();
        touch_row(stream, now);
        tx.put(stream)?;
    }
    Ok(())
}

/// Ends the stream's log for good.
pub(super) fn seal(tx: &mut Tx<'_>, stream: &mut Stream) -> Result<()> {
    stream.closed = true;
    tx.log_seal(stream.id.as_str())
}

/// How far a producer of the log `of` is.
pub(crate) fn state(tx: &mut Tx<'_>, of: &str, args: &ProducerArgs) -> Result<Option<Producer>> {
    check_bytes("producer.id", &args.id, limits::NAME_BYTES)?;
    tx.query::<Producer>(producer::BY_STREAM).eq(of).eq(args.id.as_str()).first()
}

/// The highest number taken from a producer that says what it has said before. `forbidden` for one that was
/// replaced.
pub(crate) fn repeated(producer: Option<&ProducerArgs>, known: Option<&Producer>) -> Result<Option<u64>> {
    let (Some(producer), Some(known)) = (producer, known) else { return Ok(None) };
    if producer.epoch < known.epoch {
        let message = "Another writer has taken over this producer with a newer epoch.";
        return Err(Error::new(Code::Forbidden, message).with("epoch", known.epoch));
    }
    if producer.epoch > known.epoch || producer.seq > known.last_seq {
        return Ok(None);
    }
    Ok(Some(known.last_seq))
}

/// Moves the producer on by one, or says why it cannot.
pub(crate) fn step(tx: &mut Tx<'_>, of: &str, args: &ProducerArgs, known: Option<Producer>) -> Result<()> {
    let now = tx.now();
    let expected = known.as_ref().filter(|known| known.epoch == args.epoch).map_or(0, |known| known.last_seq + 1);
    if args.seq != expected {
        if known.is_some_and(|known| known.epoch < args.epoch) {
            return Err(Error::bad_request("A new epoch begins with sequence 0.").with("path", "producer.seq"));
        }
        return Err(conflict("sequence_gap", "Earlier sequence numbers of this producer are missing.")
            .with("expected", expected)
            .with("received", args.seq));
    }
    let id = match known {
        Some(known) => known.id,
        None => {
            let others = tx.query::<Producer>(producer::BY_STREAM).eq(of).count()?;
            let count = usize::try_from(others).unwrap_or(usize::MAX).saturating_add(1);
            check_count("producers", count, limits::STREAM_PRODUCERS)?;
            tx.new_id()
        }
    };
    tx.put(&Producer {
        id,
        creation_time: now as f64,
        stream_id: of.to_owned(),
        producer: args.id.clone(),
        epoch: args.epoch,
        last_seq: args.seq,
    })
}
