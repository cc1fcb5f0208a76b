//! Logs keep what they have while their chunks move from the journal to their own place: for new readers,
//! for a snapshot from before, and after a restart.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use spool_protocol::Error;
use spool_store::backend::Limit;
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::commit::MutationFn;
use spool_store::live::QueryFn;
use spool_store::{Schema, Store, StoreOptions, Tx, limits};

static SCHEMA: Schema = Schema { tables: &[] };
const LOGS: usize = 40;
/// Chunks of one transaction.
const STEP: usize = 256;

/// What every log should have: its texts in order.
type Model = BTreeMap<String, Vec<String>>;

fn open(directory: &std::path::Path) -> Store {
    let backend = SqliteBackend::open(&directory.join("spool.db"), SCHEMA, Synchronous::Normal).unwrap();
    Store::open(Arc::new(backend), StoreOptions::default()).unwrap()
}

fn mutation(run: impl Fn(&mut Tx<'_>) -> Result<String, Error> + Send + Sync + 'static) -> MutationFn {
    Arc::new(run)
}

/// One step of a history: the log of each chunk. Log 0 gets a third of all, so that it alone fills more
/// than a move takes.
fn step(number: usize) -> Vec<(String, String)> {
    let log = |at: usize| if at.is_multiple_of(3) { 0 } else { (at * 7 + number) % LOGS };
    (0..STEP).map(|at| (format!("log{}", log(at)), format!("{number}.{at};"))).collect()
}

async fn write(store: &Store, number: usize, model: &mut Model) {
    let chunks = step(number);
    let appends = chunks.clone();
    let append = move |tx: &mut Tx<'_>| {
        for (log, text) in &appends {
            tx.log_append(log, text.len() as u64, text.clone())?;
        }
        Ok("null".to_owned())
    };
    if number.is_multiple_of(10) {
        // What was rolled back must not come back, nor take the place of what follows.
        let append = append.clone();
        let failing = mutation(move |tx| append(tx).and_then(|_| Err(Error::bad_request("no"))));
        store.mutate(failing, None).await.unwrap_err();
    }
    store.mutate(mutation(append), None).await.unwrap();
    for (log, text) in chunks {
        model.entry(log).or_default().push(text);
    }
}

/// Reads each log in pages from a place in its middle on, and checks its end.
fn read_all() -> QueryFn {
    Arc::new(|tx| {
        let mut found = BTreeMap::new();
        for log in (0..LOGS).map(|number| format!("log{number}")) {
            let (mut texts, mut at) = (Vec::new(), 0);
            loop {
                let page = tx.log_read(&log, at)?;
                let Some(last) = page.last() else { break };
                at = last.end;
                for chunk in page {
                    assert_eq!(chunk.end - chunk.start, chunk.data.len() as u64);
                    texts.push(chunk.data.to_string());
                }
            }
            assert_eq!(tx.log_end(&log)?.end, at, "{log}");
            if at > 0 {
                let middle = tx.log_read(&log, at / 2)?;
                assert!(middle[0].start <= at / 2 && at / 2 < middle[0].end, "{log}");
                found.insert(log, texts);
            }
        }
        Ok(serde_json::to_string(&found).unwrap())
    })
}

async fn check(store: &Store, model: &Model) {
    let (_, found) = store.query(read_all()).await.unwrap();
    let found: Model = serde_json::from_str(&found).unwrap();
    assert!(found == *model, "a log has other chunks than were appended");
}

/// Seals a log, part of which is filed and part of which is not, and joins its chunks by hundreds.
async fn recut(store: &Store, log: &'static str, model: &mut Model) {
    let texts = model.get_mut(log).unwrap();
    *texts = texts.chunks(100).map(|texts| texts.concat()).collect();
    let pieces: Vec<(u64, String)> = texts.iter().map(|text| (text.len() as u64, text.clone())).collect();
    let short = pieces[1..].to_vec();
    let refused = mutation(move |tx| tx.log_recut(log, short.clone()).map(|()| "null".to_owned()));
    store.mutate(refused.clone(), None).await.unwrap_err();
    let cut = mutation(move |tx| {
        tx.log_seal(log)?;
        tx.log_recut(log, pieces.clone()).map(|()| "null".to_owned())
    });
    store.mutate(cut, None).await.unwrap();
    store.mutate(refused, None).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_whole_while_their_chunks_move_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut model = Model::new();
    let steps = limits::JOURNAL_ROWS / STEP;
    for number in 0..steps - 1 {
        write(&store, number, &mut model).await;
    }
    check(&store, &model).await;
    let (before, pinned) = (model.clone(), store.pin().await.unwrap());
    for number in steps - 1..steps + steps / 2 {
        write(&store, number, &mut model).await;
        if number.is_multiple_of(16) {
            check(&store, &model).await;
        }
    }
    let step = |tx: &mut Tx<'_>| Ok(tx.log_delete("log5", Limit::rows(100))?.rows.to_string());
    while &*store.mutate(mutation(step), None).await.unwrap().value != "0" {}
    model.remove("log5");
    check(&store, &model).await;
    let old: Model = serde_json::from_str(&store.query_at(pinned, read_all()).await.unwrap()).unwrap();
    assert!(old == before, "the snapshot changed");
    drop(store);

    let file = rusqlite::Connection::open(directory.path().join("spool.db")).unwrap();
    let count = |table: &str| file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
    let (waiting, filed) = (count("_log_journal").unwrap(), count("_log_chunks").unwrap());
    assert!(waiting <= limits::JOURNAL_ROWS as i64 && filed > 0, "{waiting} wait, {filed} are filed");
    drop(file);

    let store = open(directory.path());
    check(&store, &model).await;
    for number in 1_000..1_000 + steps / 4 {
        write(&store, number, &mut model).await;
    }
    check(&store, &model).await;

    let (before, pinned) = (model.clone(), store.pin().await.unwrap());
    for log in ["log0", "log7"] {
        recut(&store, log, &mut model).await;
    }
    check(&store, &model).await;
    // The journal files what is left of them, which is nothing.
    for _ in 0..=steps {
        let fill = |tx: &mut Tx<'_>| {
            (0..STEP).try_for_each(|_| tx.log_append("other", 1, "x".to_owned()).map(drop))?;
            Ok("null".to_owned())
        };
        store.mutate(mutation(fill), None).await.unwrap();
    }
    check(&store, &model).await;
    let old: Model = serde_json::from_str(&store.query_at(pinned, read_all()).await.unwrap()).unwrap();
    assert!(old == before, "the snapshot changed");
    drop(store);
    check(&open(directory.path()), &model).await;
}
