//! The raw limit of the write path: the same rows, the same statements, nothing around them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags, params};

use super::Speed;

/// The statement of the store's SQLite backend for a table of these columns.
const PUT: &str = "INSERT INTO \"messages\" (_id, document, \"by_thread\", \"by_request\", \"by_queue\") \
    VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (_id) DO UPDATE SET document = excluded.document, \"by_thread\" = excluded.\"by_thread\", \
    \"by_request\" = excluded.\"by_request\", \"by_queue\" = excluded.\"by_queue\"";

struct Row {
    id: String,
    document: String,
    keys: [Vec<u8>; 3],
}

/// Writes the rows of `from`, a file that the store has left, into `to` in transactions of `batch` rows.
pub fn round(from: &Path, to: &Path, batch: f64) -> Result<Speed> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let rows = rows(&source)?;
    let target = open(to)?;
    for ddl in ddl(&source)? {
        target.execute_batch(&ddl)?;
    }
    target.execute_batch("INSERT INTO _clock VALUES (1, 0)")?;
    drop(source);

    let mut commits: u64 = 0;
    let start = Instant::now();
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        // An average batch of 18.4 is reached by batches of 18 and 19.
        let until = ((commits + 1) as f64 * batch).round() as usize;
        let done = rows.len() - rest.len();
        let (now, later) = rest.split_at((until - done).clamp(1, rest.len()));
        transaction(&target, now, commits + 1)?;
        commits += 1;
        rest = later;
    }
    Ok(Speed { rows: rows.len() as u64, commits, seconds: start.elapsed().as_secs_f64() })
}

fn transaction(target: &Connection, rows: &[Row], ts: u64) -> Result<()> {
    let run = |sql: &str| target.prepare_cached(sql)?.execute([]);
    run("BEGIN IMMEDIATE")?;
    target.prepare_cached("UPDATE _clock SET ts = ?1")?.execute([ts.cast_signed()])?;
    for Row { id, document, keys: [thread, request, queue] } in rows {
        target.prepare_cached(PUT)?.execute(params![id, document, thread, request, queue])?;
    }
    run("COMMIT")?;
    Ok(())
}

/// The pragmas of the store's backend.
pub fn open(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).with_context(|| format!("{}", file.display()))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(connection)
}

fn ddl(source: &Connection) -> Result<Vec<String>> {
    let mut statement = source.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn rows(source: &Connection) -> Result<Vec<Row>> {
    let sql = "SELECT _id, document, \"by_thread\", \"by_request\", \"by_queue\" FROM \"messages\" ORDER BY rowid";
    let mut statement = source.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(Row { id: row.get(0)?, document: row.get(1)?, keys: [row.get(2)?, row.get(3)?, row.get(4)?] })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
