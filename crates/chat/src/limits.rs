//! Every bound of the domain, each with its reason. Crossing one is a typed error.

use spool_protocol::{Code, Error, Result};

/// Text of one message that a client sends. Stored once as a part, and served twice in a view.
pub const MESSAGE_BYTES: usize = 8 << 20;
/// Parts of one answer as JSON; below the store's document limit, with room for the other fields.
pub const PARTS_BYTES: usize = 28 << 20;
/// A title is one line of a list.
pub const TITLE_BYTES: usize = 1_000;
/// Tags of one thread, and bytes of names that clients choose (tags, contexts, models, ids).
pub const TAGS: usize = 64;
pub const NAME_BYTES: usize = 256;
/// Parts of one message that a client sends.
pub const PARTS: usize = 10_000;
/// User messages that may wait behind a running answer.
pub const QUEUED_TURNS: usize = 10;
/// Messages that move when a queued turn gets its place; beyond it the answer goes to the end.
pub const MOVED_MESSAGES: usize = 500;
/// Messages of a thread that a model is given at most, and their bytes together.
pub const HISTORY_MESSAGES: usize = 50;
pub const HISTORY_BYTES: usize = 4 << 20;
/// Rows looked at for that history: messages that failed do not count, but cost a read.
pub const HISTORY_ROWS: usize = 200;
/// Messages that one call of a clearing function removes, so that no transaction is long.
pub const CLEARED_MESSAGES: usize = 500;
/// Threads that one call of `threads:clearAll` marks.
pub const CLEARED_THREADS: usize = 1_000;
/// Generations that one look at expired leases ends or queues again.
pub const EXPIRED_GENERATIONS: usize = 200;
/// Generations or keys that a list without pages returns.
pub const LISTED: usize = 1_000;

/// Refuses a text that is over `limit` bytes; `field` names it.
pub(crate) fn check_bytes(field: &str, text: &str, limit: usize) -> Result<()> {
    if text.len() <= limit {
        return Ok(());
    }
    let message = format!("{field} has {} bytes; the limit is {limit}", text.len());
    Err(Error::new(Code::TooLarge, message).with("limit", limit).with("path", field))
}

/// Refuses a list that is over `limit` entries; `field` names it.
pub(crate) fn check_count(field: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("{field} has {count} entries; the limit is {limit}");
    Err(Error::new(Code::TooLarge, message).with("limit", limit).with("path", field))
}
