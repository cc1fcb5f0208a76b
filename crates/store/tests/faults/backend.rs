//! SQLite whose commits wait and fail on demand, and which counts how often it is asked where a log ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use spool_protocol::{Code, Error};
use spool_store::backend::sqlite::SqliteBackend;
use spool_store::backend::{
    Backend, CommitError, Connection, LedgerPlace, LedgerRecord, Limit, LogEnd, OldKeys, Removed, Row,
};
use spool_store::{Chunk, Index, Order, Table, Timestamp};

#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
    changed: Condvar,
    log_ends: AtomicUsize,
}

#[derive(Default)]
struct State {
    held: bool,
    hold_next: bool,
    waits: bool,
    fail_next: bool,
    failing: bool,
}

impl Faults {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    /// The next commit waits until it is released.
    pub fn hold(&self) {
        self.set(|state| state.held = true);
    }

    /// Returns once a commit waits.
    pub fn reached(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !state.waits).unwrap());
    }

    pub fn release(&self) {
        self.set(|state| state.held = false);
    }

    /// Releases the commit that waits, and holds the one after it.
    pub fn hold_next(&self) {
        self.set(|state| (state.held, state.hold_next) = (false, true));
    }

    /// Releases the commit that waits; those after it fail.
    pub fn fail_after_this(&self) {
        self.set(|state| (state.held, state.fail_next) = (false, true));
    }

    pub fn recover(&self) {
        self.set(|state| state.failing = false);
    }

    pub fn log_ends(&self) -> usize {
        self.log_ends.load(Ordering::Relaxed)
    }

    /// Whether this commit may happen.
    fn commit(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.waits = true;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.held).unwrap();
        let fails = state.failing;
        state.waits = false;
        state.held = std::mem::take(&mut state.hold_next);
        state.failing |= std::mem::take(&mut state.fail_next);
        !fails
    }
}

pub struct Faulty {
    pub real: SqliteBackend,
    pub faults: Arc<Faults>,
}

impl Backend for Faulty {
    fn reader(&self) -> Result<Box<dyn Connection>, Error> {
        self.real.reader()
    }

    fn writer(&self) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(Writer { real: self.real.writer()?, faults: Arc::clone(&self.faults) }))
    }
}

struct Writer {
    real: Box<dyn Connection>,
    faults: Arc<Faults>,
}

impl Connection for Writer {
    fn commit(&mut self) -> Result<(), CommitError> {
        if self.faults.commit() {
            return self.real.commit();
        }
        self.real.rollback();
        Err(CommitError::RolledBack(Error::new(Code::StorageFull, "on demand")))
    }

    fn log_end(&mut self, log: &str) -> Result<LogEnd, Error> {
        self.faults.log_ends.fetch_add(1, Ordering::Relaxed);
        self.real.log_end(log)
    }

    // All else as it is.

    fn begin_read(&mut self) -> Result<Timestamp, Error> {
        self.real.begin_read()
    }

    fn end_read(&mut self) {
        self.real.end_read();
    }

    fn begin_write(&mut self, now_ns: u64) -> Result<Timestamp, Error> {
        self.real.begin_write(now_ns)
    }

    fn rollback(&mut self) {
        self.real.rollback();
    }

    fn savepoint(&mut self) -> Result<(), Error> {
        self.real.savepoint()
    }

    fn release_savepoint(&mut self) -> Result<(), Error> {
        self.real.release_savepoint()
    }

    fn rollback_to_savepoint(&mut self) -> Result<(), Error> {
        self.real.rollback_to_savepoint()
    }

    fn get(&mut self, table: &'static Table, id: &str) -> Result<Option<String>, Error> {
        self.real.get(table, id)
    }

    fn scan(
        &mut self, table: &'static Table, index: &'static Index, lo: &[u8], hi: &[u8], order: Order, limit: Limit,
    ) -> Result<Vec<(Vec<u8>, String)>, Error> {
        self.real.scan(table, index, lo, hi, order, limit)
    }

    fn count(
        &mut self, table: &'static Table, index: &'static Index, lo: &[u8], hi: &[u8], most: usize,
    ) -> Result<u64, Error> {
        self.real.count(table, index, lo, hi, most)
    }

    fn put(&mut self, table: &'static Table, row: Row<'_>) -> Result<OldKeys, Error> {
        self.real.put(table, row)
    }

    fn delete(&mut self, table: &'static Table, id: &str) -> Result<OldKeys, Error> {
        self.real.delete(table, id)
    }

    fn log_recut(&mut self, log: &str, chunks: &[Chunk]) -> Result<(), Error> {
        self.real.log_recut(log, chunks)
    }

    fn log_append(&mut self, chunks: &[(Arc<str>, Chunk)]) -> Result<(), Error> {
        self.real.log_append(chunks)
    }

    fn log_read(&mut self, log: &str, from: u64, max_bytes: usize) -> Result<Vec<Chunk>, Error> {
        self.real.log_read(log, from, max_bytes)
    }

    fn log_seal(&mut self, log: &str, end: u64) -> Result<(), Error> {
        self.real.log_seal(log, end)
    }

    fn log_delete(&mut self, log: &str, limit: Limit) -> Result<Removed, Error> {
        self.real.log_delete(log, limit)
    }

    fn ledger_get(&mut self, session: &str, request: &str) -> Result<Option<LedgerRecord>, Error> {
        self.real.ledger_get(session, request)
    }

    fn ledger_put(&mut self, session: &str, request: &str, record: &LedgerRecord, now_ms: u64) -> Result<(), Error> {
        self.real.ledger_put(session, request, record, now_ms)
    }

    fn ledger_prune(&mut self, before_ms: u64) -> Result<u64, Error> {
        self.real.ledger_prune(before_ms)
    }

    fn ledger_forget(
        &mut self, principal: &str, after: &LedgerPlace, rows: usize,
    ) -> Result<Option<LedgerPlace>, Error> {
        self.real.ledger_forget(principal, after, rows)
    }
}
