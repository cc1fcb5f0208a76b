//! The invariants of durable streams and subscriptions, one row and its neighbours at a time.

use spool_protocol::Result;
use spool_store::{Id, Tx};

use super::Findings;
use crate::functions::subscriptions::links;
use crate::tables::{ArtifactDraft, Generation, Link, Producer, Remains, Stream, Subscription, Wakes, remains, stream};

/// What JavaScript clients can say exactly.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

pub(super) fn stream(tx: &mut Tx<'_>, row: &Stream, findings: &mut Findings<'_>) -> Result<()> {
    let log = tx.log_end(row.id.as_str())?;
    // (Of what was deleted before logs were sealed for it, the log can still grow; nothing appends to it.)
    findings.expect(row.gone || log.sealed == row.closed, "stream_sealed", || {
        format!("closed is {}, whether the log can grow says {}", row.closed, log.sealed)
    });
    let lifetime = !row.gone && (row.ttl_seconds.is_some() || row.expires_at.is_some());
    findings.expect(row.deadline.is_some() == lifetime, "stream_deadline", || {
        format!("the deadline {:?} does not go with the lifetime", row.deadline)
    });
    let has_forks = tx.query::<Stream>(stream::BY_SOURCE).eq(&row.id).first()?.is_some();
    findings.expect(!row.gone || has_forks || is_left(tx, row)?, "stream_kept", || {
        "a deleted stream is kept that no fork reads".to_owned()
    });
    let begins = row.fork.as_ref().map_or(0, |fork| fork.offset.saturating_add(fork.sub_offset));
    findings.expect(row.base == begins && row.fork.is_some() == row.source_id.is_some(), "fork_base", || {
        format!("the log begins at {}, the fork says {begins}", row.base)
    });
    let Some(source_id) = &row.source_id else { return Ok(()) };
    let source = tx.get(source_id)?;
    findings.expect(source.is_some(), "fork_source", || format!("{source_id} is missing"));
    if let Some(source) = source {
        let end = source.base + tx.log_end(source_id.as_str())?.end;
        let related = source.owner == row.owner && source.id != row.id;
        findings.expect(row.base <= end && related, "fork_source", || {
            format!("the fork begins at {}, {source_id} ends at {end}", row.base)
        });
    }
    Ok(())
}

/// Whether the sweep still has to look at a stream's end: the last of a long chain of forks.
fn is_left(tx: &mut Tx<'_>, row: &Stream) -> Result<bool> {
    let left = tx.query::<Remains>(remains::BY_OF).take(crate::limits::LISTED)?;
    Ok(left.iter().any(|left| left.source_id.as_ref() == Some(&row.id)))
}

/// The chunks of a log from `at` on, as many as `bytes` allows: no gap, no overlap, and the end that is known.
/// Returns where to go on, or nothing if the log was seen whole.
pub(super) fn chunks(
    tx: &mut Tx<'_>, row: &Stream, mut at: u64, bytes: &mut usize, findings: &mut Findings<'_>,
) -> Result<Option<u64>> {
    loop {
        let page = tx.log_read(row.id.as_str(), at)?;
        if page.is_empty() {
            break;
        }
        for chunk in page {
            findings.expect(chunk.start == at && chunk.end > at, "stream_contiguous", || {
                format!("a chunk {}..{} stands at {at}", chunk.start, chunk.end)
            });
            *bytes = bytes.saturating_sub(chunk.data.len());
            at = at.max(chunk.end);
        }
        if *bytes == 0 {
            return Ok(Some(at));
        }
    }
    let end = tx.log_end(row.id.as_str())?.end;
    findings.expect(end == at, "stream_end", || format!("the log is said to end at {end}, its data ends at {at}"));
    Ok(None)
}

pub(super) fn producer(tx: &mut Tx<'_>, row: &Producer, findings: &mut Findings<'_>) -> Result<()> {
    let stream = Id::<Stream>::parse(&row.stream_id).ok().map(|id| tx.get(&id)).transpose()?.flatten();
    let generation = Id::<Generation>::parse(&row.stream_id).ok().map(|id| tx.get(&id)).transpose()?.flatten();
    let exists = stream.is_some() || generation.is_some() || is_swept(tx, &row.stream_id)?;
    findings.expect(exists, "producer_stream", || format!("{} is missing", row.stream_id));
    let sane = !row.producer.is_empty() && row.epoch <= SAFE_INTEGER && row.last_seq <= SAFE_INTEGER;
    findings.expect(sane, "producer_state", || format!("epoch {} and sequence {}", row.epoch, row.last_seq));
    Ok(())
}

pub(super) fn subscription(_tx: &mut Tx<'_>, row: &Subscription, findings: &mut Findings<'_>) -> Result<()> {
    let lease = row.wake.as_ref().and_then(|wake| wake.lease_expires_at);
    let waits = row.wake.is_some() && lease.is_none() && matches!(row.wakes, Wakes::Webhook { .. });
    // A lease is watched; a webhook that waits is to be delivered; nothing else is.
    let times = (row.due_at, row.deliver_at);
    let due = if waits { times.0.or(times.1).is_some() } else { times == (lease, None) };
    findings.expect(due, "wake_due", || {
        format!("due at {:?}, to be delivered at {:?}, the lease ends at {lease:?}", times.0, times.1)
    });
    findings
        .expect(row.wake.is_none() || row.generation > 0, "wake_generation", || "a wake without a number".to_owned());
    Ok(())
}

pub(super) fn link(tx: &mut Tx<'_>, row: &Link, findings: &mut Findings<'_>) -> Result<()> {
    let Some(subscription) = tx.get(&row.subscription_id)? else {
        let swept = is_swept(tx, row.subscription_id.as_str())?;
        findings.expect(swept, "link_subscription", || format!("{} is missing", row.subscription_id));
        return Ok(());
    };
    let found = row.glob && subscription.pattern.as_ref().is_some_and(|pattern| links::matches(pattern, &row.path));
    findings.expect(row.explicit || found, "link_reason", || "neither named nor found by the pattern".to_owned());
    let tail = links::tail(tx, &subscription.owner, &row.path)?;
    let within = row.acked.unwrap_or(0) <= tail && row.woken_at.unwrap_or(0) <= tail;
    findings.expect(within, "link_offsets", || {
        format!("acknowledged to {:?}, told of {:?}, the stream ends at {tail}", row.acked, row.woken_at)
    });
    let known = row.woken_in.is_none_or(|wake| wake <= subscription.generation);
    findings.expect(known, "link_wake", || format!("the wake {:?} has not begun", row.woken_in));
    Ok(())
}

/// What is left of something must not be something that lives.
pub(super) fn remains(tx: &mut Tx<'_>, row: &Remains, findings: &mut Findings<'_>) -> Result<()> {
    let stream = Id::<Stream>::parse(&row.of).ok().map(|id| tx.get(&id)).transpose()?.flatten();
    let generation = Id::<Generation>::parse(&row.of).ok().map(|id| tx.get(&id)).transpose()?.flatten();
    let subscription = Id::<Subscription>::parse(&row.of).ok().map(|id| tx.get(&id)).transpose()?.flatten();
    // An answer outlives its log.
    let generation = generation.filter(Generation::has_log);
    let draft = Id::<ArtifactDraft>::parse(&row.of).ok().map(|id| tx.get(&id)).transpose()?.flatten();
    let lives = stream.is_some() || generation.is_some() || subscription.is_some() || draft.is_some();
    findings.expect(!lives, "remains_dead", || format!("{} lives, and would be swept", row.of));
    Ok(())
}

pub(super) fn is_swept(tx: &mut Tx<'_>, of: &str) -> Result<bool> {
    Ok(tx.query::<Remains>(remains::BY_OF).eq(of).first()?.is_some())
}
