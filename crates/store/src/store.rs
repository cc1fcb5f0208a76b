//! The handle that the rest of the program holds: cheap to clone, safe to use from any task.
//!
//! Owns the threads that hold database connections. A function costs one hop to such a thread,
//! however many reads it makes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use spool_protocol::{Code, Error};
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
use crate::tx::Tx;

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

#[derive(Clone)]
pub struct Store(Arc<Inner>);

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

        let (writes, jobs) = mpsc::channel(limits::WRITE_QUEUE);
        let committer = Committer {
            connection: backend.writer()?,
            clock: Arc::clone(&options.clock),
            ids: Arc::clone(&ids),
            logs: Arc::clone(&logs),
            live: Arc::clone(&live),
            counters: Arc::clone(&counters),
        };
        spawn("spool-writer", move || committer.run(jobs))?;

        let (reads, jobs) = mpsc::channel::<ReadJob>(limits::WRITE_QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let others = (1..options.readers.max(1)).map(|_| backend.reader()).collect::<Result<Vec<_>, _>>()?;
        for mut connection in std::iter::once(first).chain(others) {
            let jobs = Arc::clone(&jobs);
            spawn("spool-reader", move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                    let Some(job) = job else { return };
                    job(&mut *connection);
                }
            })?;
        }
        let clock = options.clock;
        Ok(Self(Arc::new(Inner { backend, pins: Pins::default(), writes, reads, clock, live, logs, ids, counters })))
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
    /// task run in the order of submission. With a ledger key, a repetition gets the first answer.
    pub async fn mutate(&self, run: MutationFn, ledger: Option<LedgerKey>) -> Result<Committed, Error> {
        self.submit_mutation(run, ledger).await?.await.map_err(|_| closed())?
    }

    /// Like [`Store::mutate`], but returns as soon as the place in the order is taken.
    pub async fn submit_mutation(
        &self, run: MutationFn, ledger: Option<LedgerKey>,
    ) -> Result<oneshot::Receiver<Result<Committed, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        self.0.writes.send(Job::Mutate { run, ledger, reply }).await.map_err(|_| closed())?;
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
        loop {
            let (_, outputs) = self.evaluate(&[subscription]).await?;
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

    /// Like [`Store::append`], but returns as soon as the place in the order is taken.
    pub async fn submit_append(&self, log: &str, expected: u64, units: u64, data: String) -> Result<Appending, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Append { log: log.to_owned(), expected, units, data, reply };
        self.0.writes.send(job).await.map_err(|_| closed())?;
        Ok(Appending(answer))
    }

    /// Follows a log from `offset`, which may lie anywhere up to its end.
    pub async fn tail(&self, log: &str, offset: u64) -> Result<Tail, Error> {
        let state = match self.0.logs.find(log) {
            Some(state) => state,
            None => {
                let (reply, answer) = oneshot::channel();
                self.0.writes.send(Job::OpenLog { log: log.to_owned(), reply }).await.map_err(|_| closed())?;
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
        self.0.writes.send(Job::PruneLedger { before_ms, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Forgets every stored answer of a principal that asks for nothing any more, in steps between which others
    /// write.
    pub async fn forget_answers(&self, principal: &str) -> Result<(), Error> {
        let mut after = LedgerPlace::default();
        loop {
            let (reply, answer) = oneshot::channel();
            let job = Job::ForgetLedger { principal: principal.to_owned(), after, reply };
            self.0.writes.send(job).await.map_err(|_| closed())?;
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
        self.0.reads.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map(drop).map_err(|e| Error::internal(format!("starting thread {name}: {e}")))
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
