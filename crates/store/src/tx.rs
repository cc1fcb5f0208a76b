//! The transaction that a named function sees: documents, logs, ids and one fixed moment.
//!
//! Records what is read and what changes. Must never read a clock, the network or randomness of its
//! own: a function that gets the same transaction does the same thing, so it can be run again.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use spool_protocol::{Code, Error};

use crate::Timestamp;
use crate::backend::{Connection, Limit, LogEnd, Removed, Row};
use crate::id::{Document, Id, IdSource};
use crate::key::{self, Part};
use crate::limits;
use crate::logs::Chunk;
use crate::range::{BY_ID, ChangeSet, IndexName, KeyRange, LogChange, LogRead, ReadSet};
use crate::scan::{Order, Scan, seen};
use crate::schema::{Index, Table};

/// One attempt at running a function.
pub struct Tx<'conn> {
    connection: &'conn mut dyn Connection,
    ids: &'conn IdSource,
    writable: bool,
    now_ms: u64,
    ts: Timestamp,
    journal: Option<String>,
    /// Log pages that end where they ended before.
    resting: &'conn [LogRead],
    paginated: bool,
    rows_read: usize,
    /// For the time limit alone: functions see `now_ms`.
    begun: Instant,
    reads: ReadSet,
    changes: ChangeSet,
    appended: Vec<(Arc<str>, Chunk)>,
    ended: Vec<String>,
}

/// Rows of a range, each with its key.
pub(crate) struct ScanRows<T> {
    pub rows: Vec<(Vec<u8>, T)>,
    /// The limit ended the scan; there may be more.
    pub cut: bool,
}

/// What a finished attempt leaves behind for the committer.
pub(crate) struct Traces {
    pub reads: ReadSet,
    pub changes: ChangeSet,
    pub appended: Vec<(Arc<str>, Chunk)>,
    /// Logs sealed or deleted.
    pub ended: Vec<String>,
    pub journal: Option<String>,
}

impl<'conn> Tx<'conn> {
    pub(crate) fn new(
        connection: &'conn mut dyn Connection, ids: &'conn IdSource, writable: bool, now_ms: u64, ts: Timestamp,
        journal: Option<String>,
    ) -> Self {
        Self {
            connection,
            ids,
            writable,
            now_ms,
            ts,
            journal,
            resting: &[],
            paginated: false,
            rows_read: 0,
            begun: Instant::now(),
            reads: ReadSet::default(),
            changes: ChangeSet::default(),
            appended: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The same, but the pages of logs that `pages` names end where they end there.
    pub(crate) fn resting(mut self, pages: &'conn [LogRead]) -> Self {
        self.resting = pages;
        self
    }

    pub(crate) fn into_traces(self) -> Traces {
        Traces {
            reads: self.reads,
            changes: self.changes,
            appended: self.appended,
            ended: self.ended,
            journal: if self.paginated { self.journal } else { None },
        }
    }

    /// Milliseconds since the Unix epoch, the same during one attempt.
    pub fn now(&self) -> u64 {
        self.now_ms
    }

    /// The snapshot that a query reads, or the timestamp that a mutation will commit with.
    pub fn timestamp(&self) -> Timestamp {
        self.ts
    }

    /// A fresh id for a document about to be inserted.
    pub fn new_id<T: Document>(&mut self) -> Id<T> {
        Id::trusted(self.ids.next(T::TABLE.prefix, self.now_ms))
    }

    pub fn get<T: Document>(&mut self, id: &Id<T>) -> Result<Option<T>, Error> {
        self.reads.ranges.push(KeyRange::point((T::TABLE.name, BY_ID), id.as_str().as_bytes()));
        self.count_rows(1)?;
        self.connection.get(T::TABLE, id.as_str())?.map(|text| decode(&text)).transpose()
    }

    /// Reads a range of `index`, which must be one of `T`'s.
    pub fn query<'tx, T: Document>(&'tx mut self, index: &'static Index) -> Scan<'tx, 'conn, T> {
        Scan::new(self, index)
    }

    /// Inserts or replaces `document` under its own id. Fails with `already_exists` where a unique
    /// index has the key, and with `too_large` above the document limit.
    pub fn put<T: Document>(&mut self, document: &T) -> Result<(), Error> {
        self.check_writable()?;
        let id = document.id().as_str().to_owned();
        let value = serde_json::to_value(document).map_err(|e| Error::internal(format!("encoding {id}: {e}")))?;
        let text = value.to_string();
        if text.len() > limits::DOCUMENT_BYTES {
            return Err(Error::new(
                Code::TooLarge,
                format!("a document of {} would be {} bytes", T::TABLE.name, text.len()),
            )
            .with("limit", limits::DOCUMENT_BYTES));
        }
        let keys: Vec<Vec<u8>> = T::TABLE.indexes.iter().map(|index| index_key(index, &value, &id)).collect();
        let old = self.connection.put(T::TABLE, Row { id: &id, document: &text, keys: &keys })?;
        self.record_change(T::TABLE, &id, old, keys);
        Ok(())
    }

    /// Deletes a document; one that does not exist is no error. Says whether it existed.
    pub fn delete<T: Document>(&mut self, id: &Id<T>) -> Result<bool, Error> {
        self.erase(T::TABLE, id.as_str())
    }

    /// [`Tx::delete`] for work that is the same for every table.
    pub fn erase(&mut self, table: &'static Table, id: &str) -> Result<bool, Error> {
        self.check_writable()?;
        let old = self.connection.delete(table, id)?;
        let existed = old.is_some();
        if existed {
            self.record_change(table, id, old, Vec::new());
        }
        Ok(existed)
    }

    /// [`Tx::get`] for work that is the same for every table.
    pub fn row(&mut self, table: &'static Table, id: &str) -> Result<Option<Value>, Error> {
        self.reads.ranges.push(KeyRange::point((table.name, BY_ID), id.as_bytes()));
        self.count_rows(1)?;
        self.connection.get(table, id)?.map(|text| read(table, &text)).transpose()
    }

    /// Rows whose key in `index` begins with `values`, for work that is the same for every table.
    pub fn rows_under(
        &mut self, table: &'static Table, index: &'static Index, values: &[Part], limit: Limit,
    ) -> Result<Vec<Value>, Error> {
        let mut lo = Vec::new();
        values.iter().for_each(|value| key::push(&mut lo, value));
        let mut hi = lo.clone();
        hi.push(key::END);
        let rows = self.connection.scan(table, index, &lo, &hi, Order::Asc, limit)?;
        self.count_rows(rows.len())?;
        self.reads.ranges.push(KeyRange { index: (table.name, index.name), lo, hi });
        rows.iter().map(|(_, text)| read(table, text)).collect()
    }

    fn record_change(&mut self, table: &'static Table, id: &str, old: Option<Vec<Vec<u8>>>, new: Vec<Vec<u8>>) {
        let keys = &mut self.changes.keys;
        keys.push(((table.name, BY_ID), id.as_bytes().to_vec()));
        let mut old = old.unwrap_or_default();
        for (at, index) in table.indexes.iter().enumerate() {
            let name: IndexName = (table.name, index.name);
            let new = new.get(at);
            if let Some(old) = old.get_mut(at).filter(|old| Some(&**old) != new) {
                keys.push((name, std::mem::take(old)));
            }
            if let Some(new) = new {
                keys.push((name, new.clone()));
            }
        }
    }

    /// Whether this attempt has changed a row so far.
    pub fn has_changed(&self) -> bool {
        !self.changes.keys.is_empty()
    }

    /// Chunks of a log from offset `from` on (the first may begin before it), up to a read limit.
    pub fn log_read(&mut self, log: &str, from: u64) -> Result<Vec<Chunk>, Error> {
        self.log_read_within(log, from, limits::LOG_READ_BYTES)
    }

    /// [`Tx::log_read`] for a function that reads several logs: until `max_bytes` are exceeded.
    pub fn log_read_within(&mut self, log: &str, from: u64, max_bytes: usize) -> Result<Vec<Chunk>, Error> {
        let max_bytes = max_bytes.min(limits::LOG_READ_BYTES);
        let mut chunks = self.connection.log_read(log, from, max_bytes)?;
        // Nothing that is appended changes a page that is full.
        if chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>() < max_bytes {
            let resting = self.resting.iter().find(|page| page.log == log && page.from == from);
            if let Some(end) = resting.and_then(|page| page.page_end) {
                chunks.retain(|chunk| chunk.end <= end);
            }
            let page_end = chunks.last().map(|chunk| chunk.end);
            self.reads.logs.push(LogRead { log: log.to_owned(), from, page_end });
        }
        Ok(chunks)
    }

    /// The chunks that hold the `units` units before `offset`, as many as one read gives; not recorded, because they
    /// never change.
    pub fn log_before(&mut self, log: &str, offset: u64, units: u64) -> Result<Vec<Chunk>, Error> {
        let max_bytes = if units == 1 { 1 } else { limits::LOG_READ_BYTES };
        let mut chunks = self.connection.log_read(log, offset.saturating_sub(units), max_bytes)?;
        chunks.retain(|chunk| chunk.start < offset);
        Ok(chunks)
    }

    /// The whole log, for the one reader that needs it all: the function that writes the final message.
    pub fn log_read_all(&mut self, log: &str) -> Result<Vec<Chunk>, Error> {
        self.connection.log_read(log, 0, usize::MAX)
    }

    /// Where a log ends now. Not recorded as a read.
    pub fn log_end(&mut self, log: &str) -> Result<LogEnd, Error> {
        self.connection.log_end(log)
    }

    /// Appends `units` of `data` to a log at its end; `log_sealed` if it is sealed. Returns the new end.
    pub fn log_append(&mut self, log: &str, units: u64, data: String) -> Result<u64, Error> {
        self.check_writable()?;
        check_units(units)?;
        let LogEnd { end, sealed } = self.connection.log_end(log)?;
        if sealed {
            return Err(log_sealed());
        }
        let appended = [(Arc::<str>::from(log), Chunk::new(end, end + units, data))];
        self.connection.log_append(&appended)?;
        self.changes.logs.push(LogChange { log: Arc::clone(&appended[0].0), end: Some(end + units) });
        self.appended.extend(appended);
        Ok(end + units)
    }

    /// Ends a log for good; followers see its end.
    pub fn log_seal(&mut self, log: &str) -> Result<(), Error> {
        self.check_writable()?;
        let LogEnd { end, .. } = self.connection.log_end(log)?;
        self.connection.log_seal(log, end)?;
        self.log_ended(log);
        Ok(())
    }

    /// Cuts a sealed log in other places: `pieces` hold what it holds, each with its units. Readers find the same at
    /// every offset, so nobody is told.
    pub fn log_recut(&mut self, log: &str, pieces: Vec<(u64, String)>) -> Result<(), Error> {
        self.check_writable()?;
        let LogEnd { end, sealed } = self.connection.log_end(log)?;
        let (mut at, mut chunks) = (0, Vec::with_capacity(pieces.len()));
        for (units, data) in pieces {
            chunks.push(Chunk::new(at, at + units, data));
            at += units;
        }
        if !sealed || at != end {
            return Err(Error::internal(format!("a log of {end} units (sealed: {sealed}) cannot be cut into {at}")));
        }
        self.connection.log_recut(log, &chunks)
    }

    /// Removes the newest chunks of a log, as many as `limit` allows, so that no transaction is long. Call again
    /// until no chunk went: then nothing is left of it.
    pub fn log_delete(&mut self, log: &str, limit: Limit) -> Result<Removed, Error> {
        self.check_writable()?;
        let removed = self.connection.log_delete(log, limit)?;
        self.log_ended(log);
        Ok(removed)
    }

    fn log_ended(&mut self, log: &str) {
        self.changes.logs.push(LogChange { log: log.into(), end: None });
        self.ended.push(log.to_owned());
    }

    pub(crate) fn journal(&self) -> Option<&str> {
        self.journal.as_deref()
    }

    pub(crate) fn set_journal(&mut self, journal: &str) -> Result<(), Error> {
        if std::mem::replace(&mut self.paginated, true) {
            return Err(Error::internal("a function paginates at most once"));
        }
        self.journal = Some(journal.to_owned());
        Ok(())
    }

    pub(crate) fn scan_range<T: Document>(
        &mut self, index: &'static Index, lo: &[u8], hi: &[u8], order: Order, limit: Limit,
    ) -> Result<ScanRows<T>, Error> {
        let rows = self.connection.scan(T::TABLE, index, lo, hi, order, limit)?;
        self.count_rows(rows.len())?;
        let bytes: usize = rows.iter().map(|(_, document)| document.len()).sum();
        let cut = limit.is_over(rows.len(), bytes);
        let range = KeyRange { index: (T::TABLE.name, index.name), lo: lo.to_vec(), hi: hi.to_vec() };
        let last = if cut { rows.last().map(|(key, _)| key.as_slice()) } else { None };
        self.reads.ranges.push(seen(range, order, last));
        let rows = rows.into_iter().map(|(key, text)| Ok((key, decode(&text)?))).collect::<Result<_, Error>>()?;
        Ok(ScanRows { rows, cut })
    }

    pub(crate) fn count_range<T: Document>(
        &mut self, index: &'static Index, lo: &[u8], hi: &[u8], most: usize,
    ) -> Result<u64, Error> {
        let range = KeyRange { index: (T::TABLE.name, index.name), lo: lo.to_vec(), hi: hi.to_vec() };
        self.reads.ranges.push(range);
        self.connection.count(T::TABLE, index, lo, hi, most)
    }

    fn count_rows(&mut self, rows: usize) -> Result<(), Error> {
        self.rows_read += rows;
        if self.rows_read > limits::SCAN_ROWS + 1 {
            return Err(Error::new(Code::TooLarge, "the function reads too many rows").with("limit", limits::SCAN_ROWS));
        }
        if self.begun.elapsed().as_millis() > u128::from(limits::FUNCTION_MS) {
            return Err(Error::new(Code::TooLarge, "the function takes too long").with("limit", limits::FUNCTION_MS));
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.writable { Ok(()) } else { Err(Error::internal("a query tried to write")) }
    }
}

/// Chunks are found by where they begin, so no two may begin at the same offset.
pub(crate) fn check_units(units: u64) -> Result<(), Error> {
    if units > 0 { Ok(()) } else { Err(Error::internal("an append of nothing: a chunk covers one unit at least")) }
}

pub(crate) fn log_sealed() -> Error {
    Error::new(Code::LogSealed, "the log is sealed: its generation is over")
}

fn read(table: &Table, text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|e| Error::internal(format!("stored document of {}: {e}", table.name)))
}

fn decode<T: Document>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::internal(format!("stored document of {}: {e}", T::TABLE.name)))
}

/// The key of a document in an index. The id makes it unique; a unique index leaves it out, except
/// where a field is null, because null equals nothing.
pub(crate) fn index_key(index: &Index, document: &Value, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    let mut any_null = false;
    for field in index.fields {
        let part = Part::of(document.get(field));
        any_null |= part == Part::Null;
        key::push(&mut key, &part);
    }
    if !index.unique || any_null {
        key::push(&mut key, &Part::from(id));
    }
    key
}
