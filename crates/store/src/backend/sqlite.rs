//! SQLite: the embedded default. One file in WAL mode, one writer, many readers.
//!
//! Owns the SQL and the pragmas. A document is a row of its table: `_id`, `document` (JSON, readable with
//! `sqlite3`) and one key column per index. `_`-prefixed tables are the store's own.

mod journal;
mod packs;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection as Sqlite, ErrorCode, OpenFlags, OptionalExtension, params};
use spool_protocol::{Code, Error};

use self::journal::Journal;
use self::packs::Packer;
use super::{Backend, CommitError, Connection, LedgerPlace, LedgerRecord, Limit, LogEnd, OldKeys, Removed, Row};
use crate::Timestamp;
use crate::logs::Chunk;
use crate::scan::Order;
use crate::schema::{Index, Schema, Table};
use crate::threads;

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// fsync before every acknowledgement. The promise of the product.
    #[default]
    Full,
    /// A power cut may lose the last commits (a crash of the process may not).
    Normal,
}

/// The database file and how to open it.
#[derive(Debug)]
pub struct SqliteBackend {
    file: PathBuf,
    schema: Schema,
    synchronous: Synchronous,
    journal: Arc<Journal>,
}

const OWN_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS _clock (id INTEGER PRIMARY KEY CHECK (id = 1), ts INTEGER NOT NULL);
    INSERT OR IGNORE INTO _clock VALUES (1, 0);
    CREATE TABLE IF NOT EXISTS _ledger (
        session TEXT NOT NULL, request TEXT NOT NULL, principal TEXT NOT NULL, ts INTEGER NOT NULL,
        value TEXT NOT NULL, created_ms INTEGER NOT NULL, PRIMARY KEY (session, request)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS _ledger_by_age ON _ledger (created_ms);
    CREATE TABLE IF NOT EXISTS _logs_sealed (log TEXT PRIMARY KEY, end INTEGER NOT NULL) WITHOUT ROWID;";

impl SqliteBackend {
    /// Opens or creates `file` and brings its tables up to `schema`, only ever adding.
    pub fn open(file: &Path, schema: Schema, synchronous: Synchronous) -> Result<Self, Error> {
        let mut backend = Self { file: file.to_owned(), schema, synchronous, journal: Arc::default() };
        let connection = backend.connect(false)?;
        let mut ddl = [OWN_TABLES, journal::TABLE].concat();
        for table in schema.tables {
            let columns: String = table.indexes.iter().map(|i| format!(", \"{}\" BLOB", i.name)).collect();
            let name = table.name;
            ddl += &format!(
                "CREATE TABLE IF NOT EXISTS \"{name}\" (_id TEXT PRIMARY KEY, document TEXT NOT NULL{columns});"
            );
        }
        connection.execute_batch(&ddl).and_then(|()| packs::prepare(&connection)).map_err(|e| backend.broken(&e))?;
        for table in schema.tables {
            backend.add_missing_indexes(&connection, table).map_err(|e| backend.broken(&e))?;
        }
        backend.journal = Arc::new(Journal::load(&connection).map_err(|e| backend.broken(&e))?);
        Ok(backend)
    }

    /// An index that an older file does not have yet gets its column, filled from the documents.
    fn add_missing_indexes(&self, connection: &Sqlite, table: &'static Table) -> rusqlite::Result<()> {
        let name = table.name;
        let present: Vec<String> = connection
            .prepare(&format!("SELECT name FROM pragma_table_info('{name}')"))?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for index in table.indexes {
            let column = index.name;
            if !present.iter().any(|p| p == column) {
                connection.execute_batch(&format!("ALTER TABLE \"{name}\" ADD COLUMN \"{column}\" BLOB"))?;
                let rows: Vec<(String, String)> = connection
                    .prepare(&format!("SELECT _id, document FROM \"{name}\""))?
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                let mut update =
                    connection.prepare(&format!("UPDATE \"{name}\" SET \"{column}\" = ?2 WHERE _id = ?1"))?;
                for (id, document) in rows {
                    let value = serde_json::from_str(&document).unwrap_or_default();
                    update.execute(params![id, crate::tx::index_key(index, &value, &id)])?;
                }
            }
            connection.execute_batch(&format!(
                "CREATE UNIQUE INDEX IF NOT EXISTS \"{name}.{column}\" ON \"{name}\" (\"{column}\")"
            ))?;
        }
        Ok(())
    }

    fn connect(&self, read_only: bool) -> Result<Sqlite, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<Sqlite> {
            let connection = Sqlite::open_with_flags(&self.file, flags)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            let synchronous = match self.synchronous {
                Synchronous::Full => "FULL",
                Synchronous::Normal => "NORMAL",
            };
            connection.pragma_update(None, "synchronous", synchronous)?;
            connection.pragma_update(None, "cache_size", -16_000)?; // 16 MB per connection
            connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            if read_only {
                connection.pragma_update(None, "query_only", true)?;
            }
            connection.set_prepared_statement_cache_capacity(512);
            Ok(connection)
        };
        open().map_err(|e| self.broken(&e))
    }

    fn broken(&self, error: &rusqlite::Error) -> Error {
        let mut mapped = map(error);
        mapped.message = format!("database {}: {}", self.file.display(), mapped.message);
        mapped
    }

    fn connection(&self, read_only: bool) -> Result<Box<dyn Connection>, Error> {
        let sql = self.schema.tables.iter().map(|table| (table.name, TableSql::of(table))).collect();
        let (sqlite, journal) = (self.connect(read_only)?, Arc::clone(&self.journal));
        Ok(Box::new(SqliteConnection { sqlite, sql, journal, snapshot: None, writing: 0 }))
    }
}

impl Backend for SqliteBackend {
    fn reader(&self) -> Result<Box<dyn Connection>, Error> {
        self.connection(true)
    }

    fn writer(&self) -> Result<Box<dyn Connection>, Error> {
        self.connection(false)
    }
}

/// The statements of one table, written once so that the statement cache finds them by text.
struct TableSql {
    get: String,
    keys: String,
    insert: String,
    delete: String,
    scans: HashMap<&'static str, [String; 3]>,
}

impl TableSql {
    fn of(table: &Table) -> Self {
        let name = table.name;
        let columns: Vec<String> = table.indexes.iter().map(|i| format!("\"{}\"", i.name)).collect();
        let list = if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") };
        let inserted: String = columns.iter().map(|c| format!(", {c}")).collect();
        let slots: String = (0..columns.len()).map(|i| format!(", ?{}", i + 3)).collect();
        let scan = |column: &str, direction: &str| {
            format!(
                "SELECT \"{column}\", document FROM \"{name}\" WHERE \"{column}\" >= ?1 AND \"{column}\" < ?2 \
                 ORDER BY \"{column}\" {direction} LIMIT ?3"
            )
        };
        let scans = table.indexes.iter().map(|i| {
            let count = format!(
                "SELECT count(*) FROM (SELECT 1 FROM \"{name}\" WHERE \"{0}\" >= ?1 AND \"{0}\" < ?2 LIMIT ?3)",
                i.name
            );
            (i.name, [scan(i.name, "ASC"), scan(i.name, "DESC"), count])
        });
        Self {
            get: format!("SELECT document FROM \"{name}\" WHERE _id = ?1"),
            keys: format!("SELECT {list} FROM \"{name}\" WHERE _id = ?1"),
            insert: format!("INSERT INTO \"{name}\" (_id, document{inserted}) VALUES (?1, ?2{slots})"),
            delete: format!("DELETE FROM \"{name}\" WHERE _id = ?1"),
            scans: scans.collect(),
        }
    }

    /// Sets the keys that `changed` says. SQLite writes an index anew for each column that a statement names,
    /// whether its value changes or not.
    fn update(table: &Table, changed: &[usize]) -> String {
        let columns = changed.iter().enumerate();
        let keys: String =
            columns.map(|(slot, &index)| format!(", \"{}\" = ?{}", table.indexes[index].name, slot + 3)).collect();
        format!("UPDATE \"{}\" SET document = ?2{keys} WHERE _id = ?1", table.name)
    }
}

struct SqliteConnection {
    sqlite: Sqlite,
    sql: HashMap<&'static str, TableSql>,
    journal: Arc<Journal>,
    /// Of the open read transaction.
    snapshot: Option<Timestamp>,
    /// Of the open write transaction.
    writing: Timestamp,
}

impl SqliteConnection {
    fn table(&self, table: &Table) -> Result<&TableSql, Error> {
        self.sql.get(table.name).ok_or_else(|| Error::internal(format!("table {} is not in the schema", table.name)))
    }

    fn old_keys(&self, table: &Table, id: &str) -> Result<OldKeys, Error> {
        let read = |row: &rusqlite::Row<'_>| (0..table.indexes.len()).map(|i| row.get(i)).collect();
        let mut statement = self.sqlite.prepare_cached(&self.table(table)?.keys).map_err(|e| map(&e))?;
        statement.query_row([id], read).optional().map_err(|e| map(&e))
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Error> {
        self.sqlite.prepare_cached(sql).and_then(|mut s| s.execute(params)).map_err(|e| map(&e))
    }

    fn newest(&self) -> Result<Timestamp, Error> {
        let ts: i64 = self
            .sqlite
            .prepare_cached("SELECT ts FROM _clock")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .map_err(|e| map(&e))?;
        Ok(ts.cast_unsigned())
    }
}

impl Connection for SqliteConnection {
    fn begin_read(&mut self) -> Result<Timestamp, Error> {
        self.run("BEGIN DEFERRED", [])?;
        // The first read takes the WAL snapshot, and tells which commit it is.
        let newest = self.newest().inspect_err(|_| self.end_read())?;
        self.snapshot = Some(newest);
        Ok(newest)
    }

    fn end_read(&mut self) {
        self.snapshot = None;
        if !self.sqlite.is_autocommit() {
            let _ = self.run("COMMIT", []);
        }
    }

    fn begin_write(&mut self, now_ns: u64) -> Result<Timestamp, Error> {
        self.run("BEGIN IMMEDIATE", [])?;
        let next = self.newest().map(|last| now_ns.max(last + 1).min(i64::MAX.cast_unsigned()));
        match next.and_then(|ts| self.run("UPDATE _clock SET ts = ?1", [ts.cast_signed()]).map(|_| ts)) {
            Ok(ts) => {
                self.writing = ts;
                Ok(ts)
            }
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        let moved = self.journal.make_room(&self.sqlite).map_err(|e| {
            self.rollback();
            CommitError::RolledBack(map(&e))
        })?;
        let Err(error) = self.run("COMMIT", []) else {
            self.journal.moved(&moved, self.writing);
            return Ok(());
        };
        if self.sqlite.is_autocommit() && error.code != Code::StorageFull {
            return Err(CommitError::Unknown(error));
        }
        self.rollback();
        Err(CommitError::RolledBack(error))
    }

    fn rollback(&mut self) {
        if !self.sqlite.is_autocommit()
            && let Err(error) = self.run("ROLLBACK", [])
            && !self.sqlite.is_autocommit()
        {
            // The next batch would find itself inside this transaction, and commit what was refused.
            tracing::error!(%error, "a transaction cannot be rolled back: stopping, a restart reads the truth");
            std::process::exit(threads::FAULT);
        }
    }

    fn savepoint(&mut self) -> Result<(), Error> {
        self.run("SAVEPOINT job", []).map(drop)
    }

    fn release_savepoint(&mut self) -> Result<(), Error> {
        self.run("RELEASE job", []).map(drop)
    }

    fn rollback_to_savepoint(&mut self) -> Result<(), Error> {
        self.run("ROLLBACK TO job", [])?;
        self.release_savepoint()
    }

    fn get(&mut self, table: &'static Table, id: &str) -> Result<Option<String>, Error> {
        let mut statement = self.sqlite.prepare_cached(&self.table(table)?.get).map_err(|e| map(&e))?;
        statement.query_row([id], |row| row.get(0)).optional().map_err(|e| map(&e))
    }

    fn scan(
        &mut self, table: &'static Table, index: &'static Index, lo: &[u8], hi: &[u8], order: Order, limit: Limit,
    ) -> Result<Vec<(Vec<u8>, String)>, Error> {
        let [ascending, descending, _] = &self.table(table)?.scans[index.name];
        let sql = if order == Order::Asc { ascending } else { descending };
        let mut statement = self.sqlite.prepare_cached(sql).map_err(|e| map(&e))?;
        let row_limit = i64::try_from(limit.rows).unwrap_or(i64::MAX);
        let mut found = statement.query(params![lo, hi, row_limit]).map_err(|e| map(&e))?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next().map_err(|e| map(&e))? {
            let read =
                |row: &rusqlite::Row<'_>| -> rusqlite::Result<(Vec<u8>, String)> { Ok((row.get(0)?, row.get(1)?)) };
            let row = read(row).map_err(|e| map(&e))?;
            bytes += row.1.len();
            rows.push(row);
            if limit.is_over(rows.len(), bytes) {
                break;
            }
        }
        Ok(rows)
    }

    fn count(
        &mut self, table: &'static Table, index: &'static Index, lo: &[u8], hi: &[u8], most: usize,
    ) -> Result<u64, Error> {
        let [.., sql] = &self.table(table)?.scans[index.name];
        let mut statement = self.sqlite.prepare_cached(sql).map_err(|e| map(&e))?;
        let count: i64 = statement
            .query_row(params![lo, hi, i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))
            .map_err(|e| map(&e))?;
        Ok(count.cast_unsigned())
    }

    fn put(&mut self, table: &'static Table, row: Row<'_>) -> Result<OldKeys, Error> {
        let old = self.old_keys(table, row.id)?;
        let is_new = |&index: &usize| old.as_ref().is_none_or(|old| old[index] != row.keys[index]);
        let changed: Vec<usize> = (0..row.keys.len()).filter(is_new).collect();
        let head: [&dyn rusqlite::ToSql; 2] = [&row.id, &row.document];
        let keys = changed.iter().map(|&index| -> &dyn rusqlite::ToSql { &row.keys[index] });
        let all: Vec<&dyn rusqlite::ToSql> = head.into_iter().chain(keys).collect();
        match old {
            None => self.run(&self.table(table)?.insert, all.as_slice())?,
            Some(_) => self.run(&TableSql::update(table, &changed), all.as_slice())?,
        };
        Ok(old)
    }

    fn delete(&mut self, table: &'static Table, id: &str) -> Result<OldKeys, Error> {
        let old = self.old_keys(table, id)?;
        if old.is_some() {
            self.run(&self.table(table)?.delete, [id])?;
        }
        Ok(old)
    }

    fn log_end(&mut self, log: &str) -> Result<LogEnd, Error> {
        let read = || -> rusqlite::Result<LogEnd> {
            let sql = "SELECT end FROM _logs_sealed WHERE log = ?1";
            let sealed = self.sqlite.prepare_cached(sql)?.query_row([log], |row| row.get::<_, i64>(0)).optional()?;
            if let Some(end) = sealed {
                return Ok(LogEnd { end: end.cast_unsigned(), sealed: true });
            }
            let end = match self.journal.end(&self.sqlite, self.snapshot, log)? {
                Some(end) => end,
                None => packs::end(&self.sqlite, log)?.unwrap_or(0),
            };
            Ok(LogEnd { end, sealed: false })
        };
        read().map_err(|e| map(&e))
    }

    fn log_append(&mut self, chunks: &[(Arc<str>, Chunk)]) -> Result<(), Error> {
        self.journal.append(&self.sqlite, chunks).map_err(|e| map(&e))
    }

    fn log_read(&mut self, log: &str, from: u64, max_bytes: usize) -> Result<Vec<Chunk>, Error> {
        let read = || -> rusqlite::Result<Vec<Chunk>> {
            let (mut chunks, bytes) = packs::read(&self.sqlite, log, from, max_bytes)?;
            if bytes < max_bytes {
                let moved_to = match chunks.last() {
                    Some(last) => last.end,
                    None => packs::end(&self.sqlite, log)?.unwrap_or(0),
                };
                let rest = max_bytes - bytes;
                chunks.extend(self.journal.read(&self.sqlite, self.snapshot, log, from.max(moved_to), rest)?);
            }
            Ok(chunks)
        };
        read().map_err(|e| map(&e))
    }

    fn log_seal(&mut self, log: &str, end: u64) -> Result<(), Error> {
        self.run("INSERT OR IGNORE INTO _logs_sealed (log, end) VALUES (?1, ?2)", params![log, end.cast_signed()])
            .map(drop)
    }

    fn log_recut(&mut self, log: &str, chunks: &[Chunk]) -> Result<(), Error> {
        let recut = || -> rusqlite::Result<()> {
            let all = Limit::rows(usize::MAX);
            self.journal.delete(&self.sqlite, log, all)?;
            packs::delete(&self.sqlite, log, all)?;
            let mut packer = Packer::new(&self.sqlite, log);
            for chunk in chunks {
                packer.add(chunk.start.cast_signed(), chunk.end.cast_signed(), &chunk.data)?;
            }
            packer.finish()
        };
        recut().map_err(|e| map(&e))
    }

    fn log_delete(&mut self, log: &str, limit: Limit) -> Result<Removed, Error> {
        // From the end, so that a late reader never sees a gap: what is in the journal is the newest.
        let mut removed = self.journal.delete(&self.sqlite, log, limit).map_err(|e| map(&e))?;
        if removed.rows == 0 {
            removed = packs::delete(&self.sqlite, log, limit).map_err(|e| map(&e))?;
        }
        if removed.rows == 0 {
            self.run("DELETE FROM _logs_sealed WHERE log = ?1", [log])?;
        }
        Ok(removed)
    }

    fn ledger_get(&mut self, session: &str, request: &str) -> Result<Option<LedgerRecord>, Error> {
        let sql = "SELECT principal, ts, value FROM _ledger WHERE session = ?1 AND request = ?2";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(LedgerRecord { principal: row.get(0)?, ts: row.get::<_, i64>(1)?.cast_unsigned(), value: row.get(2)? })
        };
        let mut statement = self.sqlite.prepare_cached(sql).map_err(|e| map(&e))?;
        statement.query_row([session, request], read).optional().map_err(|e| map(&e))
    }

    fn ledger_put(&mut self, session: &str, request: &str, record: &LedgerRecord, now_ms: u64) -> Result<(), Error> {
        let sql =
            "INSERT INTO _ledger (session, request, principal, ts, value, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let ts = record.ts.cast_signed();
        self.run(sql, params![session, request, record.principal, ts, record.value, now_ms.cast_signed()]).map(drop)
    }

    fn ledger_prune(&mut self, before_ms: u64) -> Result<u64, Error> {
        let deleted = self.run("DELETE FROM _ledger WHERE created_ms < ?1", [before_ms.cast_signed()])?;
        Ok(deleted as u64)
    }

    fn ledger_forget(
        &mut self, principal: &str, after: &LedgerPlace, rows: usize,
    ) -> Result<Option<LedgerPlace>, Error> {
        let LedgerPlace { session, request } = after;
        let last = "SELECT session, request FROM _ledger WHERE (session, request) > (?1, ?2)
            ORDER BY session, request LIMIT 1 OFFSET ?3";
        let read = |row: &rusqlite::Row<'_>| Ok(LedgerPlace { session: row.get(0)?, request: row.get(1)? });
        let mut statement = self.sqlite.prepare_cached(last).map_err(|e| map(&e))?;
        let skipped = i64::try_from(rows).unwrap_or(i64::MAX).max(1) - 1;
        let end = statement.query_row(params![session, request, skipped], read).optional().map_err(|e| map(&e))?;
        drop(statement);
        match &end {
            Some(end) => self.run(
                "DELETE FROM _ledger WHERE (session, request) > (?1, ?2) AND (session, request) <= (?3, ?4)
                    AND principal = ?5",
                params![session, request, end.session, end.request, principal],
            )?,
            None => self.run(
                "DELETE FROM _ledger WHERE (session, request) > (?1, ?2) AND principal = ?3",
                params![session, request, principal],
            )?,
        };
        Ok(end)
    }
}

/// Engine errors by what a caller can do about them.
fn map(error: &rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        return Error::internal(format!("sqlite: {error}"));
    };
    match failure.code {
        ErrorCode::DiskFull => Error::new(Code::StorageFull, "the disk is full: nothing was stored, reads go on"),
        ErrorCode::ConstraintViolation => {
            // "UNIQUE constraint failed: threads.by_default"
            let index = text.as_deref().and_then(|t| t.rsplit(": ").next()).unwrap_or("a unique index").to_owned();
            Error::new(Code::AlreadyExists, format!("a document with the same {index} exists")).with("index", index)
        }
        _ => Error::internal(format!("sqlite: {error}")),
    }
}
