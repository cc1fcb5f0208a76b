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
/// Rows that are read at a time for what a model is given of a thread, and those looked at beside the messages
/// that it is given: messages that failed do not count, but cost a read.
pub const HISTORY_BATCH: usize = 16;
pub const HISTORY_ROWS: usize = 150;
/// Messages that one call of a clearing function removes, so that no transaction is long.
pub const CLEARED_MESSAGES: usize = 500;
/// Threads that one call of `threads:clearAll` marks.
pub const CLEARED_THREADS: usize = 1_000;
/// Rows of a guest that one step of a claim moves. A thread moves with its files, so a step may be
/// [`THREAD_UPLOADS`] longer.
pub const CLAIMED_ROWS: usize = 500;
/// Generations that one look at expired leases ends or queues again.
pub const EXPIRED_GENERATIONS: usize = 200;
/// Generations or keys that a list without pages returns.
pub const LISTED: usize = 1_000;
/// Machines of one user, and workers of one machine: lists of them have no pages.
pub const MACHINES: usize = 100;
pub const MACHINE_WORKERS: usize = 100;
/// Answers that wait for one worker, and that one makes at the same time: they all end in one step with it.
pub const WORKER_QUEUE: usize = 200;
pub const WORKER_RUNNING: usize = 100;
/// Roles of one user.
pub const USER_ROLES: usize = 32;
/// Content of one version of an artifact. As a document it may grow by escapes, up to the store's limit.
pub const ARTIFACT_BYTES: usize = 16 << 20;
/// Versions of one thread that are being written at the same time: what they hold is counted when they are whole.
pub const DRAFTS: usize = 20;
/// Text of a difference between two versions; nobody reads more, and both can be had whole.
pub const DIFF_BYTES: usize = 1 << 20;
/// Lines of both versions that are compared one by one: the cost grows faster than their number.
pub const DIFF_LINES: usize = 20_000;
/// Entries of a list of what is to be done, and one of them: every prompt may carry the list.
pub const TODOS: usize = 200;
pub const TODO_BYTES: usize = 2_000;
/// Replacements of one edit of a document.
pub const EDITS: usize = 100;
/// Arguments of a tool call that a person is asked about: somebody has to read them, and lists carry them.
pub const APPROVAL_BYTES: usize = 1 << 20;
/// A question to a person, and what the person says with the answer.
pub const REASON_BYTES: usize = 16 << 10;
/// Units before a cursor of `messages:listMessages` that are looked through for what was said before progress.
pub const PROGRESS_UNITS: u64 = 512;
/// Calls of tools in one step of an answer. More than a model makes at once, and little to read.
pub const STEP_CALLS: usize = 128;
/// Runners that may be lost at the same place of an answer. What takes so many down takes the next one, too.
pub const LOST_RUNNERS: u32 = 5;
/// Calls of one answer whose steps are looked up to tell the answer again, and whose times its parts show. A runner
/// outside makes no more: each is a row that is read when the answer ends.
pub const ANSWER_CALLS: usize = 2_000;
/// A result of a call outside that is kept in its row; of a larger one the row has the beginning.
pub const RESULT_BYTES: usize = 64 << 10;
/// Pieces in which a result that is too large for a row is kept and read.
pub const OUTPUT_CHUNK_BYTES: usize = 256 << 10;
/// Approvals of one thread that wait at the same time; they are all cancelled in one step with the thread.
pub const PENDING_APPROVALS: usize = 100;
/// People who have to approve one thing, at most.
pub const APPROVERS: u32 = 20;
/// Answers that a question proposes.
pub const OPTIONS: usize = 20;
/// Decisions in one call: one transaction, so a short one.
pub const DECISIONS: usize = 100;
/// How far an inbox counts what is pending or unread: more is "99+" to people, and counting costs a read each.
pub const INBOX_COUNT: usize = 100;
/// Arguments of a call that a list of approvals carries: nobody reads more in a line.
pub const LISTED_INPUT_BYTES: usize = 16 << 10;
/// Approvals of others that a list shows to whoever may decide them, the oldest.
pub const AWAITED: usize = 100;
/// How many are looked at for it, and their bytes, for each number of people who decide; and the bytes of those in
/// threads that are shared with the caller. So nobody can hide what others ask behind much of their own.
pub const AWAITED_ROWS: usize = 500;
pub const AWAITED_BYTES: usize = 2 << 20;
pub const SHARED_AWAITED_BYTES: usize = 16 << 20;
/// Approvals of one answer that its runner is told, the newest of those that are decided.
pub const ANSWER_APPROVALS: usize = 1_000;
pub const ANSWER_APPROVALS_BYTES: usize = 24 << 20;
/// Rules of one user: all of them are read for each call of a tool.
pub const RULES: usize = 200;
/// Conditions of one rule.
pub const CONDITIONS: usize = 20;
/// Conditions of one rule and of all rules of one user, as bytes of their places and values: all of them are held
/// against each call of a tool, while nobody else can write.
pub const RULE_BYTES: usize = 64 << 10;
pub const RULES_BYTES: usize = 1 << 20;
/// Bytes at the end of an outside answer's log in which a call is looked for that a person is asked about.
pub const CALL_SEARCH_BYTES: usize = 4 << 20;
/// Browsers of one user that are told: each is sent a message of its own for each approval.
pub const PUSH_SUBSCRIPTIONS: usize = 20;
/// The address at a push service. Real ones have a few hundred bytes.
pub const ENDPOINT_BYTES: usize = 2_048;
/// Notices that one look takes to be sent.
pub const NOTICES: usize = 64;
/// Expired approvals that one look ends.
pub const EXPIRED_APPROVALS: usize = 200;
/// The longest time for a decision, and how long an answer is kept open for one that never expires, in
/// milliseconds: a year.
pub const LONGEST_WAIT_MS: u64 = 366 * 24 * 3_600_000;
/// The name of a durable stream, which is part of a URL.
pub const STREAM_PATH_BYTES: usize = 1_024;
/// Data of a durable stream in one page; a chunk that alone has more is a page. Large, because the official client
/// takes the first page for everything when it does not read live; even if every byte is escaped, a page
/// stays within the result of one function.
pub const STREAM_PAGE_BYTES: usize = 2 << 20;
/// Producers of one stream: each is a row that is kept as long as the stream.
pub const STREAM_PRODUCERS: usize = 10_000;
/// Where a subscriber is called, and where it reached this server. Real addresses have a few hundred bytes.
pub const WEBHOOK_URL_BYTES: usize = 2_048;
/// Subscriptions of one owner: each is looked at with every append of that owner.
pub const SUBSCRIPTIONS: usize = 100;
/// Streams that a subscription names, and that one wake speaks of: each is looked at with every wake. A pattern
/// may find any number; those that do not fit a wake are in the next.
pub const SUBSCRIPTION_LINKS: usize = 1_000;
/// Files of one thread; a list of them has no pages.
pub const THREAD_UPLOADS: usize = 1_000;
/// The name of a file, as file systems bound it.
pub const FILE_NAME_BYTES: usize = 255;
/// A media type: two names of 127 characters at most (RFC 6838, 4.2), and the slash.
pub const MEDIA_TYPE_BYTES: usize = 255;
/// Files of one message.
pub const MESSAGE_FILES: usize = 50;
/// Rows and chunks of removed things that one step of the sweep takes, and their bytes: the longest that a
/// writer waits behind it.
pub const SWEPT_ROWS: usize = 1_000;
pub const SWEPT_BYTES: usize = 8 << 20;
/// How long the log of an answer rests before its texts are joined, in milliseconds: until then whoever saw it
/// grow finds the pieces that it saw.
pub const LOG_REST_MS: u64 = 3_600_000;
/// The longest time that a log is kept, and not for ever, in hours: ten years.
pub const LOG_HOURS: f64 = 87_600.0;
/// Logs that one step removes or compacts, and the bytes after which it ends: others wait behind it.
pub const TENDED_LOGS: usize = 200;
pub const COMPACTED_STEP_BYTES: usize = 512 << 10;
/// The longest log that is compacted, which is done in one step.
pub const COMPACTED_BYTES: usize = 8 << 20;
/// Units of a chunk of a compacted log: whoever wants one character reads all of its chunk.
pub const COMPACTED_CHUNK_UNITS: u64 = 16 << 10;
/// Chunks of an answer that may come before their time, counted from the one that is missing, and their bytes: all of
/// them are in one row, which each further one writes anew.
pub const EARLY_CHUNKS: u64 = 256;
pub const EARLY_BYTES: usize = 1 << 20;
/// Rows of one user that are counted in one step, where no counter is there yet.
pub const MEASURED_ROWS: usize = 10_000;
/// Deleted sources that go together with their last fork; of a longer chain the rest is swept.
pub const FREED_SOURCES: usize = 16;
/// Longest life of a signed URL, in seconds: a week.
pub const READ_URL_SECONDS: u64 = 7 * 24 * 3600;
/// Open shares of one thread; a list of them has no pages.
pub const SHARES: usize = 100;
/// The longest life of a share that is given one, in milliseconds: ten years.
pub const LONGEST_SHARE_MS: u64 = 10 * 366 * 24 * 3_600_000;
/// Threads shared with one person that a list shows, the newest.
pub const SHARED_WITH_ME: usize = 200;
/// Life of the URL of a shared file, in seconds. The share is looked at with every use besides.
pub const SHARED_FILE_SECONDS: u64 = 3600;
/// Messages of a shared thread that a copy takes, the newest: one transaction, so a short one. A page of them
/// is bounded in bytes, too.
pub const COPIED_MESSAGES: u32 = 500;
/// An e-mail address (RFC 5321, 4.5.3.1: 64 for the name, 255 for the host).
pub const EMAIL_BYTES: usize = 320;

/// Messages that one summary is made of at most, the rows looked at for them, and the bytes that are sent of them
/// together and of each.
pub const SUMMARY_MESSAGES: usize = 100;
pub const SUMMARY_ROWS: usize = 200;
pub const SUMMARY_BYTES: usize = 128 << 10;
pub const SUMMARY_MESSAGE_BYTES: usize = 8 << 10;
/// Windows that are looked back through for a summary: each but the last was closed without one.
pub const SUMMARY_CHAIN: usize = 8;
/// Messages of the window before that are quoted where it has no summary of them, and the bytes of each.
pub const CARRIED_MESSAGES: usize = 10;
pub const CARRIED_BYTES: usize = 2 << 10;
/// Entries of a user's memory and the bytes of each: all of them are in every prompt.
pub const MEMORY_ENTRIES: usize = 200;
pub const MEMORY_BYTES: usize = 1_000;
/// The user's own instructions.
pub const INSTRUCTIONS_BYTES: usize = 16 << 10;
/// Fields of a profile, and its bytes as JSON.
pub const PROFILE_FIELDS: usize = 100;
pub const PROFILE_BYTES: usize = 16 << 10;
/// Versions of a memory, of instructions and of a profile that are kept.
pub const STATE_VERSIONS: u64 = 50;

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
