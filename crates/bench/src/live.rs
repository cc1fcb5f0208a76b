//! One live query with a thousand subscribers: how often it runs, and when the last one has the result.
//!
//! Twice: inside one process, against a plain broadcast to as many tasks; and through a thousand sync
//! sockets of a real server. The number of runs is a count, not a time: exactly one per commit.

mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::commit::MutationFn;
use spool_store::live::QueryFn;
use spool_store::{Document, Id, Index, Schema, Store, StoreOptions, Table};
use tokio::sync::{Notify, mpsc, watch};

use crate::Context;
use crate::latency::Latency;
use crate::report::{Report, Row};

const SUBSCRIBERS: usize = 1_000;
/// How long the subscribers may take to have a result.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Item {
    #[serde(rename = "_id")]
    id: Id<Item>,
    list: String,
    rank: u64,
}

static INDEXES: [Index; 1] = [Index::new("by_list", &["list", "rank"])];
static TABLE: Table = Table { name: "items", prefix: "itm", indexes: &INDEXES };
static SCHEMA: Schema = Schema { tables: &[&TABLE] };

impl Document for Item {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("live: one query, {SUBSCRIBERS} subscribers");
    let commits = context.pick(300, 30);
    context.quiet().await?;
    let broadcast = broadcast(commits).await?;
    let (runs, from_submission, from_answer) = inside(context, commits).await?;
    let growth = runs as f64 / commits as f64;
    report.check(
        "a commit runs a live query of 1,000 subscribers once",
        runs == commits,
        format!("{runs} runs, {commits} commits"),
    );
    report.add(Row {
        name: format!("live query, {SUBSCRIBERS} subscribers: answered → last has it"),
        measured: from_answer.text(&[50, 99]),
        against: format!("plain broadcast {}", broadcast.text(&[50, 99])),
        ratio: Some(broadcast.ms(0.5) / from_answer.ms(0.5)),
        ok: None,
        details: json!({ "commits": commits, "runs_per_commit": growth, "from_answer": from_answer.json(),
            "from_submission": from_submission.json(), "broadcast": broadcast.json() }),
    });
    sockets::measure(context, report).await
}

/// The raw limit: a value handed to as many tasks by a channel that does nothing else.
async fn broadcast(rounds: u64) -> Result<Latency> {
    let (sender, receiver) = watch::channel(0_u64);
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    for _ in 0..SUBSCRIBERS {
        let (mut receiver, seen) = (receiver.clone(), seen.clone());
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let _ = seen.send(*receiver.borrow_and_update());
            }
        });
    }
    let mut latency = Latency::new()?;
    for round in 1..=rounds {
        let start = Instant::now();
        sender.send_replace(round);
        everybody(&mut arrivals).await?;
        latency.since(start);
    }
    Ok(latency)
}

async fn everybody(arrivals: &mut mpsc::UnboundedReceiver<u64>) -> Result<()> {
    let all = async {
        for _ in 0..SUBSCRIBERS {
            arrivals.recv().await.context("the subscribers are gone")?;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, all).await.context("not every subscriber got the result")?
}

/// Runs of the query for that many commits; time to the last subscriber from submission and from answer.
async fn inside(context: &Context, commits: u64) -> Result<(u64, Latency, Latency)> {
    let directory = context.directory()?;
    let backend = SqliteBackend::open(&directory.path().join("live.db"), SCHEMA, Synchronous::Full)?;
    let store = Store::open(std::sync::Arc::new(backend), StoreOptions::default())?;
    let runs = Arc::new(AtomicU64::new(0));
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    for _ in 0..SUBSCRIBERS {
        let (store, seen, query) = (store.clone(), seen.clone(), newest(Arc::clone(&runs)));
        tokio::spawn(async move {
            let wake = Arc::new(Notify::new());
            let subscription = store.subscribe("newest".to_owned(), None, query, Arc::clone(&wake));
            let mut last = None;
            while let Ok(output) = store.changed(&subscription, &wake, last.clone()).await {
                last = Some(output);
                if seen.send(0).is_err() {
                    return; // the measurement is over
                }
            }
        });
    }
    everybody(&mut arrivals).await?;
    let before = runs.load(Ordering::SeqCst);
    let (mut from_submission, mut from_answer) = (Latency::new()?, Latency::new()?);
    for rank in 0..commits {
        let start = Instant::now();
        store.mutate(add(rank), None).await?;
        let answered = Instant::now();
        everybody(&mut arrivals).await?;
        from_submission.since(start);
        from_answer.since(answered);
    }
    Ok((runs.load(Ordering::SeqCst) - before, from_submission, from_answer))
}

fn add(rank: u64) -> MutationFn {
    Arc::new(move |tx| {
        let item = Item { id: tx.new_id(), list: "one".to_owned(), rank };
        tx.put(&item)?;
        Ok("null".to_owned())
    })
}

/// The newest fifty, as a page of a list would have them.
fn newest(runs: Arc<AtomicU64>) -> QueryFn {
    Arc::new(move |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        let items = tx.query::<Item>(&INDEXES[0]).eq("one").order(spool_store::Order::Desc).take(50)?;
        Ok(json!(items).to_string())
    })
}
