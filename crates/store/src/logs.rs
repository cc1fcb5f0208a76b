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

    /// The memory that it takes once its readers have it.
    fn weight(&self) -> usize {
        2 * self.data.len() + limits::CHUNK_BYTES
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

struct Active {
    logs: HashMap<Arc<str>, Arc<LogState>>,
    /// Memory of their chunks.
    bytes: usize,
    ends_mark: Mark,
    tails_mark: Mark,
}

impl Default for Active {
    fn default() -> Self {
        let marks = (Mark::new(limits::LOG_ENDS), Mark::new(limits::TAILS_BYTES));
        Self { logs: HashMap::new(), bytes: 0, ends_mark: marks.0, tails_mark: marks.1 }
    }
}

/// Above what size it is worth looking for something to drop. What may not be dropped moves it up: the next look
/// comes when there is twice as much, and when it has gone, the mark comes down again.
struct Mark {
    least: usize,
    now: usize,
}

impl Mark {
    fn new(least: usize) -> Self {
        Self { least, now: least }
    }

    fn lower(&mut self, size: usize) {
        self.now = self.now.min(self.least.max(2 * size));
    }

    fn raise(&mut self, left: usize) {
        self.now = self.least.max(2 * left);
    }
}

impl Active {
    /// Logs that nobody ends would stay in memory for ever. One that nobody follows needs its chunks no more, and
    /// its end only so that the next append need not look for it. Callers hold the lock, and followers are only made
    /// under it, so none can appear in between.
    fn make_room(&mut self) {
        if self.bytes > self.tails_mark.now {
            let unfollowed = self.logs.values().filter(|state| !state.is_followed());
            self.bytes -= unfollowed.map(|state| lock(&state.recent).forget_chunks()).sum::<usize>();
            self.tails_mark.raise(self.bytes);
        }
        if self.logs.len() >= self.ends_mark.now {
            let bytes = &mut self.bytes;
            self.logs.retain(|_, state| {
                let stays = state.is_followed();
                if !stays {
                    *bytes -= lock(&state.recent).bytes;
                }
                stays
            });
            self.ends_mark.raise(self.logs.len());
        }
    }

    fn remove(&mut self, log: &str) -> Option<Arc<LogState>> {
        let state = self.logs.remove(log)?;
        self.bytes -= lock(&state.recent).bytes;
        self.ends_mark.lower(self.logs.len());
        self.tails_mark.lower(self.bytes);
        Some(state)
    }
}

/// The committed end of one log, and its newest chunks.
pub(crate) struct LogState {
    recent: Mutex<Recent>,
    changed: Notify,
}

struct Recent {
    chunks: VecDeque<Chunk>,
    /// Their weight.
    bytes: usize,
    end: u64,
    ended: bool,
}

impl Recent {
    fn new(end: u64, ended: bool) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, end, ended }
    }

    fn push(&mut self, chunk: Chunk) {
        self.end = chunk.end;
        self.bytes += chunk.weight();
        self.chunks.push_back(chunk);
        // The newest stays however large it is: all who keep up want it now.
        while self.bytes > limits::LOG_TAIL_BYTES
            && self.chunks.len() > 1
            && let Some(oldest) = self.chunks.pop_front()
        {
            self.bytes -= oldest.weight();
        }
    }

    /// Returns the weight that is gone.
    fn forget_chunks(&mut self) -> usize {
        self.chunks = VecDeque::new();
        std::mem::take(&mut self.bytes)
    }
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
        let state = Arc::new(LogState::new(Recent::new(end.end, end.sealed)));
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
        let active = &mut *active;
        active.make_room();
        for (log, chunk) in published.appended.iter().cloned() {
            // A log appears here with its first append even if nobody follows: the next append needs its end.
            let state = active.logs.entry(log);
            let state = state.or_insert_with(|| Arc::new(LogState::new(Recent::new(chunk.start, false))));
            let mut recent = lock(&state.recent);
            active.bytes -= recent.bytes;
            recent.push(chunk);
            active.bytes += recent.bytes;
            drop(recent);
            state.changed.notify_waiters();
        }
        for log in &published.ended {
            if let Some(state) = active.remove(log) {
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
    fn new(recent: Recent) -> Self {
        Self { recent: Mutex::new(recent), changed: Notify::new() }
    }

    fn is_followed(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn append(logs: &Logs, log: &str, end: u64, text: &str) {
        logs.publish(vec![(log.into(), Chunk::new(end - 1, end, text))], Vec::new());
    }

    /// What the chunks of all logs take, as this process allocates it.
    fn memory(logs: &Logs) -> usize {
        let active = lock(&logs.active);
        let tails = active.logs.values().map(|state| {
            let recent = lock(&state.recent);
            let shared: usize =
                recent.chunks.iter().map(|chunk| chunk.data.len() + 16 + size_of::<OnceLock<Encoded>>() + 16).sum();
            shared + recent.chunks.len() * size_of::<Chunk>()
        });
        tails.sum()
    }

    #[test]
    fn st_18_the_tail_of_a_log_takes_no_more_memory_than_its_bound_however_small_its_chunks() {
        let logs = Logs::default();
        for end in 1..100_000 {
            append(&logs, "l", end, r#"[{"type":"text","text":"a"}]"#);
        }
        let taken = memory(&logs);
        assert!(taken <= limits::LOG_TAIL_BYTES && taken > limits::LOG_TAIL_BYTES / 4, "{taken}");
    }

    #[test]
    fn st_12_logs_that_nobody_follows_keep_their_ends_when_their_chunks_are_too_many() {
        let logs = Logs::default();
        append(&logs, "followed", 1, "x");
        let follower = logs.find("followed").unwrap();
        let large = "x".repeat(limits::LOG_TAIL_BYTES / 4);
        let many = 3 * limits::TAILS_BYTES / large.len();
        for n in 0..many {
            append(&logs, &n.to_string(), 1, &large);
            assert!(lock(&logs.active).bytes <= limits::TAILS_BYTES + limits::LOG_TAIL_BYTES);
        }
        for n in 0..many {
            assert_eq!(logs.active_end(&n.to_string()).map(|(_, end)| end), Some(1), "{n}");
        }
        assert!(matches!(follower.read(0), Found::Chunks(_)), "a follower still finds its chunk in memory");
    }

    #[test]
    fn ends_are_forgotten_when_there_are_very_many_and_the_mark_comes_down_after_a_peak() {
        let logs = Logs::default();
        let name = |n: usize| n.to_string();
        let followers: Vec<_> =
            (0..2 * limits::LOG_ENDS).map(|n| logs.open(&name(n), LogEnd { end: 0, sealed: false })).collect();
        assert_eq!(lock(&logs.active).logs.len(), followers.len(), "who is followed stays");
        logs.publish(Vec::new(), (0..followers.len()).map(name).collect());
        drop(followers);
        for n in 0..=limits::LOG_ENDS {
            append(&logs, &name(n), 1, "x");
        }
        let active = lock(&logs.active);
        assert!(active.logs.len() <= limits::LOG_ENDS, "{}", active.logs.len());
        assert_eq!(active.bytes, active.logs.values().map(|state| lock(&state.recent).bytes).sum::<usize>());
    }
}
