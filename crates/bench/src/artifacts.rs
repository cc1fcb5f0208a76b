//! Documents: a list of a hundred large ones, and one that is streamed while it is written.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Context;
use crate::latency::Latency;
use crate::report::{Report, Row};
use crate::server::{Guest, Server};

/// A list that shows a hundred documents has this long.
const LIST_MS: f64 = 50.0;
/// The last part of a text may take this much longer to write and read than the first.
const LINEAR: f64 = 2.0;
/// What a writer appends at once.
const PIECE_BYTES: usize = 4 << 10;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let directory = context.directory()?;
    let server = Server::start(context.server()?, directory.path(), None).await?;
    let guest = server.guest().await?;
    context.quiet().await?;
    list(context, &server, &guest, report).await?;
    stream(context, &server, &guest, report).await
}

/// Summaries of documents of 10 MB each.
async fn list(context: &Context, server: &Server, guest: &Guest, report: &mut Report) -> Result<()> {
    let (count, bytes) = (context.pick(100, 10), context.pick(10 << 20, 1 << 20));
    eprintln!("artifacts: a list of {count}, each of {bytes} bytes");
    let thread = server.thread(guest).await?;
    let content = "0123456789abcde\n".repeat(bytes / 16);
    for at in 0..count {
        let args = json!({ "threadId": thread, "kind": "report", "title": format!("Report {at}"), "content": content });
        server.mutate(guest, "artifacts:create", args).await?;
    }
    let args = json!({ "threadId": thread, "paginationOpts": { "numItems": count, "cursor": null } });
    let (mut latency, mut answer) = (Latency::new()?, 0);
    for _ in 0..context.pick(200, 20) {
        let start = Instant::now();
        let found = server.query(guest, "artifacts:listByThread", &args).await?;
        latency.since(start);
        answer = found.to_string().len();
        ensure!(found["page"].as_array().map(Vec::len) == Some(count), "the list has not {count} entries");
    }
    report.add(Row {
        name: format!("list of {count} artifacts of {} MiB", bytes >> 20),
        measured: format!("{}, {answer} bytes", latency.text(&[50, 99])),
        against: format!("target < {LIST_MS} ms"),
        ratio: None,
        ok: Some(latency.ms(0.5) < LIST_MS && answer < bytes),
        details: json!({ "latency": latency.json(), "bytes": answer }),
    });
    Ok(())
}

/// A writer appends, a reader follows with a cursor. Both must cost as much at the end as at the beginning, and
/// the reader must get each byte once.
async fn stream(context: &Context, server: &Server, guest: &Guest, report: &mut Report) -> Result<()> {
    let pieces = context.pick(10 << 20, 1 << 20) / PIECE_BYTES;
    eprintln!("artifacts: a text of {} bytes, streamed", pieces * PIECE_BYTES);
    let thread = server.thread(guest).await?;
    let args = json!({ "threadId": thread, "kind": "report", "title": "Streamed" });
    let begun = server.mutate(guest, "artifacts:begin", args).await?;
    let (artifact, version) = (begun["artifactId"].clone(), begun["version"].clone());
    let piece = "0123456789abcde\n".repeat(PIECE_BYTES / 16);
    let named = json!({ "artifactId": artifact, "version": version });
    let with = |more: Value| {
        let mut args = named.clone();
        if let (Some(args), Value::Object(more)) = (args.as_object_mut(), more) {
            args.extend(more);
        }
        args
    };
    let (mut cursor, mut read, mut quarters) = (json!(0), 0, Vec::new());
    let begin = Instant::now();
    let mut quarter = Instant::now();
    for at in 0..pieces {
        let append = with(json!({ "offset": at * PIECE_BYTES, "text": piece }));
        server.mutate(guest, "artifacts:append", append).await?;
        let page = server.query(guest, "artifacts:deltas", &with(json!({ "cursor": cursor }))).await?;
        read += page["text"].as_str().context("deltas without a text")?.len();
        cursor = page["cursor"].clone();
        if (at + 1) % (pieces / 4) == 0 {
            quarters.push(quarter.elapsed().as_secs_f64());
            quarter = Instant::now();
        }
    }
    server.mutate(guest, "artifacts:finish", named.clone()).await?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(read == pieces * PIECE_BYTES, "{read} bytes were read of {}", pieces * PIECE_BYTES);
    let (Some(first), Some(last)) = (quarters.first(), quarters.get(3)) else { anyhow::bail!("too few pieces") };
    let ratio = last / first;
    report.add(Row {
        name: format!("an artifact of {} MiB streamed while it is written", (pieces * PIECE_BYTES) >> 20),
        measured: format!("{seconds:.1} s, the last quarter {ratio:.2} of the first"),
        against: format!("linear: ≤ {LINEAR}"),
        ratio: Some(ratio),
        ok: Some(ratio <= LINEAR),
        details: json!({ "seconds": seconds, "quarters": quarters, "pieces": pieces }),
    });
    Ok(())
}
