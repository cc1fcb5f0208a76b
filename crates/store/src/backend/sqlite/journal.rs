//! The newest chunks of all logs together, in the order of their appends.
//!
//! A table ordered by log takes a page for every log that grows; a thousand streams would write a
//! thousand pages for a thousand tokens. Here they fill one page after the other. Once there are many, the
//! oldest are filed, all that a log has at a time, in a [pack](super::packs) that takes many of them: a
//! log-structured merge tree of two levels (O'Neil et al., 1996).
//!
//! Which rows belong to a log is known in memory alone, read anew at start. The index may name rows that
//! a snapshot does not have (rolled back, not committed yet, moved), but never lacks one that it has;
//! a snapshot from before the last removal searches the whole table instead.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::packs::{self, Packer};
use crate::Timestamp;
use crate::backend::{Limit, Removed};
use crate::limits;
use crate::logs::Chunk;

pub const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS _log_journal (
        seq INTEGER PRIMARY KEY, log TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, data TEXT NOT NULL);";

/// Rows of one statement where there are so many: starting one costs more than a row.
const TOGETHER: usize = 16;
static INSERT_ONE: LazyLock<String> = LazyLock::new(|| insert(1));
static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert(TOGETHER));

fn insert(rows: usize) -> String {
    let slots = vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT INTO _log_journal (seq, log, start, end, data) VALUES {slots}")
}

/// Shared by all connections of a file. Only the writer changes it.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    /// Never given twice, even where a transaction was rolled back.
    next_seq: i64,
    logs: HashMap<Arc<str>, Entries>,
    /// Every row in the order of `seq`, with its size.
    order: VecDeque<(i64, Arc<str>, usize)>,
    bytes: usize,
    /// When rows were last removed: an older snapshot may still have them.
    removed_at: Timestamp,
}

#[derive(Debug, Default)]
struct Entries {
    rows: VecDeque<Entry>,
    /// Rows up to this one have been moved.
    moved_to: i64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seq: i64,
    end: u64,
}

/// What a commit will have moved and removed.
#[derive(Debug, Default)]
pub struct Moved {
    logs: Vec<(Arc<str>, i64)>,
    removed_to: i64,
    rows: usize,
}

impl Index {
    fn add(&mut self, seq: i64, log: Arc<str>, end: u64, bytes: usize) {
        self.logs.entry(Arc::clone(&log)).or_default().rows.push_back(Entry { seq, end });
        self.order.push_back((seq, log, bytes));
        self.bytes += bytes;
        self.next_seq = seq + 1;
    }

    fn is_full(&self) -> bool {
        self.order.len() > limits::JOURNAL_ROWS || self.bytes > limits::JOURNAL_BYTES
    }
}

impl Journal {
    /// Reads which rows there are.
    pub fn load(sqlite: &Connection) -> rusqlite::Result<Self> {
        let mut index = Index { next_seq: 1, ..Index::default() };
        let mut statement =
            sqlite.prepare("SELECT seq, log, end, length(CAST(data AS BLOB)) FROM _log_journal ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (log, end, bytes): (String, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let known = index.logs.get_key_value(log.as_str()).map(|(name, _)| Arc::clone(name));
            let log = known.unwrap_or_else(|| log.into());
            index.add(row.get(0)?, log, end.cast_unsigned(), usize::try_from(bytes).unwrap_or(0));
        }
        // Rows that were moved stay until all before them are; where the log ends elsewhere tells which.
        for (log, entries) in &mut index.logs {
            let end = packs::end(sqlite, log)?.unwrap_or(0);
            let last = entries.rows.iter().rev().find(|entry| entry.end <= end);
            entries.moved_to = last.map_or(0, |entry| entry.seq);
        }
        Ok(Self(Mutex::new(index)))
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // A poisoned lock only says that another thread panicked; the index is updated in single steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a row for each chunk in the open transaction.
    pub fn append(&self, sqlite: &Connection, chunks: &[(Arc<str>, Chunk)]) -> rusqlite::Result<()> {
        let first = {
            let mut index = self.lock();
            let first = index.next_seq;
            for (seq, (log, chunk)) in (first..).zip(chunks) {
                index.add(seq, Arc::clone(log), chunk.end, chunk.data.len());
            }
            first
        };
        let mut rest = (first..).zip(chunks);
        for count in std::iter::repeat_n(TOGETHER, chunks.len() / TOGETHER)
            .chain(std::iter::repeat_n(1, chunks.len() % TOGETHER))
        {
            let mut statement = sqlite.prepare_cached(if count == 1 { &INSERT_ONE } else { &INSERT_MANY })?;
            let mut slot = 0;
            let mut bind = |value: &dyn ToSql| {
                slot += 1;
                statement.raw_bind_parameter(slot, value)
            };
            for (seq, (log, chunk)) in rest.by_ref().take(count) {
                bind(&seq)?;
                bind(&&**log)?;
                bind(&chunk.start.cast_signed())?;
                bind(&chunk.end.cast_signed())?;
                bind(&&*chunk.data)?;
            }
            statement.raw_execute()?;
        }
        Ok(())
    }

    /// The rows of `log` that end behind `from`, in order, as far as the snapshot of `sqlite` has them, until
    /// `max_bytes` are exceeded. `snapshot` is its timestamp, `None` in a write transaction.
    pub fn read(
        &self, sqlite: &Connection, snapshot: Option<Timestamp>, log: &str, from: u64, max_bytes: usize,
    ) -> rusqlite::Result<Vec<Chunk>> {
        let Some(seqs) = self.seqs(snapshot, log, from) else { return search(sqlite, log, from, max_bytes) };
        let mut statement = sqlite.prepare_cached(ONE_ROW)?;
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        for seq in seqs {
            let Some(chunk) = statement.query_row(params![seq, log], chunk).optional()? else { continue };
            bytes += chunk.data.len();
            chunks.push(chunk);
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(chunks)
    }

    /// Where the newest row of `log` ends.
    pub fn end(&self, sqlite: &Connection, snapshot: Option<Timestamp>, log: &str) -> rusqlite::Result<Option<u64>> {
        let mut statement = sqlite.prepare_cached("SELECT end FROM _log_journal WHERE seq = ?1 AND log = ?2")?;
        let mut before = i64::MAX;
        loop {
            match self.newest(snapshot, log, before) {
                None => return Ok(search(sqlite, log, 0, usize::MAX)?.last().map(|chunk| chunk.end)),
                Some(None) => return Ok(None),
                Some(Some(seq)) => before = seq,
            }
            if let Some(end) = statement.query_row(params![before, log], |row| row.get::<_, i64>(0)).optional()? {
                return Ok(Some(end.cast_unsigned()));
            }
        }
    }

    /// Removes rows of `log` from its end, in the open transaction.
    pub fn delete(&self, sqlite: &Connection, log: &str, limit: Limit) -> rusqlite::Result<Removed> {
        let mut removed = Removed::default();
        let sql = "DELETE FROM _log_journal WHERE seq = ?1 AND log = ?2 RETURNING octet_length(data)";
        let mut statement = sqlite.prepare_cached(sql)?;
        for seq in self.seqs(None, log, 0).unwrap_or_default().into_iter().rev() {
            let length = statement.query_row(params![seq, log], |row| row.get::<_, i64>(0)).optional()?;
            let Some(length) = length else { continue };
            removed.rows += 1;
            removed.bytes = removed.bytes.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
            if removed.rows >= limit.rows || removed.bytes >= limit.bytes {
                break;
            }
        }
        Ok(removed)
    }

    /// The newest row before the row `before` that may belong to `log`; `None` if the index no longer knows what the
    /// snapshot has.
    fn newest(&self, snapshot: Option<Timestamp>, log: &str, before: i64) -> Option<Option<i64>> {
        let index = self.lock();
        if snapshot.is_some_and(|snapshot| snapshot < index.removed_at) {
            return None;
        }
        let Some(entries) = index.logs.get(log) else { return Some(None) };
        let at = entries.rows.partition_point(|entry| entry.seq < before);
        Some(at.checked_sub(1).map(|at| entries.rows[at].seq))
    }

    /// Rows that may belong to `log` and end behind `from`; `None` if the index no longer knows what the
    /// snapshot has.
    fn seqs(&self, snapshot: Option<Timestamp>, log: &str, from: u64) -> Option<Vec<i64>> {
        let index = self.lock();
        if snapshot.is_some_and(|snapshot| snapshot < index.removed_at) {
            return None;
        }
        let rows = index.logs.get(log).map(|entries| entries.rows.iter());
        Some(rows.into_iter().flatten().filter(|entry| entry.end > from).map(|entry| entry.seq).collect())
    }

    /// Moves the oldest rows on if there are too many: a good number of them, so that the commits in between
    /// leave the pages of the oldest alone. In the open transaction; [`Journal::moved`] once it is committed.
    pub fn make_room(&self, sqlite: &Connection) -> rusqlite::Result<Moved> {
        let mut moved = Moved::default();
        if !self.lock().is_full() {
            return Ok(moved);
        }
        let (mut work, mut at) = (0, 0);
        while work < limits::JOURNAL_MOVED {
            let (seq, log, rows) = {
                let index = self.lock();
                let Some((seq, log, _)) = index.order.get(at) else { break };
                let entries = index.logs.get(log);
                let before = moved.logs.iter().rev().find(|(name, _)| name == log).map(|(_, to)| *to);
                let done = before.or(entries.map(|entries| entries.moved_to)).unwrap_or(0);
                let waiting = entries.filter(|_| *seq > done).into_iter().flat_map(|entries| entries.rows.iter());
                let rows = waiting.map(|entry| entry.seq).filter(|row| *row > done);
                (*seq, Arc::clone(log), rows.take(limits::JOURNAL_MOVED).collect::<Vec<i64>>())
            };
            if let Some(last) = rows.last().copied() {
                file(sqlite, &log, &rows)?;
                moved.logs.push((log, last));
            }
            work += 1 + rows.len();
            at += 1;
            moved.removed_to = seq;
        }
        moved.rows = at;
        sqlite.prepare_cached("DELETE FROM _log_journal WHERE seq <= ?1")?.execute([moved.removed_to])?;
        Ok(moved)
    }

    /// What [`Journal::make_room`] did is committed, with the timestamp `ts`.
    pub fn moved(&self, moved: &Moved, ts: Timestamp) {
        if moved.rows == 0 {
            return;
        }
        let mut index = self.lock();
        let index = &mut *index;
        index.removed_at = ts;
        for (log, to) in &moved.logs {
            if let Some(entries) = index.logs.get_mut(log) {
                entries.moved_to = *to;
            }
        }
        for (seq, log, bytes) in index.order.drain(..moved.rows) {
            index.bytes -= bytes;
            let Some(entries) = index.logs.get_mut(&log) else { continue };
            while entries.rows.front().is_some_and(|entry| entry.seq <= seq) {
                entries.rows.pop_front();
            }
            if entries.rows.is_empty() {
                index.logs.remove(&log);
            }
        }
    }
}

/// Copies rows of a log to its packs, those that there are.
fn file(sqlite: &Connection, log: &str, rows: &[i64]) -> rusqlite::Result<()> {
    let mut packer = Packer::new(sqlite, log);
    let mut statement = sqlite.prepare_cached("SELECT start, end, data FROM _log_journal WHERE seq = ?1")?;
    for seq in rows {
        let mut found = statement.query([seq])?;
        if let Some(row) = found.next()? {
            packer.add(row.get(0)?, row.get(1)?, row.get_ref(2)?.as_str()?)?;
        }
    }
    packer.finish()
}

const ONE_ROW: &str = "SELECT start, end, data FROM _log_journal WHERE seq = ?1 AND log = ?2";

/// The rows of a log without help of the index.
fn search(sqlite: &Connection, log: &str, from: u64, max_bytes: usize) -> rusqlite::Result<Vec<Chunk>> {
    let sql = "SELECT start, end, data FROM _log_journal WHERE log = ?1 AND end > ?2 ORDER BY seq";
    let mut statement = sqlite.prepare_cached(sql)?;
    let mut rows = statement.query(params![log, from.cast_signed()])?;
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let chunk = chunk(row)?;
        bytes += chunk.data.len();
        chunks.push(chunk);
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(chunks)
}

/// A chunk from the columns `start`, `end`, `data`.
fn chunk(row: &Row<'_>) -> rusqlite::Result<Chunk> {
    let data: String = row.get(2)?;
    let (start, end) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
    Ok(Chunk::new(start.cast_unsigned(), end.cast_unsigned(), data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_counts_the_bytes_that_were_appended() {
        let sqlite = Connection::open_in_memory().unwrap();
        sqlite.execute_batch(TABLE).unwrap();
        packs::prepare(&sqlite).unwrap();
        let journal = Journal::load(&sqlite).unwrap();
        let text = "é💥".repeat(100);
        journal.append(&sqlite, &[("log".into(), Chunk::new(0, 600, text.as_str()))]).unwrap();
        let started = Journal::load(&sqlite).unwrap();
        assert_eq!((journal.lock().bytes, started.lock().bytes), (text.len(), text.len()));
    }
}
