//! Chunks that have left the journal, under their logs: each row a pack of chunks that follow each other.
//!
//! For a token, a row of its own costs more than the token: a key longer than it, a search for its place, a
//! share of two pages. Readers get the chunks as they were appended: `data` holds theirs one after the
//! other, `cuts` says where each ends. Must never look into the data.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::backend::{Limit, Removed};
use crate::logs::Chunk;

/// `cuts` has `units:bytes` of each chunk, and is null where there is one.
const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS _log_chunks (
        log TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, data TEXT NOT NULL, cuts TEXT,
        PRIMARY KEY (log, start)) WITHOUT ROWID;";

/// Bytes of data that a pack may have: a page, about. Who wants one chunk reads all of its pack. A chunk that is
/// larger has a row of its own.
const BYTES: usize = 4 << 10;

/// Makes the table, or what an older one lacks.
pub fn prepare(sqlite: &Connection) -> rusqlite::Result<()> {
    sqlite.execute_batch(TABLE)?;
    let has_cuts = "SELECT count(*) FROM pragma_table_info('_log_chunks') WHERE name = 'cuts'";
    if sqlite.query_row(has_cuts, [], |row| row.get::<_, i64>(0))? == 0 {
        sqlite.execute_batch("ALTER TABLE _log_chunks ADD COLUMN cuts TEXT")?;
    }
    Ok(())
}

/// Files chunks of one log in their order, in the open transaction. [`Packer::finish`] stores the last ones.
pub struct Packer<'a> {
    sqlite: &'a Connection,
    log: &'a str,
    start: i64,
    end: i64,
    data: String,
    cuts: String,
    chunks: usize,
}

impl<'a> Packer<'a> {
    pub fn new(sqlite: &'a Connection, log: &'a str) -> Self {
        Self { sqlite, log, start: 0, end: 0, data: String::new(), cuts: String::new(), chunks: 0 }
    }

    pub fn add(&mut self, start: i64, end: i64, data: &str) -> rusqlite::Result<()> {
        if start != self.end || self.data.len() + data.len() > BYTES {
            self.store()?;
        }
        if self.chunks == 0 {
            self.start = start;
        }
        self.end = end;
        self.data.push_str(data);
        let separator = if self.chunks == 0 { "" } else { " " };
        self.cuts.push_str(&format!("{separator}{}:{}", end - start, data.len()));
        self.chunks += 1;
        Ok(())
    }

    pub fn finish(mut self) -> rusqlite::Result<()> {
        self.store()
    }

    fn store(&mut self) -> rusqlite::Result<()> {
        if self.chunks > 0 {
            let sql = "INSERT INTO _log_chunks (log, start, end, data, cuts) VALUES (?1, ?2, ?3, ?4, ?5)";
            let cuts = Some(&self.cuts).filter(|_| self.chunks > 1);
            self.sqlite.prepare_cached(sql)?.execute(params![self.log, self.start, self.end, self.data, cuts])?;
        }
        self.chunks = 0;
        self.data.clear();
        self.cuts.clear();
        Ok(())
    }
}

/// Chunks from the one that holds `from` on, until `max_bytes` are exceeded, and their bytes.
pub fn read(sqlite: &Connection, log: &str, from: u64, max_bytes: usize) -> rusqlite::Result<(Vec<Chunk>, usize)> {
    let sql = "SELECT start, end, data, cuts FROM _log_chunks WHERE log = ?1 AND end > ?2 AND start >= \
               coalesce((SELECT max(start) FROM _log_chunks WHERE log = ?1 AND start <= ?2), 0) ORDER BY start";
    let mut statement = sqlite.prepare_cached(sql)?;
    let mut rows = statement.query(params![log, from.cast_signed()])?;
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        for chunk in unpack(row)?.into_iter().filter(|chunk| chunk.end > from) {
            bytes += chunk.data.len();
            chunks.push(chunk);
            if bytes >= max_bytes {
                return Ok((chunks, bytes));
            }
        }
    }
    Ok((chunks, bytes))
}

/// Where the last pack of `log` ends.
pub fn end(sqlite: &Connection, log: &str) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT end FROM _log_chunks WHERE log = ?1 ORDER BY start DESC LIMIT 1";
    let end = sqlite.prepare_cached(sql)?.query_row([log], |row| row.get::<_, i64>(0)).optional()?;
    Ok(end.map(i64::cast_unsigned))
}

/// Removes packs of `log` from its end, in the open transaction.
pub fn delete(sqlite: &Connection, log: &str, limit: Limit) -> rusqlite::Result<Removed> {
    let (mut removed, mut first) = (Removed::default(), None);
    let sql = "SELECT start, octet_length(data) FROM _log_chunks WHERE log = ?1 ORDER BY start DESC LIMIT ?2";
    let mut statement = sqlite.prepare_cached(sql)?;
    let mut found = statement.query(params![log, i64::try_from(limit.rows).unwrap_or(i64::MAX)])?;
    while let Some(row) = found.next()? {
        first = Some(row.get::<_, i64>(0)?);
        removed.rows += 1;
        removed.bytes = removed.bytes.saturating_add(usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX));
        if removed.bytes >= limit.bytes {
            break;
        }
    }
    if let Some(first) = first {
        let sql = "DELETE FROM _log_chunks WHERE log = ?1 AND start >= ?2";
        sqlite.prepare_cached(sql)?.execute(params![log, first])?;
    }
    Ok(removed)
}

/// The chunks of a row. Where the cuts do not fit the data, the row is one chunk, and as such no good to anybody:
/// `spool doctor` finds it.
fn unpack(row: &Row<'_>) -> rusqlite::Result<Vec<Chunk>> {
    let (start, end) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
    let (data, cuts) = (row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str_or_null()?);
    let chunks = cuts.and_then(|cuts| cut(start, end, data, cuts));
    Ok(chunks.unwrap_or_else(|| vec![Chunk::new(start, end, data)]))
}

fn cut(start: u64, end: u64, data: &str, cuts: &str) -> Option<Vec<Chunk>> {
    let (mut at, mut rest, mut chunks) = (start, data, Vec::new());
    for cut in cuts.split(' ') {
        let (units, bytes) = cut.split_once(':')?;
        let (data, behind) = rest.split_at_checked(bytes.parse().ok()?)?;
        let next = at.checked_add(units.parse().ok()?)?;
        chunks.push(Chunk::new(at, next, data));
        (at, rest) = (next, behind);
    }
    (at == end && rest.is_empty()).then_some(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(chunks: &[Chunk]) -> Vec<(u64, u64, &str)> {
        chunks.iter().map(|chunk| (chunk.start, chunk.end, &*chunk.data)).collect()
    }

    #[test]
    fn chunks_come_back_as_they_were() {
        let sqlite = Connection::open_in_memory().unwrap();
        prepare(&sqlite).unwrap();
        let large = "x".repeat(BYTES + 1);
        let chunks = [(0, 3, "[é]"), (3, 4, ""), (4, 5, "[{}]"), (5, 9, &large), (9, 10, "a b"), (20, 21, "gap")];
        let mut packer = Packer::new(&sqlite, "log");
        chunks.iter().for_each(|(start, end, data)| packer.add(*start, *end, data).unwrap());
        packer.finish().unwrap();

        let rows: i64 = sqlite.query_row("SELECT count(*) FROM _log_chunks", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 4);
        let expected: Vec<_> = chunks.map(|(start, end, data)| (start as u64, end as u64, data)).into();
        assert_eq!(texts(&read(&sqlite, "log", 0, usize::MAX).unwrap().0), expected);
        for from in 0..10 {
            let first = expected.iter().find(|(_, end, _)| *end > from).copied();
            assert_eq!(texts(&read(&sqlite, "log", from, 1).unwrap().0).first().copied(), first, "from {from}");
        }
        assert_eq!(texts(&read(&sqlite, "log", 4, 1).unwrap().0), [(4, 5, "[{}]")]);
        assert_eq!(end(&sqlite, "log").unwrap(), Some(21));

        assert_eq!(delete(&sqlite, "log", Limit::rows(2)).unwrap().rows, 2);
        assert_eq!(end(&sqlite, "log").unwrap(), Some(9));
        assert!(delete(&sqlite, "log", Limit { rows: 9, bytes: 1 }).unwrap().rows == 1);
        assert_eq!(texts(&read(&sqlite, "log", 0, usize::MAX).unwrap().0), expected[..3]);
    }

    #[test]
    fn a_file_of_before_gets_the_column_and_keeps_its_rows() {
        let sqlite = Connection::open_in_memory().unwrap();
        sqlite.execute_batch(&TABLE.replace(" cuts TEXT,", "")).unwrap();
        sqlite.execute("INSERT INTO _log_chunks VALUES ('log', 0, 3, 'old')", []).unwrap();
        prepare(&sqlite).unwrap();
        prepare(&sqlite).unwrap();
        let mut packer = Packer::new(&sqlite, "log");
        packer.add(3, 4, "n").unwrap();
        packer.add(4, 5, "ew").unwrap();
        packer.finish().unwrap();
        assert_eq!(texts(&read(&sqlite, "log", 0, 99).unwrap().0), [(0, 3, "old"), (3, 4, "n"), (4, 5, "ew")]);
    }

    #[test]
    fn cuts_that_do_not_fit_leave_the_row_whole() {
        for cuts in ["", "1", "1:1", "3:3 1:1", "2:9 1:1", "1:2 3:1", "-1:3", "18446744073709551615:1 4:2"] {
            assert!(cut(0, 3, "abc", cuts).is_none(), "{cuts}");
        }
        assert_eq!(cut(0, 3, "abc", "1:2 2:1").map(|chunks| chunks.len()), Some(2));
        assert!(cut(0, 3, "éa", "1:1 2:2").is_none(), "inside of a character");
    }
}
