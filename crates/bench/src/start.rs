//! From starting the process to the first request that it serves: an empty store, and a large one.
//!
//! Every start follows a `kill -9`. The large store is also started with its file out of the page cache.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::Context;
use crate::fill::fill;
use crate::latency::{Latency, median};
use crate::report::{Report, Row};
use crate::server::Server;

const TARGET_EMPTY_MS: f64 = 1_000.0;
const TARGET_LARGE_MS: f64 = 2_000.0;
const MESSAGES_PER_THREAD: u64 = 100;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("start: process → ready");
    let binary = context.server()?;
    let rounds = context.pick(7, 2);
    context.quiet().await?;
    let bare = bare(binary, rounds)?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let directory = context.directory()?;
        times.push(ready_ms(binary, directory.path()).await?);
    }
    add(report, "start → ready, empty store", &times, TARGET_EMPTY_MS, bare);

    let messages: u64 = context.pick(1_000_000, 50_000);
    let directory = context.directory()?;
    let begun = Instant::now();
    let file = fill(directory.path(), messages, MESSAGES_PER_THREAD).await?;
    let megabytes = std::fs::metadata(&file)?.len() >> 20;
    eprintln!("  {megabytes} MB in {:.0} s", begun.elapsed().as_secs_f64());
    context.quiet().await?;
    let (mut warm, mut cold) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        warm.push(ready_ms(binary, directory.path()).await?);
    }
    for _ in 0..rounds {
        if forget(&file) {
            cold.push(ready_ms(binary, directory.path()).await?);
        }
    }
    add(report, &format!("start → ready, {messages} messages ({megabytes} MB)"), &warm, TARGET_LARGE_MS, bare);
    if !cold.is_empty() {
        add(report, &format!("start → ready, {messages} messages, cold file"), &cold, TARGET_LARGE_MS, bare);
    }
    Ok(())
}

async fn ready_ms(binary: &Path, data: &Path) -> Result<f64> {
    let server = Server::start(binary, data, None).await?;
    Ok(server.ready_after.as_secs_f64() * 1000.0)
}

fn add(report: &mut Report, name: &str, times: &[f64], target: f64, bare: f64) {
    let middle = median(times.to_vec());
    let most = times.iter().copied().fold(0.0, f64::max);
    report.add(Row {
        name: name.to_owned(),
        measured: format!("{middle:.0} ms (most {most:.0})"),
        against: format!("a process that only says its version {bare:.0} ms, target < {target:.0}"),
        ratio: None,
        ok: Some(middle < target),
        details: json!({ "ms": times, "version_ms": bare }),
    });
}

/// The raw limit: the same binary, doing nothing.
fn bare(binary: &Path, rounds: usize) -> Result<f64> {
    let mut latency = Latency::new()?;
    for _ in 0..rounds {
        let start = Instant::now();
        let status = Command::new(binary).arg("--version").stdout(Stdio::null()).status();
        status.with_context(|| format!("starting {}", binary.display()))?;
        latency.since(start);
    }
    Ok(latency.ms(0.5))
}

/// Drops a file from the page cache; GNU dd can, without rights. False where it cannot.
fn forget(file: &Path) -> bool {
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", file.display())).args(["iflag=nocache", "count=0"]);
    let status = dd.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
