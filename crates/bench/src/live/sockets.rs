//! The same through a real server: a thousand sync sockets of one user, all with the same thread list.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::sync::mpsc;

use super::{SUBSCRIBERS, everybody};
use crate::Context;
use crate::latency::Latency;
use crate::report::{Report, Row};
use crate::server::{Guest, Server};
use crate::sync::Sync;

const QUERY: &str = "threads:page";

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let directory = context.directory()?;
    let server = Server::start(context.server()?, directory.path(), None).await?;
    let guest = server.guest().await?;
    let thread = server.thread(&guest).await?;
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    for _ in 0..SUBSCRIBERS {
        let mut socket = Sync::connect(server.address(), &guest).await?;
        socket.ask(None, 0, QUERY, &json!({ "paginationOpts": { "numItems": 20, "cursor": null } })).await?;
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Ok((id, _)) = socket.result().await {
                if seen.send(u64::from(id)).is_err() {
                    return;
                }
            }
        });
    }
    everybody(&mut arrivals).await?;
    let commits = context.pick(100, 10);
    let before = server.metrics().await?;
    let (mut from_submission, mut from_answer) = (Latency::new()?, Latency::new()?);
    let cpu_before = server.process.usage()?;
    for round in 0..commits {
        let start = Instant::now();
        rename(&server, &guest, &thread, round).await?;
        let answered = Instant::now();
        everybody(&mut arrivals).await?;
        from_submission.since(start);
        from_answer.since(answered);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (cpu, _) = server.process.usage()?.cpu_since(&cpu_before);
    let runs = server.metrics().await?.runs(QUERY) - before.runs(QUERY);
    report.check(
        "a commit runs the thread list of 1,000 sync sockets once",
        runs == commits,
        format!("{runs} runs, {commits} commits"),
    );
    report.add(Row {
        name: format!("thread list, {SUBSCRIBERS} sync sockets: sent → last has it"),
        measured: from_submission.text(&[50, 99]),
        against: "–".to_owned(),
        ratio: None,
        ok: None,
        details: json!({ "commits": commits, "runs_per_commit": runs as f64 / commits as f64,
            "from_submission": from_submission.json(), "from_answer": from_answer.json(),
            "server_cpu_us_per_delivery": cpu * 1e6 / (commits as f64 * SUBSCRIBERS as f64) }),
    });
    Ok(())
}

async fn rename(server: &Server, guest: &Guest, thread: &str, round: u64) -> Result<()> {
    let args = json!({ "threadId": thread, "title": format!("Title {round}") });
    server.mutate(guest, "threads:update", args).await.map(drop).context("renaming a thread")
}
