//! From sending a message to having its ids: one client over HTTP, a fresh thread each time.
//!
//! Once at the pace of twenty messages a second, when the former turn is over, and once without pauses.
//! The raw limit answers the same request after committing as many rows.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::Context;
use crate::latency::Latency;
use crate::model::{Model, Pace};
use crate::report::{Report, Row};
use crate::server::{Guest, Process, Server, client};

const TARGET_P50_MS: f64 = 5.0;
/// Between two messages of the paced client.
const PAUSE: Duration = Duration::from_millis(50);

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("send: message → ids, one client");
    let model = Model::start(Pace::AtOnce { tokens: 1 }, 50).await?;
    let directory = context.directory()?;
    let server = Server::start(context.server()?, directory.path(), Some(model.address)).await?;
    let guest = server.guest().await?;
    let rounds = context.pick(400, 50);
    for (name, pause) in [("one at a time", PAUSE), ("back to back", Duration::ZERO)] {
        context.quiet().await?;
        let raw = raw(context, &model, rounds, pause).await?;
        let own = own(&server, &guest, rounds, pause).await?;
        report.add(Row {
            name: format!("send → id, {name}"),
            measured: own.text(&[50, 99, 100]),
            against: format!("raw limit {}, target p50 < 5", raw.text(&[50, 99])),
            ratio: Some(raw.ms(0.5) / own.ms(0.5)),
            ok: Some(own.ms(0.5) < TARGET_P50_MS),
            details: json!({ "pause_ms": pause.as_millis() as u64, "own": own.json(), "raw": raw.json() }),
        });
    }
    Ok(())
}

async fn own(server: &Server, guest: &Guest, rounds: usize, pause: Duration) -> Result<Latency> {
    let mut threads = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        threads.push(server.thread(guest).await?);
    }
    let mut latency = Latency::new()?;
    for thread in threads {
        tokio::time::sleep(pause).await;
        let args = json!({ "threadId": thread, "text": "What is the shortest way from here to there?" });
        let start = Instant::now();
        let sent = server.mutate(guest, "turns:send", args).await?;
        latency.since(start);
        ensure!(sent["generationId"].is_string(), "turns:send answered {sent}");
    }
    Ok(latency)
}

async fn raw(context: &Context, model: &Model, rounds: usize, pause: Duration) -> Result<Latency> {
    let directory = context.directory()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("limit").arg("--data").arg(directory.path()).args(["--model", &model.address.to_string()]);
    let process = Process::start(&mut command)?;
    let (http, url) = (client()?, format!("http://{}/send", process.address));
    let document = "x".repeat(500);
    let mut latency = Latency::new()?;
    for _ in 0..rounds {
        tokio::time::sleep(pause).await;
        let start = Instant::now();
        let answer = http.post(&url).body(document.clone()).send().await?;
        answer.error_for_status()?.text().await?;
        latency.since(start);
    }
    Ok(latency)
}
