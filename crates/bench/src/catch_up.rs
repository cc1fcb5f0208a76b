//! A reader that comes when an answer of 10,000 pieces is there: how long until it has everything, and how
//! many bytes that takes on each wire.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::Context;
use crate::latency::Latency;
use crate::model::{Model, Pace};
use crate::pacer::TOKEN_BYTES;
use crate::readers::{Ask, open};
use crate::report::{Report, Row};
use crate::server::{Guest, Server};
use crate::sync::Sync;

const TARGET_MS: f64 = 30.0;
/// Bytes on the wire for each byte of text.
const TARGET_BYTES: f64 = 1.5;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let pieces: u32 = context.pick(10_000, 2_000);
    eprintln!("catch-up: {pieces} pieces of {TOKEN_BYTES} bytes");
    let model = Model::start(Pace::Steady { tokens: pieces + 60_000 }, 1).await?;
    let directory = context.directory()?;
    let server = Server::start(context.server()?, directory.path(), Some(model.address)).await?;
    let guest = server.guest().await?;
    let thread = server.thread(&guest).await?;
    let sent = server.mutate(&guest, "turns:send", json!({ "threadId": thread, "text": "Count." })).await?;
    let generation = sent["generationId"].as_str().with_context(|| format!("turns:send answered {sent}"))?.to_owned();
    let wanted = pieces as usize * TOKEN_BYTES;
    let progress = json!({ "generationId": generation });
    while server.query(&guest, "generations:get", &progress).await?["cursor"].as_u64().unwrap_or(0) < wanted as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.mutate(&guest, "generations:stop", progress).await?;
    context.quiet().await?;
    for (wire, path) in [
        ("plain events", format!("/api/stream/{generation}?offset=0")),
        ("AI SDK", format!("/api/chat/{thread}/stream?activeStreamId={generation}")),
        ("Durable Streams", format!("/v1/stream/generations/{generation}?offset=-1&live=sse")),
    ] {
        let (mut latency, mut bytes, mut text) = (Latency::new()?, 0, 0);
        for _ in 0..context.pick(30, 5) {
            let start = Instant::now();
            (bytes, text) = read(server.address(), &guest, &path).await?;
            latency.since(start);
        }
        ensure!(text >= wanted, "{wire}: {text} bytes of text instead of {wanted}");
        add(report, wire, &latency, bytes as f64 / text as f64, pieces);
    }
    let (mut latency, mut factor) = (Latency::new()?, 0.0);
    for _ in 0..context.pick(30, 5) {
        let start = Instant::now();
        factor = deltas(&server, &guest, &generation, wanted).await?;
        latency.since(start);
    }
    add(report, "sync socket, generations:deltas", &latency, factor, pieces);
    Ok(())
}

fn add(report: &mut Report, wire: &str, latency: &Latency, factor: f64, pieces: u32) {
    // Bytes are the same on every machine, times are not.
    let name = format!("ST-04: catching up on {wire} takes at most {TARGET_BYTES} bytes for a byte of text");
    report.check(&name, factor <= TARGET_BYTES, format!("{factor:.3}"));
    report.add(Row {
        name: format!("catch-up of {pieces} pieces, {wire}"),
        measured: format!("{}, {factor:.2} bytes per byte of text", latency.text(&[50, 99])),
        against: format!("target < {TARGET_MS} ms"),
        ratio: None,
        ok: Some(latency.ms(0.5) < TARGET_MS),
        details: json!({ "latency": latency.json(), "bytes_per_byte": factor }),
    });
}

/// Reads a whole event stream; the bytes on the wire and those of the text in it.
async fn read(address: SocketAddr, guest: &Guest, path: &str) -> Result<(usize, usize)> {
    let ask = Ask::Events { path: path.to_owned(), token: Some(guest.token.clone()) };
    let mut buffer = Vec::with_capacity(1 << 20);
    let mut stream = open(address, &ask, &mut buffer).await?;
    while stream.read_buf(&mut buffer).await? > 0 {}
    let marks = buffer.iter().filter(|byte| **byte == crate::pacer::MARK).count();
    Ok((buffer.len(), marks * TOKEN_BYTES))
}

/// Reads page after page, as a client with a cursor does; bytes read per byte of text.
async fn deltas(server: &Server, guest: &Guest, generation: &str, wanted: usize) -> Result<f64> {
    let mut socket = Sync::connect(server.address(), guest).await?;
    let before = socket.wire.read.load(Ordering::Relaxed);
    let (mut cursor, mut query, mut text) = (json!(0), 0_u32, 0);
    loop {
        let args = json!({ "generationId": generation, "cursor": cursor });
        socket.ask(query.checked_sub(1), query, "generations:deltas", &args).await?;
        let result = loop {
            let (id, result) = socket.result().await?;
            if id == query {
                break result;
            }
        };
        let events = result["events"].as_array().context("deltas without events")?;
        text += events.iter().filter_map(|event| event["text"].as_str()).map(str::len).sum::<usize>();
        if events.iter().any(|event| event["type"] == "status") {
            break;
        }
        cursor = result["cursor"].clone();
        query += 1;
    }
    ensure!(text >= wanted, "{text} bytes of text instead of {wanted}");
    Ok((socket.wire.read.load(Ordering::Relaxed) - before) as f64 / text as f64)
}
