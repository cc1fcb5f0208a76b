//! The handle that the rest of the program holds: cheap to clone, safe to use from any task.
//!
//! Owns the threads that hold database connections. A function costs one hop to such a thread,
//! however many reads it makes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use spool_protocol::{Code, Error};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use crate::Timestamp;
use crate::backend::{Backend, Connection, LedgerPlace};
use crate::clock::{Clock, SystemClock};
use crate::commit::{Committed, Committer, Job, LedgerKey, MutationFn, WriteCounters};
use crate::id::IdSource;
use crate::limits;
use crate::live::{Claim, Live, Output, QueryFn, Subscription};
use crate::logs::{Chunk, Logs, Published, Tail};
use crate::pins::Pins;
use crate::range::{LogRead, ReadSet};
use crate::threads;
use crate::tx::{Tx, check_units};

/// How a store is opened.
pub struct StoreOptions {
    pub clock: Arc<dyn Clock>,
    /// Threads that run queries, each with a connection of its own.
    pub readers: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        Self { clock: Arc::new(SystemClock), readers: cores.clamp(2, 16) }
    }
}

/// With how long its callers wait for a place in a queue; `None` for as long as it takes.
#[derive(Clone)]
pub struct Store(Arc<Inner>, Option<Duration>);

struct Inner {
    backend: Arc<dyn Backend>,
    pins: Pins,
    writes: mpsc::Sender<Job>,
    reads: mpsc::Sender<ReadJob>,
    clock: Arc<dyn Clock>,
    live: Arc<Live>,
    logs: Arc<Logs>,
    ids: Arc<IdSource>,
    counters: Arc<WriteCounters>,
}

type ReadJob = Box<dyn FnOnce(&mut dyn Connection) + Send>;

/// An append on its way; the new end of the log once it is durable.
pub struct Appending(oneshot::Receiver<Result<u64, Error>>);

impl Appending {
    /// Whether the answer is there, so that waiting for it takes no time.
    pub fn is_over(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Future for Appending {
    type Output = Result<u64, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task).map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

/// Results of several live queries, all at one timestamp.
pub type Evaluated = (Timestamp, Vec<Arc<Output>>);

impl Store {
    /// Opens the connections and starts the threads. Must be called inside a Tokio runtime. The threads
    /// end when the last handle is dropped.
    pub fn open(backend: Arc<dyn Backend>, options: StoreOptions) -> Result<Self, Error> {
        let mut first = backend.reader()?;
        let newest = first.begin_read()?;
        first.end_read();
        let live = Live::new(newest);
        let logs = Arc::new(Logs::default());
        let ids = Arc::new(IdSource::new());
        let counters = Arc::new(WriteCounters::default());

        let (writes, jobs) = mpsc::channel(limits::QUEUE);
        let committer = Committer {
            connection: backend.writer()?,
            clock: Arc::clone(&options.clock),
            ids: Arc::clone(&ids),
            logs: Arc::clone(&logs),
            live: Arc::clone(&live),
            counters: Arc::clone(&counters),
        };
        threads::spawn("spool-writer", move || committer.run(jobs)).map_err(no_thread)?;

        let (reads, jobs) = mpsc::channel::<ReadJob>(limits::QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let others = (1..options.readers.max(1)).map(|_| backend.reader()).collect::<Result<Vec<_>, _>>()?;
        for mut connection in std::iter::once(first).chain(others) {
            let jobs = Arc::clone(&jobs);
            let run = move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                    let Some(job) = job else { return };
                    job(&mut *connection);
                }
            };
            threads::spawn("spool-reader", run).map_err(no_thread)?;
        }
        let clock = options.clock;
        let inner = Inner { backend, pins: Pins::default(), writes, reads, clock, live, logs, ids, counters };
        Ok(Self(Arc::new(inner), Some(limits::PLACE)))
    }

    /// The store for the server's own tasks: they hold leases, and there are only so many of them. Where others are
    /// refused because a queue is full, they wait as long as it takes.
    pub fn patient(&self) -> Self {
        Self(Arc::clone(&self.0), None)
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub fn counters(&self) -> &WriteCounters {
        &self.0.counters
    }

    /// The newest commit that everybody may see.
    pub fn timestamp(&self) -> Timestamp {
        self.0.live.published()
    }

    /// How many distinct queries are live now.
    pub fn live_queries(&self) -> usize {
        self.0.live.entries()
    }

    /// Runs a mutation; returns once its effects are durable and published. Mutations submitted by one
    /// task run in the order of submission. With a ledger key, a repetition gets the first answer. `overloaded`
    /// says that it was not even queued.
    pub async fn mutate(&self, run: MutationFn, ledger: Option<LedgerKey>) -> Result<Committed, Error> {
        self.submit_mutation(run, ledger).await?.await.map_err(|_| closed())?
    }

    /// Like [`Store::mutate`], but returns as soon as the place in the order is taken.
    pub async fn submit_mutation(
        &self, run: MutationFn, ledger: Option<LedgerKey>,
    ) -> Result<oneshot::Receiver<Result<Committed, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        self.place(&self.0.writes).await?.send(Job::Mutate { run, ledger, reply });
        Ok(answer)
    }

    /// Runs a query once, at the newest snapshot.
    pub async fn query(&self, run: QueryFn) -> Result<(Timestamp, String), Error> {
        let (ts, result, _) = self.read_once(run).await?;
        Ok((ts, result?))
    }

    /// Keeps the newest snapshot for `query_at`, for about half a minute, and returns its timestamp.
    pub async fn pin(&self) -> Result<Timestamp, Error> {
        let inner = Arc::clone(&self.0);
        self.read(move |_| inner.pins.pin(&*inner.backend, inner.clock.now_ms())).await?
    }

    /// Runs a query as of `ts`: exactly, if that snapshot is pinned or nothing that the query reads has
    /// changed since. Else fails with `overloaded`, which only a newer timestamp cures.
    pub async fn query_at(&self, ts: Timestamp, run: QueryFn) -> Result<String, Error> {
        let inner = Arc::clone(&self.0);
        let (pinned_run, now_ms) = (Arc::clone(&run), inner.clock.now_ms());
        let pinned = self.read(move |_| {
            let query = |connection: &mut dyn Connection| run_query(&inner, connection, ts, &pinned_run, None, &[]).0;
            inner.pins.with(ts, now_ms, query)
        });
        if let Some(result) = pinned.await? {
            return result;
        }
        let (now, result, reads) = self.read_once(run).await?;
        if ts > now || self.0.live.conflict_since(ts, &reads).is_some() {
            return Err(Error::new(Code::Overloaded, "that snapshot is gone: ask for a new timestamp"));
        }
        result
    }

    async fn read_once(&self, run: QueryFn) -> Result<(Timestamp, Result<String, Error>, ReadSet), Error> {
        let inner = Arc::clone(&self.0);
        self.read(move |connection| {
            let ts = connection.begin_read()?;
            let (result, reads, _) = run_query(&inner, connection, ts, &run, None, &[]);
            connection.end_read();
            inner.live.wait_published(ts)?;
            Ok((ts, result, reads))
        })
        .await?
    }

    /// Subscribes to a query. `key` names everything its result depends on besides the database (path,
    /// arguments, principal, journal): equal keys share one run. `wake` is notified when a result may be
    /// stale; nothing else is ever pushed.
    pub fn subscribe(&self, key: String, journal: Option<Arc<str>>, run: QueryFn, wake: Arc<Notify>) -> Subscription {
        self.0.live.subscribe(key, journal, run, wake)
    }

    /// The results of all given subscriptions at one timestamp, running only what is stale.
    pub async fn evaluate(&self, subscriptions: &[&Subscription]) -> Result<Evaluated, Error> {
        let entries: Vec<u64> = subscriptions.iter().map(|subscription| subscription.entry()).collect();
        if let Some(evaluated) = self.0.live.valid_now(&entries) {
            return Ok(evaluated);
        }
        let inner = Arc::clone(&self.0);
        self.read(move |connection| evaluate(&inner, connection, &entries)).await?
    }

    /// Waits until the results of one query change, and returns them: the way for tasks of the server
    /// to react to rows. `wake` must be the subscription's.
    pub async fn changed(
        &self, subscription: &Subscription, wake: &Notify, last: Option<Arc<Output>>,
    ) -> Result<Arc<Output>, Error> {
        let store = self.patient();
        loop {
            let (_, outputs) = store.evaluate(&[subscription]).await?;
            if let Some(output) = outputs.into_iter().next()
                && last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &output))
            {
                return Ok(output);
            }
            wake.notified().await;
        }
    }

    /// Appends to a log at `expected`, its current end, and returns the new end once it is durable.
    /// Fails with `offset_mismatch` (whose data has the real end) or `log_sealed`.
    pub async fn append(&self, log: &str, expected: u64, units: u64, data: String) -> Result<u64, Error> {
        self.submit_append(log, expected, units, data).await?.await
    }

    /// Like [`Store::append`], but returns as soon as the place in the order is taken, however long that takes: it is
    /// for who holds the lease of an answer, one append at a time, and losing a place would lose the answer.
    pub async fn submit_append(&self, log: &str, expected: u64, units: u64, data: String) -> Result<Appending, Error> {
        check_units(units)?;
        let (reply, answer) = oneshot::channel();
        let job = Job::Append { log: log.to_owned(), expected, units, data, reply };
        self.patient().place(&self.0.writes).await?.send(job);
        Ok(Appending(answer))
    }

    /// Follows a log from `offset`, which may lie anywhere up to its end.
    pub async fn tail(&self, log: &str, offset: u64) -> Result<Tail, Error> {
        let state = match self.0.logs.find(log) {
            Some(state) => state,
            None => {
                let (reply, answer) = oneshot::channel();
                self.place(&self.0.writes).await?.send(Job::OpenLog { log: log.to_owned(), reply });
                answer.await.map_err(|_| closed())??
            }
        };
        Ok(Tail::new(self.clone(), log.to_owned(), state, offset))
    }

    /// What every commit does to logs, from now on and in commit order. Followers hear of it before: one that
    /// finds nothing in its [`Tail`] after it subscribed misses nothing.
    pub fn log_feed(&self) -> broadcast::Receiver<Arc<Published>> {
        self.0.logs.feed()
    }

    /// Stored chunks from the one that holds `from` on, up to the read limit.
    pub(crate) async fn log_read(&self, log: &str, from: u64) -> Result<Vec<Chunk>, Error> {
        let log = log.to_owned();
        self.read(move |connection| {
            connection.begin_read()?;
            let chunks = connection.log_read(&log, from, limits::LOG_READ_BYTES);
            connection.end_read();
            chunks
        })
        .await?
    }

    /// Closes snapshots whose time is up. To be called now and then.
    pub fn expire_pins(&self) {
        self.0.pins.expire(self.0.clock.now_ms());
    }

    /// Forgets answers of requests older than `before_ms`; returns how many.
    pub async fn prune_ledger(&self, before_ms: u64) -> Result<u64, Error> {
        let (reply, answer) = oneshot::channel();
        self.place(&self.0.writes).await?.send(Job::PruneLedger { before_ms, reply });
        answer.await.map_err(|_| closed())?
    }

    /// Forgets every stored answer of a principal that asks for nothing any more, in steps between which others
    /// write.
    pub async fn forget_answers(&self, principal: &str) -> Result<(), Error> {
        let mut after = LedgerPlace::default();
        loop {
            let (reply, answer) = oneshot::channel();
            let job = Job::ForgetLedger { principal: principal.to_owned(), after, reply };
            self.place(&self.0.writes).await?.send(job);
            match answer.await.map_err(|_| closed())?? {
                Some(place) => after = place,
                None => return Ok(()),
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self, job: impl FnOnce(&mut dyn Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| drop(reply.send(job(connection))));
        self.place(&self.0.reads).await?.send(job);
        answer.await.map_err(|_| closed())
    }

    /// A place in a queue. What is refused here was never queued, so it may be tried again.
    async fn place<'a, T>(&self, queue: &'a mpsc::Sender<T>) -> Result<mpsc::Permit<'a, T>, Error> {
        match queue.try_reserve() {
            Ok(place) => return Ok(place),
            Err(TrySendError::Closed(())) => return Err(closed()),
            Err(TrySendError::Full(())) => {}
        }
        let place = match self.1 {
            None => queue.reserve().await,
            Some(patience) => tokio::time::timeout(patience, queue.reserve()).await.map_err(|_| full())?,
        };
        place.map_err(|_| closed())
    }
}

fn no_thread(error: io::Error) -> Error {
    Error::internal(format!("starting a thread of the store: {error}"))
}

fn full() -> Error {
    Error::new(Code::Overloaded, "the store has as much to do as it may; nothing was done, try again soon")
}

fn closed() -> Error {
    Error::new(Code::Overloaded, "the store is shutting down")
}

fn run_query(
    inner: &Inner, connection: &mut dyn Connection, ts: Timestamp, run: &QueryFn, journal: Option<&str>,
    resting: &[LogRead],
) -> (Result<String, Error>, ReadSet, Option<String>) {
    let journal = journal.map(str::to_owned);
    let mut tx = Tx::new(connection, &inner.ids, false, inner.clock.now_ms(), ts, journal).resting(resting);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut tx)))
        .unwrap_or_else(|_| Err(Error::internal("the function panicked; the log has the place")));
    let traces = tx.into_traces();
    (result, traces.reads, traces.journal)
}

/// One snapshot for all stale queries. If another thread has a newer result of one of them, the whole
/// set moves to a newer snapshot; after a few rounds of that it runs alone and shares nothing.
fn evaluate(inner: &Inner, connection: &mut dyn Connection, entries: &[u64]) -> Result<Evaluated, Error> {
    const ROUNDS: usize = 8;
    for round in 0..=ROUNDS {
        let ts = connection.begin_read()?;
        let outputs = inner.live.wait_published(ts).map(|()| {
            entries
                .iter()
                .map(|&entry| output_at(inner, connection, ts, entry, round == ROUNDS))
                .collect::<Option<Vec<_>>>()
        });
        connection.end_read();
        if let Some(outputs) = outputs? {
            return Ok((ts, outputs));
        }
    }
    Err(Error::new(Code::Overloaded, "the queries change faster than they can be read together"))
}

fn output_at(
    inner: &Inner, connection: &mut dyn Connection, ts: Timestamp, entry: u64, alone: bool,
) -> Option<Arc<Output>> {
    match inner.live.claim(entry, ts) {
        Claim::Valid(output) => Some(output),
        Claim::Run(run, journal, resting) => {
            let mut run = |resting: &[LogRead]| {
                let (result, reads, journal) = run_query(inner, connection, ts, &run, journal.as_deref(), resting);
                (Output { value: result.map(Arc::from), journal: journal.map(Arc::from) }, reads)
            };
            if !resting.is_empty() {
                let (output, reads) = run(&resting);
                if inner.live.is_same(entry, &output) {
                    return Some(inner.live.complete(entry, ts, output, reads, true));
                }
            }
            let (output, reads) = run(&[]);
            Some(inner.live.complete(entry, ts, output, reads, false))
        }
        Claim::Newer if alone => {
            let (run, journal) = inner.live.function_of(entry)?;
            let (result, _, journal) = run_query(inner, connection, ts, &run, journal.as_deref(), &[]);
            Some(Arc::new(Output { value: result.map(Arc::from), journal: journal.map(Arc::from) }))
        }
        Claim::Newer => None,
        Claim::Gone => Some(Arc::new(Output { value: Err(closed()), journal: None })),
    }
}
