//! Live queries: who depends on what, which results are stale, and one run for all subscribers.
//!
//! A result carries the timestamp of the snapshot it was computed in and stays valid until a commit
//! falls into its read set. A subscriber asks for all its results *at one timestamp*; those still valid
//! are handed out, the others are run once, whoever asks first, and shared.
//!
//! Must never hold its lock while a query runs, and never wait for a subscriber.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use spool_protocol::Error;
use tokio::sync::Notify;

use crate::Timestamp;
use crate::limits;
use crate::range::{ChangeSet, LogChange, LogRead, RangeIndex, ReadSet};
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
    /// Wakes the task that looks after log pages which have grown.
    lingering: Arc<Notify>,
}

#[derive(Default)]
struct State {
    published: Timestamp,
    next_id: u64,
    by_key: HashMap<String, u64>,
    entries: HashMap<u64, Entry>,
    ranges: RangeIndex,
    logs: HashMap<String, Vec<(u64, Option<u64>)>>,
    /// Those with a log page that has grown since it was cut.
    lingering: HashSet<u64>,
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
    computed: Option<Computed>,
    reads: ReadSet,
    page: Option<LogPage>,
    subscribers: HashMap<u64, Arc<Notify>>,
}

struct Computed {
    ts: Timestamp,
    /// The first commit after which the result is no longer true.
    invalid_at: Option<Timestamp>,
    output: Arc<Output>,
}

/// A result that holds something of a log, for subscribers that stay with it.
struct LogPage {
    /// When it was cut, and when the first was that stood here.
    at: Instant,
    since: Instant,
    /// Units of the log, and what was appended behind them.
    held: u64,
    grown: u64,
}

impl LogPage {
    /// What the log had when the page was cut.
    fn of(reads: &ReadSet, before: Option<&LogPage>, now: Instant) -> Option<Self> {
        let pages = || reads.logs.iter().filter_map(|read| Some(read.page_end?.saturating_sub(read.from)));
        let since = before.map_or(now, |before| before.since);
        pages().next().map(|_| Self { at: now, since, held: pages().sum(), grown: 0 })
    }

    /// Whether it is time to cut it again. See [`limits::LOG_PAGE_LINGER_MS`].
    fn is_due(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.at);
        let aged = age >= self.at.saturating_duration_since(self.since);
        age >= LINGER && (aged || self.grown > self.held / 2)
    }
}

const LINGER: Duration = Duration::from_millis(limits::LOG_PAGE_LINGER_MS);

/// What to do about one query at one snapshot.
pub(crate) enum Claim {
    Valid(Arc<Output>),
    /// With log pages that are not to be cut anew, if the result is then the one that is there.
    Run(QueryFn, Option<Arc<str>>, Vec<LogRead>),
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

    /// Its log pages may be cut anew, even where nothing was committed since they were looked at last.
    fn expire(&mut self, published: Timestamp) {
        if let Some(computed) = self.computed.as_mut().filter(|c| c.invalid_at.is_none()) {
            computed.invalid_at = Some(published);
            self.wake();
        }
    }

    /// A log that it has a page of has `end` now, or is over.
    fn grow(&mut self, page_end: u64, end: Option<u64>) {
        if let Some(page) = &mut self.page {
            page.grown = page.grown.max(end.map_or(u64::MAX, |end| end.saturating_sub(page_end)));
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

impl Drop for Live {
    fn drop(&mut self) {
        // Its task finds that there is nothing to look after.
        self.lingering.notify_one();
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
        tokio::spawn(recut_lingering_pages(Arc::downgrade(&live), Arc::clone(&live.lingering)));
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
        let published = state.published;
        let entry = *state.by_key.entry(key.clone()).or_insert(fresh);
        let shared = state.entries.entry(entry).or_insert_with(|| Entry {
            key,
            run,
            journal,
            running: false,
            computed: None,
            reads: ReadSet::default(),
            page: None,
            subscribers: HashMap::new(),
        });
        // Whoever comes gets what there is now, and nothing older than what a page rests at least.
        if let Some(page) = shared.page.as_mut().filter(|page| page.grown > 0 && page.at.elapsed() >= LINGER) {
            page.grown = u64::MAX;
            shared.expire(published);
        }
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
                state.lingering.remove(&entry);
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
                let rests = shared.page.as_ref().is_some_and(|page| !page.is_due(Instant::now()));
                let resting = if rests { shared.reads.logs.clone() } else { Vec::new() };
                return Claim::Run(Arc::clone(&shared.run), shared.journal.clone(), resting);
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

    /// Whether the result of a claimed run is the one that is there already.
    pub fn is_same(&self, entry: u64, output: &Output) -> bool {
        let state = self.lock();
        let before = state.entries.get(&entry).and_then(|shared| shared.computed.as_ref());
        before.is_some_and(|before| *before.output == *output)
    }

    /// Stores the result of a claimed run and tells from when on it is stale, if it already is. `rested` if its log
    /// pages are the old ones.
    pub fn complete(&self, entry: u64, ts: Timestamp, output: Output, reads: ReadSet, rested: bool) -> Arc<Output> {
        let mut state = self.lock();
        let invalid_at = state.first_conflict(ts, &reads);
        let Some(shared) = state.entries.get_mut(&entry) else { return Arc::new(output) };
        shared.running = false;
        let output = match &shared.computed {
            Some(before) if *before.output == output => Arc::clone(&before.output),
            _ => Arc::new(output),
        };
        shared.journal.clone_from(&output.journal);
        shared.computed = Some(Computed { ts, invalid_at, output: Arc::clone(&output) });
        if !rested {
            shared.page = LogPage::of(&reads, shared.page.as_ref(), Instant::now());
        }
        let old = std::mem::replace(&mut shared.reads, reads);
        if invalid_at.is_some() {
            shared.wake();
        }
        if state.entries.get(&entry).is_some_and(|shared| shared.reads != old) {
            state.forget_reads(entry, &old);
            state.register_reads(entry);
        }
        if state.note_growth_since(entry, ts) {
            self.lingering.notify_one();
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
        let mut grown = false;
        for LogChange { log, end } in &changes.logs {
            for (id, page_end) in state.logs.get(&**log).into_iter().flatten() {
                match (page_end, state.entries.get_mut(id)) {
                    (None, _) => stale.push(*id),
                    (Some(page_end), Some(entry)) => {
                        entry.grow(*page_end, *end);
                        grown |= state.lingering.insert(*id);
                    }
                    (Some(_), None) => {}
                }
            }
        }
        for entry in stale {
            if let Some(entry) = state.entries.get_mut(&entry) {
                entry.invalidate(ts);
            }
        }
        state.remember(ts, changes);
        state.published = ts;
        drop(guard);
        self.progress.notify_all();
        if grown {
            self.lingering.notify_one();
        }
    }

    /// The first commit after `ts` that touches `reads`: for queries at a timestamp in the past.
    pub fn conflict_since(&self, ts: Timestamp, reads: &ReadSet) -> Option<Timestamp> {
        self.lock().first_conflict(ts, reads)
    }

    /// Lets those pages be cut again whose time has come. Whether others go on to wait.
    fn recut(&self, now: Instant) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (entries, published) = (&mut state.entries, state.published);
        state.lingering.retain(|id| {
            let Some(entry) = entries.get_mut(id) else { return false };
            let (Some(page), Some(computed)) = (&entry.page, &entry.computed) else { return false };
            let is_stale = computed.invalid_at.is_some();
            if page.is_due(now) {
                entry.expire(published);
                return false;
            }
            !is_stale // else somebody runs it, and looks at its page again
        });
        !state.lingering.is_empty()
    }
}

/// Ends the rest of grown log pages. A task of its own, so that publishing never waits.
async fn recut_lingering_pages(live: std::sync::Weak<Live>, lingering: Arc<Notify>) {
    loop {
        lingering.notified().await;
        loop {
            tokio::time::sleep(LINGER).await;
            let Some(live) = live.upgrade() else { return };
            if !live.recut(Instant::now()) {
                break;
            }
        }
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

    /// What was appended to the logs of a new result while it was made. Whether its page has grown.
    fn note_growth_since(&mut self, id: u64, ts: Timestamp) -> bool {
        self.lingering.remove(&id);
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.page.is_some()) else { return false };
        let first = self.recent.partition_point(|(commit, _)| *commit <= ts);
        for LogChange { log, end } in self.recent.range(first..).flat_map(|(_, changes)| &changes.logs) {
            let page_end = entry.reads.logs.iter().find(|read| *read.log == **log).and_then(|read| read.page_end);
            if let Some(page_end) = page_end {
                entry.grow(page_end, *end);
            }
        }
        let has_grown = entry.page.as_ref().is_some_and(|page| page.grown > 0);
        has_grown && self.lingering.insert(id)
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
    use crate::range::LogRead;

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
        live.complete(entry, 1, Output { value: Ok("null".into()), journal: None }, ReadSet::default(), false);
        assert_eq!(live.entries(), 0);
    }

    /// What a subscriber is sent who stays at the beginning of a log, and how often, if the log has `ends[n]` units
    /// after `n` ticks.
    fn sent_to_one_who_stays(ends: &[u64]) -> (u64, usize) {
        let reads = |end| ReadSet {
            logs: vec![LogRead { log: "l".into(), from: 0, page_end: Some(end) }],
            ..ReadSet::default()
        };
        let begun = Instant::now();
        let (mut page, mut last, mut sent, mut times) = (None::<LogPage>, 0, 0, 0);
        for (tick, end) in (0_u32..).zip(ends) {
            let now = begun + LINGER * tick;
            if let Some(page) = &mut page {
                page.grown = end - last;
            }
            if *end > last && page.as_ref().is_none_or(|page| page.is_due(now)) {
                page = LogPage::of(&reads(*end), page.as_ref(), now);
                (last, sent, times) = (*end, sent + end, times + 1);
            }
        }
        (sent, times)
    }

    #[test]
    fn st_04_who_stays_at_a_cursor_is_sent_a_few_times_what_the_log_is_in_the_end() {
        let steady: Vec<u64> = (1..10_000).map(|tick| tick * 20).collect();
        let (sent, times) = sent_to_one_who_stays(&steady);
        assert!(sent <= 3 * steady.last().unwrap(), "{sent}");
        assert!(times >= 15, "only {times} results: nobody sees progress");
        // Little comes after much: a few results more, for the time that passes.
        let (sent, times) = sent_to_one_who_stays(&(1..10_000).map(|tick| 100_000 + tick).collect::<Vec<_>>());
        assert!(sent <= 15 * 110_000 && times >= 10, "{sent} in {times}");
    }

    #[test]
    fn a_log_that_is_over_is_told_as_soon_as_its_page_may_be_cut() {
        let mut page = LogPage { at: Instant::now(), since: Instant::now(), held: 1_000, grown: u64::MAX };
        assert!(!page.is_due(page.at) && page.is_due(page.at + LINGER));
        page.since = page.at.checked_sub(10 * LINGER).unwrap();
        page.grown = 500;
        assert!(!page.is_due(page.at + 9 * LINGER) && page.is_due(page.at + 10 * LINGER));
    }
}
