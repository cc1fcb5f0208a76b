//! Durable appends over the network: producers that wait for each answer, each on a stream of its own. So the
//! loop is closed: a slow server is asked less, and the latencies say nothing of what would have waited.
//!
//! Spool and the Node reference speak Durable Streams, Redis its own protocol, and the bare limit commits to
//! SQLite behind the least HTTP there is. All are durable before they answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Context;
use crate::fanout::peers::missing;
use crate::fanout::target::{Kind, Target};
use crate::latency::Latency;
use crate::machine::Usage;
use crate::report::{Report, Row};

const PRODUCERS: usize = 64;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let seconds = context.pick(10, 2);
    eprintln!("ingest: {PRODUCERS} producers, {seconds} s");
    let spool = Kind::Spool(context.server()?);
    let mut limit = None;
    for kind in [Kind::Broadcast, spool, Kind::Redis, Kind::Node] {
        if let Some(reason) = missing(kind) {
            eprintln!("  without {kind}: {reason}");
            continue;
        }
        context.quiet().await?;
        let directory = context.directory()?;
        let target = Target::start(kind, directory.path(), 1, 50, PRODUCERS).await?;
        let measured = run(&target, seconds).await?;
        let limit = *limit.get_or_insert(measured.per_second);
        report.add(Row {
            name: format!("durable appends, {PRODUCERS} producers, {kind}"),
            measured: format!(
                "{:.0}/s, {:.0} per CPU s, {}",
                measured.per_second,
                measured.per_cpu_second,
                measured.latency.text(&[50, 99])
            ),
            against: "bare limit".to_owned(),
            ratio: Some(measured.per_second / limit),
            ok: None,
            details: json!({ "per_second": measured.per_second, "per_cpu_second": measured.per_cpu_second,
                "latency": measured.latency.json() }),
        });
    }
    Ok(())
}

struct Measured {
    per_second: f64,
    per_cpu_second: f64,
    latency: Latency,
}

async fn run(target: &Target, seconds: u64) -> Result<Measured> {
    let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        let request = target.append(number).await?;
        let (address, done, over) = (target.address(), Arc::clone(&done), Arc::clone(&over));
        producers.spawn(async move { produce(address, &request, &done, &over).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let count =
        || -> Result<(u64, Usage, Instant)> { Ok((done.load(Ordering::Relaxed), target.usage()?, Instant::now())) };
    let before = count()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = count()?;
    over.store(true, Ordering::Relaxed);
    let mut latency = Latency::new()?;
    while let Some(ended) = producers.join_next().await {
        latency.join(&ended??);
    }
    let appended = (after.0 - before.0) as f64;
    let (cpu, _) = after.1.cpu_since(&before.1);
    Ok(Measured {
        per_second: appended / (after.2 - before.2).as_secs_f64(),
        per_cpu_second: appended / cpu.max(0.01),
        latency,
    })
}

async fn produce(address: SocketAddr, request: &[u8], done: &AtomicU64, over: &AtomicBool) -> Result<Latency> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut latency, mut answer) = (Latency::new()?, Vec::with_capacity(4096));
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        answer.clear();
        stream.write_all(request).await?;
        // Redis answers with the id in two lines, HTTP without a body.
        let end: &[u8] = if request.starts_with(b"*") { b"\r\n" } else { b"\r\n\r\n" };
        let lines = if request.starts_with(b"*") { 2 } else { 1 };
        while answer.windows(end.len()).filter(|window| *window == end).count() < lines {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the connection was closed");
        }
        let accepted = answer.starts_with(b"HTTP/1.1 20") || answer.starts_with(b"$");
        ensure!(accepted, "an append was refused: {}", String::from_utf8_lossy(&answer));
        latency.since(start);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(latency)
}

/// A `POST` of `body` to `path`.
pub fn post(address: SocketAddr, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{token}Content-Type: text/plain\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Makes a stream of plain text.
pub async fn create(http: &reqwest::Client, address: SocketAddr, path: &str, token: Option<&str>) -> Result<()> {
    let mut made = http.put(format!("http://{address}{path}")).header("content-type", "text/plain");
    if let Some(token) = token {
        made = made.bearer_auth(token);
    }
    made.send().await?.error_for_status().with_context(|| format!("PUT {path}"))?;
    Ok(())
}
