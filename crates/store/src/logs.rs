//! Append-only logs: their chunks, the tails of active ones in memory, and followers.
//!
//! A follower holds an offset and nothing else: it is served from memory near the end and from the
//! database when it is behind, so a slow reader neither buffers nor delays anybody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use spool_protocol::Error;
use tokio::sync::{Notify, broadcast};

use crate::backend::LogEnd;
use crate::limits;
use crate::store::Store;

/// One append: `data` covers the offsets `start..end`. What an offset unit is, the appender decides.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub start: u64,
    pub end: u64,
    pub data: Arc<str>,
    /// The chunk as readers get it who get all of it: made by the first, for all of them.
    pub encoded: Arc<OnceLock<Encoded>>,
}

/// A whole chunk on a wire that writes the same for every reader.
#[derive(Debug)]
pub struct Encoded {
    pub bytes: Bytes,
    /// The same bytes in the frame that the transport puts around them.
    pub framed: Bytes,
    /// Whether nothing follows.
    pub is_last: bool,
}

/// What one commit did to logs, in the order of the appends.
#[derive(Debug)]
pub struct Published {
    pub appended: Vec<(Arc<str>, Chunk)>,
    /// Logs that were sealed or deleted.
    pub ended: Vec<String>,
}

/// Commits that a subscriber of the feed may be behind by; then it is told that it missed some.
const FEED: usize = 1_024;

impl Chunk {
    pub fn new(start: u64, end: u64, data: impl Into<Arc<str>>) -> Self {
        Self { start, end, data: data.into(), encoded: Arc::default() }
    }
}

/// The logs that somebody appends to or follows right now.
pub(crate) struct Logs {
    active: Mutex<Active>,
    feed: broadcast::Sender<Arc<Published>>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { active: Mutex::default(), feed: broadcast::Sender::new(FEED) }
    }
}

#[derive(Default)]
struct Active {
    logs: HashMap<Arc<str>, Arc<LogState>>,
    /// How many there may be before those without followers are forgotten.
    room: usize,
}

impl Active {
    /// Logs that nobody ends would stay in memory for ever. One that nobody follows can be forgotten: its
    /// next append or follower finds its end in the database. Callers hold the lock, and followers are
    /// only made under it, so none can appear in between.
    fn make_room(&mut self) {
        if self.logs.len() >= self.room.max(limits::UNFOLLOWED_LOGS) {
            self.logs.retain(|_, state| Arc::strong_count(state) > 1);
            // Followed logs stay: look again only when as many more have come.
            self.room = 2 * self.logs.len();
        }
    }
}

/// The committed end of one log, and its newest chunks.
pub(crate) struct LogState {
    recent: Mutex<Recent>,
    changed: Notify,
}

struct Recent {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    end: u64,
    ended: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock only says that another thread panicked; the data is updated in single steps.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logs {
    /// Only the writer thread calls this, so no append can slip in between.
    pub fn open(&self, log: &str, end: LogEnd) -> Arc<LogState> {
        let mut active = lock(&self.active);
        if let Some(state) = active.logs.get(log) {
            return Arc::clone(state);
        }
        active.make_room();
        let recent = Recent { chunks: VecDeque::new(), bytes: 0, end: end.end, ended: end.sealed };
        let state = Arc::new(LogState { recent: Mutex::new(recent), changed: Notify::new() });
        if !end.sealed {
            active.logs.insert(log.into(), Arc::clone(&state));
        }
        state
    }

    pub fn find(&self, log: &str) -> Option<Arc<LogState>> {
        lock(&self.active).logs.get(log).cloned()
    }

    /// Where an active log ends, and its name to share: with every token a copy would be made, and kept for long.
    pub fn active_end(&self, log: &str) -> Option<(Arc<str>, u64)> {
        let active = lock(&self.active);
        active.logs.get_key_value(log).map(|(name, state)| (Arc::clone(name), lock(&state.recent).end))
    }

    /// Everything that is published from now on.
    pub fn feed(&self) -> broadcast::Receiver<Arc<Published>> {
        self.feed.subscribe()
    }

    /// Shows committed chunks to followers, then to the feed. Called in commit order.
    pub fn publish(&self, appended: Vec<(Arc<str>, Chunk)>, ended: Vec<String>) {
        if appended.is_empty() && ended.is_empty() {
            return;
        }
        let published = Arc::new(Published { appended, ended });
        self.show(&published);
        // Nobody listens, or everybody hears.
        let _ = self.feed.send(published);
    }

    fn show(&self, published: &Published) {
        let mut active = lock(&self.active);
        active.make_room();
        for (log, chunk) in published.appended.iter().cloned() {
            // A log appears here with its first append even if nobody follows: the next append needs its end.
            let state = active.logs.entry(log).or_insert_with(|| {
                let recent = Recent { chunks: VecDeque::new(), bytes: 0, end: chunk.start, ended: false };
                Arc::new(LogState { recent: Mutex::new(recent), changed: Notify::new() })
            });
            let mut recent = lock(&state.recent);
            recent.end = chunk.end;
            recent.bytes += chunk.data.len();
            recent.chunks.push_back(chunk);
            while recent.bytes > limits::LOG_TAIL_BYTES {
                let Some(oldest) = recent.chunks.pop_front() else { break };
                recent.bytes -= oldest.data.len();
            }
            drop(recent);
            state.changed.notify_waiters();
        }
        for log in &published.ended {
            if let Some(state) = active.logs.remove(log.as_str()) {
                lock(&state.recent).ended = true;
                state.changed.notify_waiters();
            }
        }
    }
}

/// What a follower finds at its offset.
enum Found {
    Chunks(Vec<Chunk>),
    /// Older than what is kept in memory.
    Behind,
    Nothing {
        ended: bool,
    },
}

impl LogState {
    fn read(&self, from: u64) -> Found {
        let recent = lock(&self.recent);
        if from >= recent.end {
            return Found::Nothing { ended: recent.ended };
        }
        if recent.chunks.front().is_none_or(|first| from < first.start) {
            return Found::Behind;
        }
        let first = recent.chunks.partition_point(|chunk| chunk.end <= from);
        Found::Chunks(recent.chunks.range(first..).cloned().collect())
    }
}

/// A follower of one log.
pub struct Tail {
    store: Store,
    log: String,
    state: Arc<LogState>,
    offset: u64,
}

impl Tail {
    pub(crate) fn new(store: Store, log: String, state: Arc<LogState>, offset: u64) -> Self {
        Self { store, log, state, offset }
    }

    /// The offset that the next chunk covers.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The log.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// Goes on from `offset`: the reader has got by another way what is before it.
    pub fn skip_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Whether [`Tail::next`] would wait for an append or the end of the log.
    pub fn is_waiting(&self) -> bool {
        let recent = lock(&self.state.recent);
        self.offset >= recent.end && !recent.ended
    }

    /// The chunks from the current offset on, as soon as there are any; `None` once the log has ended
    /// and everything was read. The first chunk may begin before the offset. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Vec<Chunk>>, Error> {
        loop {
            let state = Arc::clone(&self.state);
            let changed = state.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let chunks = match self.state.read(self.offset) {
                Found::Chunks(chunks) => chunks,
                Found::Behind => self.store.log_read(&self.log, self.offset).await?,
                Found::Nothing { ended: true } => return Ok(None),
                Found::Nothing { ended: false } => {
                    changed.await;
                    continue;
                }
            };
            // Deleted meanwhile: in memory it had an end, in the database there is nothing any more.
            let Some(last) = chunks.last() else { return Ok(None) };
            self.offset = last.end;
            return Ok(Some(chunks));
        }
    }
}
