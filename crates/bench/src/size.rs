//! Bytes per token on each wire, and the size of the binary.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Context;
use crate::model::{Model, Pace};
use crate::pacer::{MARK, TOKEN_BYTES};
use crate::readers::{Ask, Readers};
use crate::report::{Report, Row};
use crate::server::{Guest, Server};
use crate::sync::Sync;

const TARGET_MB: f64 = 40.0;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("size: bytes per token, size of the binary");
    let binary = context.server()?;
    let tokens = context.pick(200, 40);
    let model = Model::start(Pace::Steady { tokens }, 50).await?;
    let directory = context.directory()?;
    let server = Server::start(binary, directory.path(), Some(model.address)).await?;
    let guest = server.guest().await?;

    for wire in ["plain events", "AI SDK", "Durable Streams"] {
        let (thread, generation) = begin(&server, &guest).await?;
        let path = match wire {
            "plain events" => format!("/api/stream/{generation}"),
            "AI SDK" => format!("/api/chat/{thread}/stream?activeStreamId={generation}"),
            _ => format!("/v1/stream/generations/{generation}?offset=-1&live=sse"),
        };
        let readers = Readers::start(server.address(), &model.pacer, tokens)?;
        readers.add(Ask::Events { path, token: Some(guest.token.clone()) })?;
        let seen = tokio::time::timeout(PATIENCE, readers.finish()).await??;
        ensure!(seen.arrivals.len() == tokens as usize, "{} of {tokens} tokens came by {wire}", seen.arrivals.len());
        add(report, wire, seen.bytes as f64 / f64::from(tokens), json!({ "tokens": tokens }));
    }

    let (_, generation) = begin(&server, &guest).await?;
    let reading = deltas(&server, &guest, &generation, tokens);
    let (read, written, results) = tokio::time::timeout(PATIENCE, reading).await??;
    let each = f64::from(tokens);
    let details = json!({ "tokens": tokens, "results": results, "read_per_token": read as f64 / each,
        "written_per_token": written as f64 / each });
    add(report, "sync socket, deltas with a moving cursor, both ways", (read + written) as f64 / each, details);

    let megabytes = std::fs::metadata(binary)?.len() as f64 / 1e6;
    report.add(Row {
        name: "size of the binary".to_owned(),
        measured: format!("{megabytes:.1} MB"),
        against: format!("target < {TARGET_MB} MB"),
        ratio: None,
        ok: Some(megabytes < TARGET_MB),
        details: Value::Null,
    });
    Ok(())
}

fn add(report: &mut Report, wire: &str, bytes: f64, details: Value) {
    report.add(Row {
        name: format!("bytes per token of {TOKEN_BYTES} characters, {wire}"),
        measured: format!("{bytes:.0}"),
        against: "–".to_owned(),
        ratio: None,
        ok: None,
        details,
    });
}

/// Ids of a thread and of the answer that has begun in it.
async fn begin(server: &Server, guest: &Guest) -> Result<(String, String)> {
    let thread = server.thread(guest).await?;
    let sent = server.mutate(guest, "turns:send", json!({ "threadId": thread, "text": "Please count." })).await?;
    let generation = sent["generationId"].as_str().map(str::to_owned);
    Ok((thread, generation.with_context(|| format!("turns:send answered {sent}"))?))
}

/// Reads a whole answer as a client does that moves its cursor on with every result. Returns the bytes
/// read and written after sign-in, and the number of results.
async fn deltas(server: &Server, guest: &Guest, generation: &str, tokens: u32) -> Result<(u64, u64, u32)> {
    const QUERY: &str = "generations:deltas";
    let mut socket = Sync::connect(server.address(), guest).await?;
    let counted =
        |socket: &Sync| (socket.wire.read.load(Ordering::Relaxed), socket.wire.written.load(Ordering::Relaxed));
    let before = counted(&socket);
    let mut args = json!({ "generationId": generation, "cursor": 0 });
    socket.ask(None, 0, QUERY, &args).await?;
    let (mut heard, mut results, mut query) = (0, 0, 0);
    loop {
        let (id, result) = socket.result().await?;
        if id != query {
            continue; // of a cursor that was left behind
        }
        results += 1;
        let events = result["events"].as_array().context("deltas without events")?;
        let texts = events.iter().filter_map(|event| event["text"].as_str());
        heard += texts.flat_map(str::bytes).filter(|byte| *byte == MARK).count();
        if events.iter().any(|event| event["type"] == "status") {
            break;
        }
        if !events.is_empty() {
            args["cursor"] = result["cursor"].clone();
            query += 1;
            socket.ask(Some(query - 1), query, QUERY, &args).await?;
        }
    }
    ensure!(heard == tokens as usize, "{heard} of {tokens} tokens came by the sync socket");
    let after = counted(&socket);
    Ok((after.0 - before.0, after.1 - before.1, results))
}
