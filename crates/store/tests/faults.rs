//! What callers are told when the engine is slow or fails under them: a backend that waits and fails on demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "faults/backend.rs"]
mod backend;

use std::sync::Arc;

use spool_protocol::{Code, Error};
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::commit::MutationFn;
use spool_store::{Schema, Store, StoreOptions, Tx, limits};
use tempfile::TempDir;

use crate::backend::{Faults, Faulty};

struct Bench {
    store: Store,
    faults: Arc<Faults>,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::at(TempDir::new().unwrap())
    }

    fn at(dir: TempDir) -> Self {
        let file = dir.path().join("spool.db");
        let real = SqliteBackend::open(&file, Schema { tables: &[] }, Synchronous::Normal).unwrap();
        let faults = Arc::new(Faults::default());
        let backend = Faulty { real, faults: Arc::clone(&faults) };
        let store = Store::open(Arc::new(backend), StoreOptions { readers: 1, ..StoreOptions::default() }).unwrap();
        Self { store, faults, dir }
    }

    fn restart(self) -> Self {
        let Self { store, dir, .. } = self;
        drop(store);
        Self::at(dir)
    }

    /// Holds the writer in a commit, so that what is submitted next is one batch.
    async fn hold(&self) {
        self.faults.hold();
        self.store.submit_mutation(touch("held"), None).await.unwrap();
        self.faults.reached();
    }
}

fn mutation(run: impl Fn(&mut Tx<'_>) -> Result<String, Error> + Send + Sync + 'static) -> MutationFn {
    Arc::new(run)
}

/// Adds one to a log.
fn touch(log: &'static str) -> MutationFn {
    mutation(move |tx| tx.log_append(log, 1, "x".into()).map(|end| end.to_string()))
}

/// Refuses once the log has something in it: the first decision is the last.
fn decide(log: &'static str) -> MutationFn {
    mutation(move |tx| match tx.log_end(log)?.end {
        0 => tx.log_append(log, 1, "yes".into()).map(|end| end.to_string()),
        _ => Err(Error::new(Code::AlreadyResolved, "decided")),
    })
}

#[tokio::test]
async fn a_refusal_that_follows_from_an_uncommitted_job_waits_for_the_commit_and_falls_with_it() {
    let bench = Bench::new();
    bench.hold().await;
    let first = bench.store.submit_append("l", 0, 2, "ab".into()).await.unwrap();
    let second = bench.store.submit_append("l", 0, 2, "cd".into()).await.unwrap();
    let yes = bench.store.submit_mutation(decide("d"), None).await.unwrap();
    let no = bench.store.submit_mutation(decide("d"), None).await.unwrap();
    bench.faults.fail_after_this();
    assert_eq!(first.await.unwrap_err().code, Code::StorageFull);
    assert_eq!(second.await.unwrap_err().code, Code::StorageFull, "the log does not end where the first append was");
    assert_eq!(yes.await.unwrap().unwrap_err().code, Code::StorageFull);
    assert_eq!(no.await.unwrap().unwrap_err().code, Code::StorageFull, "nobody has decided");
    bench.faults.recover();
    assert_eq!(bench.store.append("l", 0, 2, "cd".into()).await.unwrap(), 2);
    bench.store.mutate(decide("d"), None).await.unwrap();
    assert_eq!(bench.store.mutate(decide("d"), None).await.unwrap_err().code, Code::AlreadyResolved);
}

#[tokio::test]
async fn a_refusal_that_rests_on_what_is_committed_is_told_at_once() {
    let bench = Bench::new();
    bench.store.append("l", 0, 2, "ab".into()).await.unwrap();
    bench.hold().await;
    let wrong = bench.store.submit_append("l", 0, 2, "cd".into()).await.unwrap();
    let right = bench.store.submit_append("l", 2, 2, "cd".into()).await.unwrap();
    bench.faults.hold_next();
    assert_eq!(wrong.await.unwrap_err().code, Code::OffsetMismatch);
    assert!(!right.is_over());
    bench.faults.release();
    assert_eq!(right.await.unwrap(), 4);
}

#[tokio::test]
async fn a_follower_that_comes_during_a_batch_sees_no_end_that_is_rolled_back() {
    let bench = Bench::new();
    bench.store.append("l", 0, 1, "a".into()).await.unwrap();
    // After a restart the end of the log is looked for in the database.
    let bench = bench.restart();
    bench.hold().await;
    let sealing =
        bench.store.submit_mutation(mutation(|tx| tx.log_seal("l").map(|()| "null".into())), None).await.unwrap();
    let store = bench.store.clone();
    let opening = tokio::spawn(async move { store.tail("l", 1).await });
    tokio::task::yield_now().await;
    bench.faults.fail_after_this();
    assert!(sealing.await.unwrap().is_err());
    let mut tail = opening.await.unwrap().unwrap();
    bench.faults.recover();
    assert!(tail.is_waiting(), "the log goes on");
    let (next, _) = tokio::join!(tail.next(), bench.store.append("l", 1, 1, "b".into()));
    assert_eq!(&*next.unwrap().unwrap()[0].data, "b");
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_queue_full_is_refused_after_a_while_and_no_job_that_was_taken_is_lost() {
    let bench = Bench::new();
    bench.hold().await;
    let mut taken = Vec::new();
    for _ in 0..limits::QUEUE {
        taken.push(bench.store.submit_mutation(touch("l"), None).await.unwrap());
    }
    let begun = tokio::time::Instant::now();
    let refused = bench.store.mutate(touch("l"), None).await.unwrap_err();
    assert_eq!((refused.code, begun.elapsed().as_secs()), (Code::Overloaded, limits::PLACE.as_secs()));
    assert_eq!(bench.store.tail("l", 0).await.err().unwrap().code, Code::Overloaded);
    // The server's own tasks, and who holds the lease of an answer, wait as long as it takes.
    let (store, patient) = (bench.store.clone(), bench.store.patient());
    let append = tokio::spawn(async move { store.append("answer", 0, 1, "x".into()).await });
    let own = tokio::spawn(async move { patient.mutate(touch("l"), None).await });
    tokio::time::sleep(20 * limits::PLACE).await;
    assert!(!append.is_finished() && !own.is_finished());
    bench.faults.release();
    for answer in taken {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(append.await.unwrap().unwrap(), 1);
    let last = own.await.unwrap().unwrap().value;
    assert_eq!(*last, *(limits::QUEUE + 1).to_string(), "each was done once, and what was refused was not done");
}

#[tokio::test]
async fn st_12_running_answers_that_nobody_follows_are_appended_to_without_a_look_into_the_database() {
    let bench = Bench::new();
    let answers: Vec<String> = (0..1_000).map(|n| format!("l{n}")).collect();
    for round in 0..2 {
        let looked = bench.faults.log_ends();
        let mut appending = Vec::new();
        for log in &answers {
            appending.push(bench.store.submit_append(log, round, 1, "x".into()).await.unwrap());
        }
        for append in appending {
            append.await.unwrap();
        }
        let looks = bench.faults.log_ends() - looked;
        assert_eq!(looks, if round == 0 { answers.len() } else { 0 });
    }
}

#[tokio::test]
async fn an_append_of_nothing_is_refused() {
    let bench = Bench::new();
    assert_eq!(bench.store.append("l", 0, 0, String::new()).await.unwrap_err().code, Code::Internal);
    let nothing = mutation(|tx| tx.log_append("l", 0, String::new()).map(|end| end.to_string()));
    assert_eq!(bench.store.mutate(nothing, None).await.unwrap_err().code, Code::Internal);
    assert_eq!(bench.store.append("l", 0, 1, "x".into()).await.unwrap(), 1);
}
