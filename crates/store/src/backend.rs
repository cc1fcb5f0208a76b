//! The contract between the store and a SQL engine. One implementation per engine, plain SQL each.
//!
//! A backend stores rows and logs and gives snapshots and serializable transactions. It never sees a
//! document's meaning, a subscription or a session. Everything here must be possible on any SQL engine
//! with serializable transactions; what only one engine can do stays inside that engine's file.

use std::sync::Arc;

use spool_protocol::Error;

use crate::Timestamp;
use crate::logs::Chunk;
use crate::scan::Order;
use crate::schema::{Index, Table};

pub mod sqlite;

/// Opens connections. Each connection is used by one thread at a time.
pub trait Backend: Send + Sync + 'static {
    fn reader(&self) -> Result<Box<dyn Connection>, Error>;
    fn writer(&self) -> Result<Box<dyn Connection>, Error>;
}

/// One document as it is stored: its id, its JSON, and one key per index of the table, in order.
#[derive(Debug)]
pub struct Row<'a> {
    pub id: &'a str,
    pub document: &'a str,
    pub keys: &'a [Vec<u8>],
}

/// Where a scan ends before its range does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub rows: usize,
    /// Bytes of documents: the row that exceeds them is the last, but never the first row, so that a page
    /// can always be split.
    pub bytes: usize,
}

impl Limit {
    pub fn rows(rows: usize) -> Self {
        Self { rows, bytes: usize::MAX }
    }

    /// Whether a scan that has so much must end here.
    pub fn is_over(self, rows: usize, bytes: usize) -> bool {
        rows >= self.rows || (rows > 1 && bytes > self.bytes)
    }
}

/// An answered request, kept so that the same request is never executed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Who asked. Another principal does not get the stored answer.
    pub principal: String,
    pub ts: Timestamp,
    pub value: String,
}

/// A place in the order of answers: session and request. The default stands before all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerPlace {
    pub session: String,
    pub request: String,
}

/// Where a log ends, and whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    pub end: u64,
    pub sealed: bool,
}

/// What one step of a removal took; no rows say that nothing was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    pub rows: usize,
    pub bytes: usize,
}

/// Why a commit did not happen, or may have.
#[derive(Debug)]
pub enum CommitError {
    /// Nothing of the transaction is stored; the same work may be tried again.
    RolledBack(Error),
    /// Nobody can tell. The process must stop and read the truth after a restart.
    Unknown(Error),
}

/// Old index keys of a replaced or deleted row.
pub type OldKeys = Option<Vec<Vec<u8>>>;

/// A database connection with at most one open transaction. All calls block.
pub trait Connection: Send {
    /// Opens a snapshot and returns the timestamp of the newest commit in it.
    fn begin_read(&mut self) -> Result<Timestamp, Error>;
    fn end_read(&mut self);

    /// Opens a serializable write transaction whose commit will carry the returned timestamp: larger
    /// than every earlier one, and at least `now_ns` (unless that is in the past).
    fn begin_write(&mut self, now_ns: u64) -> Result<Timestamp, Error>;
    fn commit(&mut self) -> Result<(), CommitError>;
    fn rollback(&mut self);
    /// Marks a point for `rollback_to_savepoint`. They do not nest.
    fn savepoint(&mut self) -> Result<(), Error>;
    fn release_savepoint(&mut self) -> Result<(), Error>;
    /// Fails if the engine has already given up the whole transaction.
    fn rollback_to_savepoint(&mut self) -> Result<(), Error>;

    fn get(&mut self, table: &'static Table, id: &str) -> Result<Option<String>, Error>;
    /// Rows with `lo <= key < hi` of an index, as (key, document), within `limit`.
    fn scan(
        &mut self, table: &'static Table, index: &'static Index, lo: &[u8], hi: &[u8], order: Order, limit: Limit,
    ) -> Result<Vec<(Vec<u8>, String)>, Error>;
    /// How many rows have `lo <= key < hi`, counting no further than `most`.
    fn count(
        &mut self, table: &'static Table, index: &'static Index, lo: &[u8], hi: &[u8], most: usize,
    ) -> Result<u64, Error>;
    /// Inserts or replaces. A broken unique index is `already_exists` naming it.
    fn put(&mut self, table: &'static Table, row: Row<'_>) -> Result<OldKeys, Error>;
    fn delete(&mut self, table: &'static Table, id: &str) -> Result<OldKeys, Error>;

    fn log_end(&mut self, log: &str) -> Result<LogEnd, Error>;
    /// Adds each chunk at the end of its log.
    fn log_append(&mut self, chunks: &[(Arc<str>, Chunk)]) -> Result<(), Error>;
    /// Chunks from the one that holds offset `from` on, in order, until `max_bytes` are exceeded.
    fn log_read(&mut self, log: &str, from: u64, max_bytes: usize) -> Result<Vec<Chunk>, Error>;
    fn log_seal(&mut self, log: &str, end: u64) -> Result<(), Error>;
    /// Stores a log anew: `chunks` hold what it holds, at the same offsets, cut in other places.
    fn log_recut(&mut self, log: &str, chunks: &[Chunk]) -> Result<(), Error>;
    /// Removes the newest chunks of a log, at most `limit.rows` rows of them and about `limit.bytes`, and its
    /// seal once no chunk is left. From the end, so that whoever still reads the log finds less of it, but never a
    /// gap.
    fn log_delete(&mut self, log: &str, limit: Limit) -> Result<Removed, Error>;

    fn ledger_get(&mut self, session: &str, request: &str) -> Result<Option<LedgerRecord>, Error>;
    fn ledger_put(&mut self, session: &str, request: &str, record: &LedgerRecord, now_ms: u64) -> Result<(), Error>;
    /// Forgets answers older than `before_ms`; returns how many.
    fn ledger_prune(&mut self, before_ms: u64) -> Result<u64, Error>;
    /// Forgets the answers of one principal among the `rows` answers behind `after`; returns where to go on,
    /// or nothing at the end. Looks at every answer, so that storing one needs no further index.
    fn ledger_forget(
        &mut self, principal: &str, after: &LedgerPlace, rows: usize,
    ) -> Result<Option<LedgerPlace>, Error>;
}
