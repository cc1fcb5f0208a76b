//! One run at one number of streams: start them one after another, measure while all run, let them end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::target::{Kind, Target};
use crate::latency::Latency;
use crate::machine::{Usage, busy_seconds};
use crate::model::{Model, Pace};
use crate::readers::{Readers, Seen};
use crate::server::Metrics;

/// Between two tokens of a stream.
const PERIOD_MS: u64 = 50;
/// Between two beginnings. Two hundred new turns a second are a load of their own.
const BETWEEN_STARTS: Duration = Duration::from_millis(5);
/// From the last beginning to the steady part, and from there to the first end.
const CALM: Duration = Duration::from_secs(1);
/// How long all streams may take to end after their last token.
const ENDING: Duration = Duration::from_secs(90);

/// Runs of the thread list's query.
pub struct Lists {
    pub watched: usize,
    /// Results that arrived at the watchers, beyond the first of each.
    pub results: u64,
    pub during: u64,
    pub in_all: u64,
}

pub struct Point {
    pub streams: usize,
    /// From intended sending to receipt, while all streams run.
    pub steady: Latency,
    /// The same with beginnings and ends.
    whole: Latency,
    /// From the request to the ids, while streams begin.
    sends: Latency,
    lateness: Latency,
    pub tokens: u64,
    bytes: u64,
    seconds: f64,
    cpu: f64,
    generator_cpu: f64,
    /// CPU seconds of everything else on the machine, the network and disk work of the kernel included.
    others_cpu: f64,
    /// CPU seconds that the host of a virtual machine gave to somebody else.
    stolen_cpu: f64,
    pub threads: BTreeMap<String, f64>,
    pub resident_mb: f64,
    counters: Value,
    pub lists: Option<Lists>,
    /// Tokens lost or misplaced, streams that failed.
    pub faults: Vec<String>,
}

pub async fn run(kind: Kind<'_>, data: &Path, streams: usize, seconds: u64) -> Result<Point> {
    let speaking = BETWEEN_STARTS * u32::try_from(streams)? + CALM * 2 + Duration::from_secs(seconds);
    let tokens = u32::try_from(speaking.as_millis())? / PERIOD_MS as u32;
    let model = Model::start(Pace::Steady { tokens }, PERIOD_MS).await?;
    let target = Arc::new(Target::start(kind, data, model.address, streams).await?);
    let followers = Readers::start(target.address(), &model.pacer, tokens)?;
    let at_rest = target.metrics().await?;

    let begun = Instant::now();
    let sends = begin_all(&target, &followers, streams, begun).await?;
    tokio::time::sleep(CALM).await;
    let before = Moment::now(&target, &model).await?;
    let end = begun + speaking - CALM;
    ensure!(end > Instant::now() + CALM, "{streams} streams could not be started in time");
    sleep_until(end.into()).await;
    let after = Moment::now(&target, &model).await?;
    let finish = tokio::time::timeout(ENDING + CALM, followers.finish()).await;
    let seen = finish.context("streams did not end")??;
    let at_end = target.metrics().await?;

    let (mut steady, mut whole) = (Latency::new()?, Latency::new()?);
    for arrival in &seen.arrivals {
        whole.add_us(arrival.late.into());
        if (before.at..after.at).contains(&u64::from(arrival.intended)) {
            steady.add_us(arrival.late.into());
        }
    }
    let (cpu, threads) = after.server.cpu_since(&before.server);
    let (generator_cpu, _) = after.generator.cpu_since(&before.generator);
    let during = (before.metrics.as_ref(), after.metrics.as_ref());
    let lists = match (&at_rest, during, &at_end) {
        (Some(rest), (Some(before), Some(after)), Some(end)) => {
            let runs = |from: &Metrics, to: &Metrics| to.runs("threads:page") - from.runs("threads:page");
            let (watched, results) = target.lists();
            Some(Lists { watched, results, during: runs(before, after), in_all: runs(rest, end) })
        }
        _ => None,
    };
    Ok(Point {
        streams,
        steady,
        whole,
        sends,
        lateness: model.pacer.lateness(),
        tokens: seen.arrivals.len() as u64,
        bytes: seen.bytes,
        seconds: (after.at - before.at) as f64 / 1e6,
        cpu,
        generator_cpu,
        others_cpu: after.busy.0 - before.busy.0 - cpu - generator_cpu,
        stolen_cpu: after.busy.1 - before.busy.1,
        threads,
        resident_mb: after.server.resident_mb,
        counters: counters(during),
        lists,
        faults: faults(&seen, streams, tokens),
    })
}

/// Begins every stream at its time, however long the others take, and hands each to the readers.
async fn begin_all(target: &Arc<Target>, followers: &Readers, streams: usize, begun: Instant) -> Result<Latency> {
    let mut beginnings = JoinSet::new();
    for number in 0..streams {
        let due = begun + BETWEEN_STARTS * u32::try_from(number)?;
        sleep_until(due.into()).await;
        let (target, readers) = (Arc::clone(target), followers.streams.clone());
        beginnings.spawn(async move {
            let start = Instant::now();
            let stream = target.begin(number).await?;
            let took = start.elapsed();
            readers.send(stream).ok().context("the readers are gone")?;
            anyhow::Ok(took)
        });
    }
    let mut sends = Latency::new()?;
    while let Some(begun) = beginnings.join_next().await {
        sends.add(begun??);
    }
    Ok(sends)
}

/// All counters at one time.
struct Moment {
    /// Microseconds since the model's epoch.
    at: u64,
    server: Usage,
    generator: Usage,
    busy: (f64, f64),
    metrics: Option<Metrics>,
}

impl Moment {
    async fn now(target: &Target, model: &Model) -> Result<Self> {
        let metrics = target.metrics().await?;
        let (server, generator) = (target.usage()?, Usage::of(std::process::id())?);
        let at = u64::try_from(model.pacer.epoch.elapsed().as_micros())?;
        Ok(Self { at, server, generator, busy: busy_seconds()?, metrics })
    }
}

/// What the server counted between two moments.
fn counters((before, after): (Option<&Metrics>, Option<&Metrics>)) -> Value {
    let (Some(before), Some(after)) = (before, after) else { return Value::Null };
    let grown = |series: &str| after.value(series) - before.value(series);
    let (commits, jobs) = (grown("spool_store_commits"), grown("spool_store_committed_jobs"));
    json!({
        "commits": commits, "jobs": jobs, "jobs_per_commit": jobs / commits.max(1.0),
        "log_appends": grown("spool_log_appends_total"),
        "live_queries": after.value("spool_live_queries"), "followers": after.value("spool_stream_followers"),
        "lease_renewals": after.runs("driver:renew").saturating_sub(before.runs("driver:renew")),
        "watch_runs": after.runs("driver:watch").saturating_sub(before.runs("driver:watch")),
    })
}

fn faults(seen: &Seen, streams: usize, tokens: u32) -> Vec<String> {
    let expected = streams as u64 * u64::from(tokens);
    let found = seen.arrivals.len() as u64;
    let mut faults = Vec::new();
    if found != expected {
        faults.push(format!("{found} tokens instead of {expected}"));
    }
    if seen.misplaced > 0 {
        faults.push(format!("{} tokens out of place", seen.misplaced));
    }
    if seen.done != streams {
        faults.push(format!("{} of {streams} streams ended well", seen.done));
    }
    if let Some(first) = seen.failures.first() {
        faults.push(format!("{} readers failed, the first with: {first}", seen.failures.len()));
    }
    faults
}

impl Point {
    /// Cores that the server kept busy.
    pub fn cores(&self) -> f64 {
        self.cpu / self.seconds
    }

    pub fn generator_cores(&self) -> f64 {
        self.generator_cpu / self.seconds
    }

    /// Cores that neither the server nor the generator had: other programs, the kernel, the host.
    pub fn other_cores(&self) -> f64 {
        (self.others_cpu + self.stolen_cpu) / self.seconds
    }

    pub fn cpu_us_per_token(&self) -> f64 {
        self.cpu * 1e6 / (self.steady.count() as f64).max(1.0)
    }

    pub fn json(&self) -> Value {
        json!({
            "streams": self.streams, "seconds": self.seconds, "steady": self.steady.json(), "whole": self.whole.json(),
            "tokens": self.tokens, "tokens_per_second": self.steady.count() as f64 / self.seconds,
            "bytes_per_token": self.bytes as f64 / (self.tokens as f64).max(1.0),
            "send_to_id_while_starting": self.sends.json(), "generator_lateness": self.lateness.json(),
            "server_cpu_seconds": self.cpu, "server_cores": self.cores(), "server_cpu_us_per_token": self.cpu_us_per_token(),
            "server_cpu_by_thread": self.threads, "server_resident_mb": self.resident_mb,
            "generator_cpu_seconds": self.generator_cpu, "others_cpu_seconds": self.others_cpu,
            "stolen_cpu_seconds": self.stolen_cpu, "counters": self.counters, "faults": self.faults,
        })
    }
}
