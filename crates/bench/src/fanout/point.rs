//! One target at one point: connect all readers, measure while all streams speak, count what arrived.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::target::{Kind, Target};
use crate::latency::Latency;
use crate::machine::{Usage, busy_seconds};
use crate::pacer::TOKEN_BYTES;
use crate::readers::{Readers, Seen};

/// From the last connection to the measured part, and from there to the end.
const CALM: Duration = Duration::from_secs(1);
/// What one connection and one stream may take until it runs.
const PER_READER: Duration = Duration::from_millis(2);
const PER_STREAM: Duration = Duration::from_millis(6);
/// How long readers may take after the last token: one that is so far behind does not keep up.
const ENDING: Duration = Duration::from_secs(10);

pub struct Point {
    pub name: &'static str,
    pub streams: usize,
    /// Tokens per second of each stream.
    pub rate: u64,
    /// Readers of each stream.
    pub readers: usize,
    pub p99_ms: Option<f64>,
    /// Deliveries per CPU second, against the bare limit and against Redis.
    pub of_limit: Option<f64>,
    pub of_redis: Option<f64>,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} streams × {}/s × {} readers", self.streams, self.rate, self.readers)
    }
}

pub struct Measured {
    kind: String,
    /// From intended sending to receipt, in the measured part.
    pub steady: Latency,
    lateness: Latency,
    pub deliveries: u64,
    bytes: u64,
    seconds: f64,
    cpu: f64,
    threads: BTreeMap<String, f64>,
    generator_cpu: f64,
    others_cpu: f64,
    resident_mb: f64,
    /// Tokens lost or misplaced, readers that failed.
    pub faults: Vec<String>,
}

pub async fn run(kind: Kind<'_>, data: &Path, point: &Point, seconds: u64) -> Result<Measured> {
    let all = point.streams * point.readers;
    let connecting = PER_READER * u32::try_from(all)? + PER_STREAM * u32::try_from(point.streams)?;
    let speaking = connecting + CALM * 2 + Duration::from_secs(seconds);
    let period_ms = 1000 / point.rate;
    let tokens = u32::try_from(speaking.as_millis() / u128::from(period_ms))?;
    let mut target = Target::start(kind, data, tokens, period_ms, point.streams).await?;
    let readers = Readers::start(target.address(), target.pacer(), tokens)?;

    let begun = Instant::now();
    for stream in 0..point.streams {
        let ask = target.open(stream).await?;
        for _ in 0..point.readers {
            readers.add(ask.clone())?;
        }
    }
    if !target.speaks_when_opened() {
        all_listen(&readers, all, Duration::from_secs(60)).await?;
    }
    let spoken = if target.speaks_when_opened() { begun } else { Instant::now() };
    for stream in 0..point.streams {
        target.begin(stream).await?;
    }
    let end = spoken + speaking - CALM;
    all_listen(&readers, all, end.saturating_duration_since(Instant::now())).await?;
    let start = end - Duration::from_secs(seconds);
    tokio::time::sleep_until(start.into()).await;
    let before = Moment::now(&target)?;
    ensure!(Instant::now() + CALM < end, "not all readers were there in time");
    tokio::time::sleep_until(end.into()).await;
    let after = Moment::now(&target)?;
    let finished = tokio::time::timeout(CALM * 2 + ENDING, readers.finish()).await;
    // Readers that are too far behind stay where they are: their thread ends with the target.
    let (seen, behind) = match finished {
        Ok(seen) => (seen?, None),
        Err(_) => (Seen::default(), Some(format!("does not keep up: readers are behind by {ENDING:?} or more"))),
    };

    let mut steady = Latency::new()?;
    for arrival in &seen.arrivals {
        if (before.at..after.at).contains(&u64::from(arrival.intended)) {
            steady.add_us(arrival.late.into());
        }
    }
    let (cpu, threads) = after.server.cpu_since(&before.server);
    let (generator_cpu, _) = after.generator.cpu_since(&before.generator);
    Ok(Measured {
        kind: kind.to_string(),
        steady,
        lateness: target.pacer().lateness(),
        deliveries: seen.arrivals.len() as u64,
        bytes: seen.bytes,
        seconds: (after.at - before.at) as f64 / 1e6,
        cpu,
        threads,
        generator_cpu,
        others_cpu: after.busy.0 + after.busy.1 - before.busy.0 - before.busy.1 - cpu - generator_cpu,
        resident_mb: after.server.resident_mb,
        faults: behind.into_iter().chain(faults(&seen, all as u64 * u64::from(tokens))).collect(),
    })
}

async fn all_listen(readers: &Readers, all: usize, patience: Duration) -> Result<()> {
    let waiting = async {
        while readers.listening() < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let there = tokio::time::timeout(patience, waiting).await;
    there.with_context(|| format!("{} of {all} readers could connect", readers.listening()))
}

struct Moment {
    /// Microseconds since the pacer's epoch.
    at: u64,
    server: Usage,
    generator: Usage,
    busy: (f64, f64),
}

impl Moment {
    fn now(target: &Target) -> Result<Self> {
        let (server, generator) = (target.usage()?, Usage::of(std::process::id())?);
        let at = u64::try_from(target.pacer().epoch.elapsed().as_micros())?;
        Ok(Self { at, server, generator, busy: busy_seconds()? })
    }
}

fn faults(seen: &Seen, expected: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let found = seen.arrivals.len() as u64;
    if found != expected {
        faults.push(format!("{found} tokens instead of {expected}"));
    }
    if seen.misplaced > 0 {
        faults.push(format!("{} tokens out of place", seen.misplaced));
    }
    if let Some(first) = seen.failures.first() {
        faults.push(format!("{} readers failed, the first with: {first}", seen.failures.len()));
    }
    faults
}

impl Measured {
    pub fn per_cpu_second(&self) -> f64 {
        self.steady.count() as f64 / self.cpu.max(0.01)
    }

    fn bytes_per_token(&self) -> f64 {
        self.bytes as f64 / (self.deliveries as f64).max(1.0)
    }

    pub fn text(&self) -> String {
        let per_second = self.steady.count() as f64 / self.seconds;
        format!(
            "{:.0}/s, {:.0} per CPU s, {}, server {:.2} cores, {:.0} MB, generator {:.2}, others {:.2}",
            per_second,
            self.per_cpu_second(),
            self.steady.text(&[50, 99, 100]),
            self.cpu / self.seconds,
            self.resident_mb,
            self.generator_cpu / self.seconds,
            self.others_cpu / self.seconds,
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "target": self.kind, "seconds": self.seconds, "latency": self.steady.json(),
            "generator_lateness": self.lateness.json(), "deliveries": self.deliveries,
            "deliveries_per_cpu_second": self.per_cpu_second(), "bytes_per_token": self.bytes_per_token(),
            "payload_bytes_per_token": TOKEN_BYTES, "server_cpu_seconds": self.cpu,
            "server_cpu_by_thread": self.threads, "server_resident_mb": self.resident_mb,
            "generator_cpu_seconds": self.generator_cpu, "others_cpu_seconds": self.others_cpu, "faults": self.faults,
        })
    }
}
