//! Live queries: who depends on what, which results are stale, and one run for all subscribers.
//!
//! A result carries the timestamp of the snapshot it was computed in and stays valid until a commit
//! falls into its read set. A subscriber asks for all its results *at one timestamp*; those still valid
//! are handed out, the others are run once, whoever asks first, and shared.
//!
//! Must never hold its lock while a query runs, and never wait for a subscriber.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use spool_protocol::Error;
use tokio::sync::{Notify, mpsc};

use crate::Timestamp;
use crate::limits;
use crate::range::{ChangeSet, RangeIndex, ReadSet};
use crate::tx::Tx;

/// A query with its arguments bound. Returns the result as JSON text.
pub type QueryFn = Arc<dyn Fn(&mut Tx<'_>) -> Result<String, Error> + Send + Sync>;

/// One result, serialized once. Two equal runs share one `Arc<Output>`, so a pointer comparison tells
/// whether anything changed.
#[derive(Debug, PartialEq)]
pub struct Output {
    pub value: Result<Arc<str>, Error>,
    /// Where the page of a paginated query ends; goes back into every re-run.
    pub journal: Option<Arc<str>>,
}

#[derive(Default)]
pub(crate) struct Live {
    state: Mutex<State>,
    /// Signals a finished run or a newly published commit.
    progress: Condvar,
    linger: Mutex<Option<mpsc::UnboundedSender<Linger>>>,
}

#[derive(Default)]
struct State {
    published: Timestamp,
    next_id: u64,
    by_key: HashMap<String, u64>,
    entries: HashMap<u64, Entry>,
    ranges: RangeIndex,
    logs: HashMap<String, Vec<(u64, Option<u64>)>>,
    recent: VecDeque<(Timestamp, Arc<ChangeSet>)>,
    recent_weight: usize,
    /// The newest commit that is no longer in `recent`.
    forgotten: Timestamp,
}

struct Entry {
    key: String,
    run: QueryFn,
    journal: Option<Arc<str>>,
    running: bool,
    lingering: bool,
    computed: Option<Computed>,
    reads: ReadSet,
    subscribers: HashMap<u64, Arc<Notify>>,
}

struct Computed {
    ts: Timestamp,
    at: Instant,
    /// The first commit after which the result is no longer true.
    invalid_at: Option<Timestamp>,
    output: Arc<Output>,
}

/// A log page that has grown and will be cut again once its time is up.
struct Linger {
    due: Instant,
    entry: u64,
    computed: Timestamp,
}

/// What to do about one query at one snapshot.
pub(crate) enum Claim {
    Valid(Arc<Output>),
    Run(QueryFn, Option<Arc<str>>),
    /// Somebody has run it at a newer snapshot already.
    Newer,
    Gone,
}

impl Entry {
    fn valid_at(&self, ts: Timestamp) -> Option<&Arc<Output>> {
        let computed = self.computed.as_ref()?;
        let valid = computed.ts <= ts && computed.invalid_at.is_none_or(|invalid| invalid > ts);
        valid.then_some(&computed.output)
    }

    fn invalidate(&mut self, ts: Timestamp) {
        if let Some(computed) = self.computed.as_mut().filter(|c| c.invalid_at.is_none() && c.ts < ts) {
            computed.invalid_at = Some(ts);
            self.wake();
        }
    }

    fn wake(&self) {
        for subscriber in self.subscribers.values() {
            subscriber.notify_one();
        }
    }
}

/// One subscriber's hold on a shared live query; dropping it lets go.
pub struct Subscription {
    live: Arc<Live>,
    entry: u64,
    subscriber: u64,
}

impl Subscription {
    pub(crate) fn entry(&self) -> u64 {
        self.entry
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.unsubscribe(self.entry, self.subscriber);
    }
}

impl Live {
    pub fn new(published: Timestamp) -> Arc<Self> {
        let live = Arc::new(Self::default());
        {
            let mut state = live.lock();
            state.published = published;
            state.forgotten = published;
        }
        let (sender, receiver) = mpsc::unbounded_channel(); // one message per lingering entry at most
        *live.linger.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        tokio::spawn(recut_lingering_pages(Arc::downgrade(&live), receiver));
        live
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn published(&self) -> Timestamp {
        self.lock().published
    }

    /// How many distinct queries are live.
    pub fn entries(&self) -> usize {
        self.lock().entries.len()
    }

    pub fn subscribe(
        self: &Arc<Self>, key: String, journal: Option<Arc<str>>, run: QueryFn, wake: Arc<Notify>,
    ) -> Subscription {
        let mut state = self.lock();
        state.next_id += 2;
        let (fresh, subscriber) = (state.next_id, state.next_id + 1);
        let entry = *state.by_key.entry(key.clone()).or_insert(fresh);
        let shared = state.entries.entry(entry).or_insert_with(|| Entry {
            key,
            run,
            journal,
            running: false,
            lingering: false,
            computed: None,
            reads: ReadSet::default(),
            subscribers: HashMap::new(),
        });
        shared.subscribers.insert(subscriber, wake);
        Subscription { live: Arc::clone(self), entry, subscriber }
    }

    fn unsubscribe(&self, entry: u64, subscriber: u64) {
        let mut state = self.lock();
        let Some(shared) = state.entries.get_mut(&entry) else { return };
        shared.subscribers.remove(&subscriber);
        if shared.subscribers.is_empty() {
            let gone = state.entries.remove(&entry);
            if let Some(gone) = gone {
                state.by_key.remove(&gone.key);
                state.forget_reads(entry, &gone.reads);
            }
            drop(state);
            // A thread may wait for the run of another, which will not say that it is over.
            self.progress.notify_all();
        }
    }

    /// All results at the newest published timestamp, if none of them needs a run.
    pub fn valid_now(&self, entries: &[u64]) -> Option<(Timestamp, Vec<Arc<Output>>)> {
        let state = self.lock();
        let ts = state.published;
        let outputs = entries.iter().map(|id| state.entries.get(id)?.valid_at(ts).cloned()).collect::<Option<_>>()?;
        Some((ts, outputs))
    }

    /// Waits until every commit up to `ts` is known here, so that validity at `ts` is decidable.
    pub fn wait_published(&self, ts: Timestamp) -> Result<(), Error> {
        let deadline = Duration::from_secs(10);
        let waited = self.progress.wait_timeout_while(self.lock(), deadline, |state| state.published < ts);
        let timed_out = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        if timed_out { Err(Error::internal("a commit was never published: another writer?")) } else { Ok(()) }
    }

    /// Decides about one query at snapshot `ts`; waits while another thread runs it. After `Run`, the
    /// caller must call `complete`.
    pub fn claim(&self, entry: u64, ts: Timestamp) -> Claim {
        let mut state = self.lock();
        loop {
            let Some(shared) = state.entries.get_mut(&entry) else { return Claim::Gone };
            if let Some(output) = shared.valid_at(ts) {
                return Claim::Valid(Arc::clone(output));
            }
            if !shared.running {
                if shared.computed.as_ref().is_some_and(|computed| computed.ts > ts) {
                    return Claim::Newer;
                }
                shared.running = true;
                return Claim::Run(Arc::clone(&shared.run), shared.journal.clone());
            }
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The query behind an entry, to run it without sharing the result.
    pub fn function_of(&self, entry: u64) -> Option<(QueryFn, Option<Arc<str>>)> {
        let state = self.lock();
        let shared = state.entries.get(&entry)?;
        Some((Arc::clone(&shared.run), shared.journal.clone()))
    }

    /// Stores the result of a claimed run and tells from when on it is stale, if it already is.
    pub fn complete(&self, entry: u64, ts: Timestamp, output: Output, reads: ReadSet) -> Arc<Output> {
        let mut state = self.lock();
        let invalid_at = state.first_conflict(ts, &reads);
        let Some(shared) = state.entries.get_mut(&entry) else { return Arc::new(output) };
        shared.running = false;
        shared.lingering = false;
        let output = match &shared.computed {
            Some(before) if *before.output == output => Arc::clone(&before.output),
            _ => Arc::new(output),
        };
        shared.journal.clone_from(&output.journal);
        shared.computed = Some(Computed { ts, at: Instant::now(), invalid_at, output: Arc::clone(&output) });
        let old = std::mem::replace(&mut shared.reads, reads);
        if invalid_at.is_some() {
            shared.wake();
        }
        if state.entries.get(&entry).is_some_and(|shared| shared.reads != old) {
            state.forget_reads(entry, &old);
            state.register_reads(entry);
        }
        drop(state);
        self.progress.notify_all();
        output
    }

    /// Makes one commit known. Called in commit order, after the commit is durable.
    pub fn publish(&self, ts: Timestamp, changes: ChangeSet) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut stale = Vec::new();
        for (index, key) in &changes.keys {
            state.ranges.owners_of(*index, key, &mut |entry| stale.push(entry));
        }
        let mut grown = Vec::new();
        for log in &changes.logs {
            for (entry, page_end) in state.logs.get(&**log).into_iter().flatten() {
                if page_end.is_none() { stale.push(*entry) } else { grown.push(*entry) }
            }
        }
        for entry in stale {
            if let Some(entry) = state.entries.get_mut(&entry) {
                entry.invalidate(ts);
            }
        }
        for entry in grown {
            self.let_linger(state, entry);
        }
        state.remember(ts, changes);
        state.published = ts;
        drop(guard);
        self.progress.notify_all();
    }

    /// The first commit after `ts` that touches `reads`: for queries at a timestamp in the past.
    pub fn conflict_since(&self, ts: Timestamp, reads: &ReadSet) -> Option<Timestamp> {
        self.lock().first_conflict(ts, reads)
    }

    fn let_linger(&self, state: &mut State, id: u64) {
        let Some(entry) = state.entries.get_mut(&id) else { return };
        let Some(computed) = entry.computed.as_ref().filter(|c| c.invalid_at.is_none()) else { return };
        if std::mem::replace(&mut entry.lingering, true) {
            return;
        }
        let due = computed.at + Duration::from_millis(limits::LOG_PAGE_LINGER_MS);
        if let Some(sender) = &*self.linger.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = sender.send(Linger { due, entry: id, computed: computed.ts });
        }
    }

    fn recut(&self, linger: &Linger) {
        let mut state = self.lock();
        let published = state.published;
        if let Some(entry) = state.entries.get_mut(&linger.entry)
            && entry.computed.as_ref().is_some_and(|computed| computed.ts == linger.computed)
        {
            entry.invalidate(published);
        }
    }
}

/// Ends the rest period of grown log pages. A task of its own, so that publishing never waits.
async fn recut_lingering_pages(live: std::sync::Weak<Live>, mut receiver: mpsc::UnboundedReceiver<Linger>) {
    while let Some(linger) = receiver.recv().await {
        tokio::time::sleep_until(linger.due.into()).await;
        let Some(live) = live.upgrade() else { return };
        live.recut(&linger);
    }
}

impl State {
    fn remember(&mut self, ts: Timestamp, changes: ChangeSet) {
        self.recent_weight += changes.weight();
        self.recent.push_back((ts, Arc::new(changes)));
        while self.recent_weight > limits::RECENT_CHANGES
            && let Some((oldest, changes)) = self.recent.pop_front()
        {
            self.recent_weight -= changes.weight();
            self.forgotten = oldest;
        }
    }

    fn first_conflict(&self, ts: Timestamp, reads: &ReadSet) -> Option<Timestamp> {
        if ts < self.forgotten {
            return Some(self.forgotten);
        }
        let first = self.recent.partition_point(|(commit, _)| *commit <= ts);
        self.recent.range(first..).find(|(_, changes)| changes.touches(reads)).map(|(commit, _)| *commit)
    }

    fn register_reads(&mut self, id: u64) {
        let Some(entry) = self.entries.get(&id) else { return };
        for range in &entry.reads.ranges {
            self.ranges.insert(range, id);
        }
        for read in &entry.reads.logs {
            self.logs.entry(read.log.clone()).or_default().push((id, read.page_end));
        }
    }

    fn forget_reads(&mut self, id: u64, reads: &ReadSet) {
        for range in &reads.ranges {
            self.ranges.remove(range, id);
        }
        for read in &reads.logs {
            if let Some(watchers) = self.logs.get_mut(&read.log) {
                watchers.retain(|(entry, _)| *entry != id);
                if watchers.is_empty() {
                    self.logs.remove(&read.log);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// One thread runs the query, another waits for the result, and all who wanted it leave.
    #[tokio::test]
    async fn who_waits_for_a_run_goes_on_when_nobody_wants_it_any_more() {
        let live = Live::new(1);
        let run: QueryFn = Arc::new(|_| Ok("null".into()));
        let subscription = live.subscribe("k".into(), None, run, Arc::default());
        let entry = subscription.entry();
        assert!(matches!(live.claim(entry, 1), Claim::Run(..)));
        let (sender, claimed) = mpsc::channel();
        let waiting = Arc::clone(&live);
        thread::spawn(move || sender.send(matches!(waiting.claim(entry, 1), Claim::Gone)));
        // If the thread is later than this, it finds nothing to wait for, and the test only shows less.
        assert!(claimed.recv_timeout(Duration::from_millis(100)).is_err(), "it waits");
        drop(subscription);
        assert_eq!(claimed.recv_timeout(Duration::from_secs(5)), Ok(true));
        live.complete(entry, 1, Output { value: Ok("null".into()), journal: None }, ReadSet::default());
        assert_eq!(live.entries(), 0);
    }
}
