//! Group-committed mutations, against raw SQLite doing the same upserts.
//!
//! Rounds alternate: the store writes its rows through [`Store::mutate`]; then SQLite alone writes the very
//! rows that the store left, with the same statements, in transactions of the same average size. Each
//! round begins with an empty file. The ratio is the median over the rounds.

pub mod raw;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::commit::MutationFn;
use spool_store::{Document, Id, Index, Schema, Store, StoreOptions, Table};

use crate::Context;
use crate::latency::median;
use crate::report::{Report, Row};

/// The part of raw SQLite's speed that the store must reach.
const TARGET: f64 = 0.5;

/// A document like a message of a chat: about 400 bytes, three indexes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    #[serde(rename = "_id")]
    id: Id<Note>,
    #[serde(rename = "_creationTime")]
    creation_time: f64,
    thread_id: String,
    seq: u64,
    role: String,
    status: String,
    text: String,
    created_at: u64,
}

static INDEXES: [Index; 3] = [
    Index::unique("by_thread", &["threadId", "seq"]),
    Index::unique("by_request", &["threadId", "requestId"]),
    Index::new("by_queue", &["queuedIn", "seq"]),
];
static TABLE: Table = Table { name: "messages", prefix: "msg", indexes: &INDEXES };
static SCHEMA: Schema = Schema { tables: &[&TABLE] };

impl Document for Note {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

const TEXT: &str = "An answer of the usual length, two or three lines on a screen, as people and models \
    write them to each other all day long; it says something, and it is not compressed or repeated. The rest is here \
    to make it long enough.";

/// What one round of either side did.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    rows: u64,
    commits: u64,
    seconds: f64,
}

impl Speed {
    fn per_second(self) -> f64 {
        self.rows as f64 / self.seconds
    }

    fn batch(self) -> f64 {
        self.rows as f64 / self.commits.max(1) as f64
    }
}

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("writes: group-committed mutations against raw SQLite, synchronous=FULL");
    let rounds = context.pick(7, 2);
    // Two submitters per place in a batch: half of them wait for the running commit.
    for (submitters, rows) in [(1, 1_500), (32, 15_000), (1024, 80_000)] {
        let rows = context.pick(rows, rows / 10);
        let (mut ours, mut raws, mut ratios, mut batches) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        context.quiet().await?;
        for _ in 0..rounds {
            let directory = context.directory()?;
            let file = directory.path().join("store.db");
            let own = store_round(&file, submitters, rows).await?;
            let raw = raw::round(&file, &directory.path().join("raw.db"), own.batch())?;
            ours.push(own.per_second());
            raws.push(raw.per_second());
            ratios.push(own.per_second() / raw.per_second());
            batches.push(own.batch());
        }
        let (own, raw, ratio, batch) =
            (median(ours.clone()), median(raws.clone()), median(ratios.clone()), median(batches));
        report.add(Row {
            name: format!("mutations, {submitters} at once (batches of {batch:.0})"),
            measured: format!("{own:.0}/s"),
            against: format!("raw SQLite {raw:.0}/s, target ≥ {TARGET}"),
            ratio: Some(ratio),
            ok: Some(ratio >= TARGET),
            details: json!({ "submitters": submitters, "rows_per_round": rows, "average_batch": batch,
                "store_per_second": ours, "raw_per_second": raws, "ratios": ratios }),
        });
    }
    Ok(())
}

/// `submitters` tasks that each wait for one mutation before the next.
async fn store_round(file: &Path, submitters: u64, rows: u64) -> Result<Speed> {
    let backend = SqliteBackend::open(file, SCHEMA, Synchronous::Full)?;
    let store = Store::open(std::sync::Arc::new(backend), StoreOptions::default())?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..submitters)
        .map(|submitter| {
            let (store, count) = (store.clone(), rows / submitters + u64::from(submitter < rows % submitters));
            tokio::spawn(async move {
                let thread: Arc<str> = format!("thr_{submitter:026}").into();
                for seq in 0..count {
                    store.mutate(insert(Arc::clone(&thread), seq), None).await?;
                }
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.context("a submitter")??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let counters = store.counters();
    let (commits, done) = (counters.commits.load(Ordering::Relaxed), counters.jobs.load(Ordering::Relaxed));
    anyhow::ensure!(done == rows, "the store counted {done} mutations instead of {rows}");
    Ok(Speed { rows, commits, seconds })
}

fn insert(thread: Arc<str>, seq: u64) -> MutationFn {
    Arc::new(move |tx| {
        let now = tx.now();
        let note = Note {
            id: tx.new_id(),
            creation_time: now as f64,
            thread_id: thread.to_string(),
            seq,
            role: "user".to_owned(),
            status: "complete".to_owned(),
            text: TEXT.to_owned(),
            created_at: now,
        };
        tx.put(&note)?;
        Ok(format!("\"{}\"", note.id))
    })
}
