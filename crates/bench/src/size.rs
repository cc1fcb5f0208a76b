//! Bytes per token and per message on each wire, and the size of the binary.

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
/// Bytes that one live token may take on each wire, its event and all around it: about a quarter more than it does,
/// so that a field more is no fault and text that is sent twice is.
const MOST: [(&str, f64); 3] = [("plain events", 85.0), ("AI SDK", 110.0), ("Durable Streams", 220.0)];
const MOST_SYNC: f64 = 1_150.0;
/// Three queries, of which one moves on with every token, and the message once more at its end.
const MOST_LISTED: f64 = 3_000.0;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("size: bytes per token and per message, size of the binary");
    let binary = context.server()?;
    let tokens = context.pick(200, 40);
    let model = Model::start(Pace::Steady { tokens }, 50).await?;
    let directory = context.directory()?;
    let server = Server::start(binary, directory.path(), Some(model.address)).await?;
    let guest = server.guest().await?;

    for (wire, most) in MOST {
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
        add(report, wire, tokens, seen.bytes, most, json!({}));
    }

    let (_, generation) = begin(&server, &guest).await?;
    let reading = deltas(&server, &guest, &generation, tokens);
    let (read, written, results) = tokio::time::timeout(PATIENCE, reading).await??;
    let details = json!({ "results": results, "read": read, "written": written });
    let wire = "sync socket, deltas with a moving cursor, both ways";
    add(report, wire, tokens, read + written, MOST_SYNC, details);

    let (thread, generation) = begin(&server, &guest).await?;
    let reading = listed(&server, &guest, &thread, &generation);
    let (read, written, once) = tokio::time::timeout(PATIENCE, reading).await??;
    let details = json!({ "read": read, "written": written });
    let wire = "sync socket, messages:listMessages as the hooks ask, both ways";
    add(report, wire, tokens, read + written, MOST_LISTED, details);
    report.add(per_message("sync socket, messages:listMessages once it is complete, both ways", tokens, once));

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

/// Notes what an answer of so many tokens took, which may be `most` bytes for each.
fn add(report: &mut Report, wire: &str, tokens: u32, bytes: u64, most: f64, details: Value) {
    let each = bytes as f64 / f64::from(tokens);
    report.add(Row {
        name: format!("bytes per token of {TOKEN_BYTES} characters, {wire}"),
        measured: format!("{each:.0}"),
        against: "–".to_owned(),
        ratio: None,
        ok: None,
        details,
    });
    report.add(per_message(wire, tokens, bytes));
    let name = format!("ST-04: a live token of {TOKEN_BYTES} bytes takes at most {most:.0} bytes, {wire}");
    report.check(&name, each <= most, format!("{each:.1}"));
}

fn per_message(wire: &str, tokens: u32, bytes: u64) -> Row {
    Row {
        name: format!("bytes per message of {} characters, {wire}", tokens as usize * TOKEN_BYTES),
        measured: bytes.to_string(),
        against: "–".to_owned(),
        ratio: None,
        ok: None,
        details: json!({ "tokens": tokens }),
    }
}

/// Bytes read and written so far.
fn counted(socket: &Sync) -> (u64, u64) {
    (socket.wire.read.load(Ordering::Relaxed), socket.wire.written.load(Ordering::Relaxed))
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

/// Reads a whole answer as `useUIMessages` does: a page of messages, the list of running answers, and their deltas
/// from a cursor that moves on. Returns the bytes read and written until the page has the complete message, and
/// the bytes that this page alone takes, both ways, for a client that comes then.
async fn listed(server: &Server, guest: &Guest, thread: &str, generation: &str) -> Result<(u64, u64, u64)> {
    const QUERY: &str = "messages:listMessages";
    let (messages, streams, mut deltas) = (0, 1, 2);
    let page = |number: u32| json!({ "numItems": number, "cursor": null });
    let whole = json!({ "threadId": thread, "paginationOpts": page(10) });
    let of = |what: Value| json!({ "threadId": thread, "paginationOpts": page(0), "streamArgs": what });
    let from =
        |cursor: &Value| of(json!({ "kind": "deltas", "cursors": [{ "streamId": generation, "cursor": cursor }] }));
    let mut socket = Sync::connect(server.address(), guest).await?;
    let before = counted(&socket);
    socket.ask(None, messages, QUERY, &whole).await?;
    socket.ask(None, streams, QUERY, &of(json!({ "kind": "list", "startOrder": 0 }))).await?;
    socket.ask(None, deltas, QUERY, &from(&json!(0))).await?;
    'reading: loop {
        for (id, result) in socket.results().await? {
            let newest = &result["page"][0];
            if id == messages && newest["role"] == "assistant" && newest["status"] == "success" {
                break 'reading;
            }
            if id == deltas
                && let Some(last) = result["streams"]["deltas"].as_array().and_then(|found| found.last())
            {
                deltas += 1;
                socket.ask(Some(id), deltas, QUERY, &from(&last["end"])).await?;
            }
        }
    }
    let after = counted(&socket);
    let mut late = Sync::connect(server.address(), guest).await?;
    let begun = counted(&late);
    late.ask(None, messages, QUERY, &whole).await?;
    late.results().await?;
    let had = counted(&late);
    Ok((after.0 - before.0, after.1 - before.1, had.0 - begun.0 + had.1 - begun.1))
}
