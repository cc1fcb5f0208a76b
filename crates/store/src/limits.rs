//! Every bound of the store, each with its reason. Crossing one is a typed error, never a slowdown.

use std::time::Duration;

/// One document as JSON. A finished answer of 10 MB must fit with its parts.
pub const DOCUMENT_BYTES: usize = 32 << 20;
/// Rows that one function may read: a query that needs more wants an index or a page.
pub const SCAN_ROWS: usize = 32_000;
/// Rows on one page, however much its range has grown since it was cut.
pub const PAGE_ROWS: usize = 1_000;
/// How long one function may run, in milliseconds, looked at between its reads. It holds a thread, and a
/// mutation holds up all others, so even this is generous.
pub const FUNCTION_MS: u64 = 5_000;
/// Bytes of documents on one page; it ends early above them, but never before its first row.
pub const PAGE_BYTES: usize = 4 << 20;
/// Snapshots kept open for queries at a timestamp. Each holds back the truncation of the write-ahead log.
pub const PINNED_SNAPSHOTS: usize = 8;
/// How long such a snapshot is kept, in milliseconds. Convex keeps its history for about as long.
pub const PINNED_MS: u64 = 30_000;
/// Jobs that share one SQL transaction and one fsync. Larger batches only add latency.
pub const BATCH_JOBS: usize = 256;
/// How long the writer waits for more before it commits a token, where the one before came within `STREAMING`: a
/// commit costs the same for one token as for fifty, and so does waking those who wait for it. A turn that has the
/// server for itself never waits.
pub const GATHER: Duration = Duration::from_micros(500);
pub const STREAMING: Duration = Duration::from_millis(6);
/// Jobs waiting for the writer, and queries waiting for a reader; beyond it callers wait for a place, which is the
/// backpressure.
pub const QUEUE: usize = 8_192;
/// How long they do. A queue that has not moved for so long is stuck, and who is told so can do something else.
pub const PLACE: Duration = Duration::from_secs(5);
/// Changed keys remembered, of however many commits, to judge a query that ran while others committed.
/// About 100 bytes each.
pub const RECENT_CHANGES: usize = 65_536;
/// Appended chunks that wait in the journal until they are filed under their logs, and their bytes: as many
/// as a start can read at once. The more there are, the more of one log are filed together.
pub const JOURNAL_ROWS: usize = 32_768;
pub const JOURNAL_BYTES: usize = 16 << 20;
/// Chunks that one commit files, so that none takes much longer than the others.
pub const JOURNAL_MOVED: usize = 512;
/// Memory that one log may have for its newest chunks, of which it always has one; older ones come from the database.
pub const LOG_TAIL_BYTES: usize = 256 << 10;
/// What a chunk there takes beside its text and the same text as its readers get it, which is encoded once for all of
/// them: a place in the queue, three allocations, the names of fields. Most chunks are one token, so most of it is this.
pub const CHUNK_BYTES: usize = 320;
/// Memory of all of these together. Above it, logs that nobody follows keep their ends alone.
pub const TAILS_BYTES: usize = 64 << 20;
/// Ends of logs in memory, about 200 bytes each. Above it, those that nobody follows are forgotten: their next append
/// looks for the end in the database. So many answers do not run at once; it is for logs that nobody ends.
pub const LOG_ENDS: usize = 65_536;
/// Bytes of log served in one read, so that a slow reader never holds more.
pub const LOG_READ_BYTES: usize = 256 << 10;
/// How long a non-empty log page stays as it is for subscribers that do not move their cursor on, at least: it is
/// cut again when the log has half of it more, or when it is as old as the subscription was then. So all that it is
/// sent for is a few times what it is in the end.
pub const LOG_PAGE_LINGER_MS: u64 = 100;
/// Answers that one step of forgetting a principal looks at, so that nobody waits long behind it.
pub const LEDGER_STEP: usize = 2_000;
