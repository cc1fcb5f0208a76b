//! Snapshots that stay open for a while, so that several queries can be made of one moment.
//!
//! Each is a connection with an open read transaction. They are few, and they end by themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spool_protocol::Error;

use crate::Timestamp;
use crate::backend::{Backend, Connection};
use crate::limits;

#[derive(Default)]
pub(crate) struct Pins {
    /// Oldest first.
    open: Mutex<VecDeque<Pin>>,
}

struct Pin {
    ts: Timestamp,
    until_ms: u64,
    connection: Arc<Mutex<Box<dyn Connection>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pins {
    /// Opens a snapshot of now. The oldest goes when there are too many.
    pub fn pin(&self, backend: &dyn Backend, now_ms: u64) -> Result<Timestamp, Error> {
        let mut connection = backend.reader()?;
        let ts = connection.begin_read()?;
        let mut open = self.current(now_ms);
        if open.iter().all(|pin| pin.ts != ts) {
            let connection = Arc::new(Mutex::new(connection));
            open.push_back(Pin { ts, until_ms: now_ms + limits::PINNED_MS, connection });
        }
        while open.len() > limits::PINNED_SNAPSHOTS {
            open.pop_front();
        }
        Ok(ts)
    }

    /// Runs `query` in the snapshot of `ts`, if it is still open.
    pub fn with<T>(&self, ts: Timestamp, now_ms: u64, query: impl FnOnce(&mut dyn Connection) -> T) -> Option<T> {
        let connection = self.current(now_ms).iter().find(|pin| pin.ts == ts).map(|pin| Arc::clone(&pin.connection))?;
        let mut connection = lock(&connection);
        Some(query(&mut **connection))
    }

    /// Those whose time is not up. Closing a connection ends its transaction.
    fn current(&self, now_ms: u64) -> MutexGuard<'_, VecDeque<Pin>> {
        let mut open = lock(&self.open);
        open.retain(|pin| pin.until_ms > now_ms);
        open
    }

    /// Lets go of what nobody may use any more: an idle server must not hold back the log.
    pub fn expire(&self, now_ms: u64) {
        drop(self.current(now_ms));
    }
}
