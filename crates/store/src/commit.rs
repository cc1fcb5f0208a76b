//! The one way in: a thread that owns the write connection and runs everything that changes anything.
//!
//! Waiting jobs share one SQL transaction, a savepoint each, and one fsync (group commit). Order of a
//! batch: run, commit, publish to logs and live queries, answer. Nothing is visible, acknowledged or given
//! as a reason before it is durable. If the outcome of a commit is unknown, the process stops.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use spool_protocol::{Code, Error};
use tokio::sync::{mpsc, oneshot};

use crate::Timestamp;
use crate::backend::{CommitError, Connection, LedgerPlace, LedgerRecord, LogEnd};
use crate::clock::Clock;
use crate::id::IdSource;
use crate::limits;
use crate::live::Live;
use crate::logs::{Chunk, LogState, Logs};
use crate::range::{ChangeSet, LogChange};
use crate::threads;
use crate::tx::{Tx, log_sealed};

/// A mutation with its arguments bound. Returns the result as JSON text. May be run again.
pub type MutationFn = Arc<dyn Fn(&mut Tx<'_>) -> Result<String, Error> + Send + Sync>;

/// Under which name an answer is kept, so that the same request is executed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerKey {
    pub session: String,
    pub request: String,
    /// Who asks: another principal's repetition is refused, not answered.
    pub principal: String,
}

/// A durable, published result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub ts: Timestamp,
    /// JSON text.
    pub value: Arc<str>,
    /// The answer of an earlier execution of the same request.
    pub replayed: bool,
}

pub(crate) enum Job {
    Mutate { run: MutationFn, ledger: Option<LedgerKey>, reply: oneshot::Sender<Result<Committed, Error>> },
    Append { log: String, expected: u64, units: u64, data: String, reply: oneshot::Sender<Result<u64, Error>> },
    OpenLog { log: String, reply: oneshot::Sender<Result<Arc<LogState>, Error>> },
    PruneLedger { before_ms: u64, reply: oneshot::Sender<Result<u64, Error>> },
    ForgetLedger { principal: String, after: LedgerPlace, reply: oneshot::Sender<Result<Option<LedgerPlace>, Error>> },
}

/// An answer that waits for the commit.
enum Answer {
    Mutated(oneshot::Sender<Result<Committed, Error>>, Result<Committed, Error>),
    Appended(oneshot::Sender<Result<u64, Error>>, Result<u64, Error>),
    Pruned(oneshot::Sender<Result<u64, Error>>, u64),
    Forgotten(oneshot::Sender<Result<Option<LedgerPlace>, Error>>, Option<LedgerPlace>),
}

impl Answer {
    fn is_refusal(&self) -> bool {
        matches!(self, Answer::Mutated(_, Err(_)) | Answer::Appended(_, Err(_)))
    }

    fn send(self) {
        // Nobody waits any more: the caller went away, the work is done all the same.
        match self {
            Answer::Mutated(reply, result) => drop(reply.send(result)),
            Answer::Appended(reply, result) => drop(reply.send(result)),
            Answer::Pruned(reply, count) => drop(reply.send(Ok(count))),
            Answer::Forgotten(reply, end) => drop(reply.send(Ok(end))),
        }
    }

    fn fail(self, error: &Error) {
        match self {
            Answer::Mutated(reply, _) => drop(reply.send(Err(error.clone()))),
            Answer::Appended(reply, _) | Answer::Pruned(reply, _) => drop(reply.send(Err(error.clone()))),
            Answer::Forgotten(reply, _) => drop(reply.send(Err(error.clone()))),
        }
    }
}

/// Counters of the write path, for `/metrics` and benches.
#[derive(Debug, Default)]
pub struct WriteCounters {
    pub commits: AtomicU64,
    pub jobs: AtomicU64,
}

pub(crate) struct Committer {
    pub connection: Box<dyn Connection>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub logs: Arc<Logs>,
    pub live: Arc<Live>,
    pub counters: Arc<WriteCounters>,
}

/// What the open transaction has gathered so far.
#[derive(Default)]
struct Batch {
    ts: Timestamp,
    now_ms: u64,
    changes: ChangeSet,
    appended: Vec<(Arc<str>, Chunk)>,
    /// How many of them the connection has been given: all, before anybody reads through it.
    stored: usize,
    ended: Vec<String>,
    /// Ends of logs as they are inside this transaction.
    ends: HashMap<Arc<str>, LogEnd>,
    answers: Vec<Answer>,
    /// Logs that somebody wants to follow, from an end that is committed.
    opening: Vec<(String, OpenReply)>,
}

type OpenReply = oneshot::Sender<Result<Arc<LogState>, Error>>;

impl Batch {
    /// A refusal may follow from what an earlier job did, which is not durable yet: then it waits, too.
    fn answer(&mut self, answer: Answer) {
        if self.answers.is_empty() && answer.is_refusal() { answer.send() } else { self.answers.push(answer) }
    }
}

impl Committer {
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(limits::BATCH_JOBS);
        let mut streamed: Option<Instant> = None;
        while jobs.blocking_recv_many(&mut waiting, limits::BATCH_JOBS) > 0 {
            if waiting.iter().any(|job| matches!(job, Job::Append { .. })) {
                let busy = streamed.replace(Instant::now()).is_some_and(|at| at.elapsed() < limits::STREAMING);
                if busy {
                    std::thread::sleep(limits::GATHER);
                    while waiting.len() < limits::BATCH_JOBS
                        && let Ok(job) = jobs.try_recv()
                    {
                        waiting.push(job);
                    }
                }
            }
            self.commit_batch(waiting.drain(..));
        }
    }

    fn commit_batch(&mut self, jobs: impl Iterator<Item = Job>) {
        let now_ns = self.clock.now_ns();
        let begun = self.connection.begin_write(now_ns);
        let mut batch = Batch { now_ms: now_ns / 1_000_000, ..Batch::default() };
        let mut failure = None;
        match begun {
            Ok(ts) => batch.ts = ts,
            Err(error) => failure = Some(error),
        }
        for job in jobs {
            match &failure {
                // Who only wants to read may, whatever becomes of the writes.
                Some(error) if !matches!(job, Job::OpenLog { .. }) => refuse(job, error),
                _ => failure = self.perform(&mut batch, job).err().or(failure),
            }
        }
        let opening = std::mem::take(&mut batch.opening);
        self.end_batch(batch, failure);
        opening.into_iter().for_each(|(log, reply)| drop(reply.send(self.open_log(&log))));
    }

    fn end_batch(&mut self, mut batch: Batch, mut failure: Option<Error>) {
        if failure.is_none() {
            failure = self.store_appended(&mut batch).err();
        }
        if let Some(error) = failure {
            self.connection.rollback();
            tracing::error!(%error, "a batch of writes was rolled back");
            batch.answers.into_iter().for_each(|answer| answer.fail(&error));
            return;
        }
        if batch.answers.is_empty() {
            self.connection.rollback(); // every job failed by itself, or only looked
            return;
        }
        match self.connection.commit() {
            Ok(()) => self.publish(batch),
            Err(CommitError::RolledBack(error)) => {
                tracing::error!(%error, "a batch of writes was rolled back");
                batch.answers.into_iter().for_each(|answer| answer.fail(&error));
            }
            Err(CommitError::Unknown(error)) => {
                tracing::error!(%error, "the outcome of a commit is unknown: stopping, a restart reads the truth");
                std::process::exit(threads::FAULT);
            }
        }
    }

    fn publish(&self, batch: Batch) {
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        let done = batch.answers.iter().filter(|answer| !answer.is_refusal()).count();
        self.counters.jobs.fetch_add(done as u64, Ordering::Relaxed);
        self.logs.publish(batch.appended, batch.ended);
        self.live.publish(batch.ts, batch.changes);
        batch.answers.into_iter().for_each(Answer::send);
    }

    /// Does one job inside the open transaction. A job's own failure leaves no trace; an error returned means
    /// that the whole transaction is lost.
    fn perform(&mut self, batch: &mut Batch, job: Job) -> Result<(), Error> {
        match job {
            Job::Mutate { run, ledger, reply } => match self.mutate(batch, &run, ledger.as_ref()) {
                Ok(result) => batch.answer(Answer::Mutated(reply, result)),
                Err(lost) => {
                    let _ = reply.send(Err(lost.clone()));
                    return Err(lost);
                }
            },
            Job::Append { log, expected, units, data, reply } => match self.append(batch, log, expected, units, data) {
                Ok(result) => batch.answer(Answer::Appended(reply, result)),
                Err(lost) => {
                    let _ = reply.send(Err(lost.clone()));
                    return Err(lost);
                }
            },
            Job::OpenLog { log, reply } => batch.opening.push((log, reply)),
            Job::PruneLedger { before_ms, reply } => {
                let count = self.connection.ledger_prune(before_ms)?;
                batch.answer(Answer::Pruned(reply, count));
            }
            Job::ForgetLedger { principal, after, reply } => {
                let end = self.connection.ledger_forget(&principal, &after, limits::LEDGER_STEP)?;
                batch.answer(Answer::Forgotten(reply, end));
            }
        }
        Ok(())
    }

    fn mutate(
        &mut self, batch: &mut Batch, run: &MutationFn, ledger: Option<&LedgerKey>,
    ) -> Result<Result<Committed, Error>, Error> {
        self.store_appended(batch)?;
        if let Some(key) = ledger
            && let Some(record) = self.connection.ledger_get(&key.session, &key.request)?
        {
            return Ok(replay(record, key));
        }
        self.connection.savepoint()?;
        let mut tx = Tx::new(&mut *self.connection, &self.ids, true, batch.now_ms, batch.ts, None);
        let result = catch_unwind(AssertUnwindSafe(|| run(&mut tx)))
            .unwrap_or_else(|_| Err(Error::internal("the function panicked; the log has the place")));
        let traces = tx.into_traces();
        let value = match result {
            Ok(value) => value,
            Err(error) => {
                self.connection.rollback_to_savepoint()?;
                return Ok(Err(error));
            }
        };
        // What changed nothing is run again when it is repeated; its answer may be a secret, so it is not kept.
        let changed = !traces.changes.keys.is_empty() || !traces.changes.logs.is_empty();
        if let Some(LedgerKey { session, request, principal }) = ledger.filter(|_| changed) {
            let record = LedgerRecord { principal: principal.clone(), ts: batch.ts, value: value.clone() };
            self.connection.ledger_put(session, request, &record, batch.now_ms)?;
        }
        self.connection.release_savepoint()?;
        for (log, chunk) in &traces.appended {
            batch.ends.insert(log.clone(), LogEnd { end: chunk.end, sealed: false });
        }
        for log in &traces.ended {
            let end = self.connection.log_end(log)?;
            batch.ends.insert(log.as_str().into(), end);
        }
        batch.appended.extend(traces.appended);
        batch.stored = batch.appended.len();
        batch.ended.extend(traces.ended);
        batch.changes.keys.extend(traces.changes.keys);
        batch.changes.logs.extend(traces.changes.logs);
        Ok(Ok(Committed { ts: batch.ts, value: value.into(), replayed: false }))
    }

    fn append(
        &mut self, batch: &mut Batch, log: String, expected: u64, units: u64, data: String,
    ) -> Result<Result<u64, Error>, Error> {
        let (log, active) = match self.logs.active_end(&log) {
            Some((log, end)) => (log, Some(LogEnd { end, sealed: false })),
            None => (log.into(), None),
        };
        let LogEnd { end, sealed } = match batch.ends.get(&log).copied().or(active) {
            Some(end) => end,
            None => self.connection.log_end(&log)?,
        };
        if sealed {
            return Ok(Err(log_sealed()));
        }
        if expected != end {
            let message = format!("the log ends at {end}, the append expects {expected}");
            return Ok(Err(Error::new(Code::OffsetMismatch, message).with("end", end)));
        }
        let chunk = Chunk::new(end, end + units, data);
        let end = chunk.end;
        batch.ends.insert(Arc::clone(&log), LogEnd { end, sealed: false });
        batch.changes.logs.push(LogChange { log: Arc::clone(&log), end: Some(end) });
        batch.appended.push((log, chunk));
        Ok(Ok(end))
    }

    fn store_appended(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let new = &batch.appended[batch.stored..];
        if !new.is_empty() {
            self.connection.log_append(new)?;
            batch.stored = batch.appended.len();
        }
        Ok(())
    }

    /// Between transactions: nobody may see an end that a rollback takes back.
    fn open_log(&mut self, log: &str) -> Result<Arc<LogState>, Error> {
        if let Some(state) = self.logs.find(log) {
            return Ok(state);
        }
        let end = self.connection.log_end(log)?;
        Ok(self.logs.open(log, end))
    }
}

fn replay(record: LedgerRecord, key: &LedgerKey) -> Result<Committed, Error> {
    if record.principal == key.principal {
        Ok(Committed { ts: record.ts, value: record.value.into(), replayed: true })
    } else {
        Err(Error::new(Code::Forbidden, "this request was answered for another principal; use a new session"))
    }
}

fn refuse(job: Job, error: &Error) {
    match job {
        Job::Mutate { reply, .. } => drop(reply.send(Err(error.clone()))),
        Job::Append { reply, .. } | Job::PruneLedger { reply, .. } => drop(reply.send(Err(error.clone()))),
        Job::ForgetLedger { reply, .. } => drop(reply.send(Err(error.clone()))),
        Job::OpenLog { reply, .. } => drop(reply.send(Err(error.clone()))),
    }
}
