//! From a token of the model to its reader, at many streams at once, against the smallest program that
//! commits and delivers the same (`limit`). And beside it: that no thread list is evaluated meanwhile.
//!
//! The model speaks on an open-loop schedule and every token carries its intended time, so whatever waits
//! anywhere is counted. The numbers are those of the steady part: all streams run, none begins or ends.

pub mod limit;
mod point;
mod target;

use anyhow::Result;
use serde_json::json;

use crate::Context;
use crate::machine::NOISE_CORES;
use crate::report::{Report, Row};
use point::Point;
use target::Kind;

/// PX-01, at this many streams and for all below.
const STREAMS: usize = 1_000;
const TARGET_P50_MS: f64 = 5.0;
const TARGET_P99_MS: f64 = 50.0;
/// Measurements of one point, where others are on the machine.
const ATTEMPTS: usize = 4;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let server = context.server()?;
    let seconds = context.pick(20, 4);
    let most = context.streams.iter().copied().max().unwrap_or(0);
    for &streams in &context.streams {
        eprintln!("tokens: {streams} streams of 20 tokens/s, {seconds} s");
        let raw = run(context, Kind::Limit { window_ms: 0 }, streams, seconds).await?;
        add_limit(report, &raw, "commits what waits");
        let own = run(context, Kind::Spool(server), streams, seconds).await?;
        add_own(report, &own, &raw);
        if streams == most {
            let raw = run(context, Kind::Limit { window_ms: 25 }, streams, seconds).await?;
            add_limit(report, &raw, "commits every 25 ms");
        }
    }
    Ok(())
}

/// Measures again if others were on the machine meanwhile, a few times at most.
async fn run(context: &Context, kind: Kind<'_>, streams: usize, seconds: u64) -> Result<Point> {
    for attempt in 1.. {
        context.quiet().await?;
        let directory = context.directory()?;
        let point = point::run(kind, directory.path(), streams, seconds).await?;
        if point.other_cores() < NOISE_CORES || attempt == ATTEMPTS || context.noisy {
            return Ok(point);
        }
        eprintln!("  {:.2} cores were busy with something else: once more", point.other_cores());
    }
    anyhow::bail!("no attempt was made")
}

fn add_limit(report: &mut Report, point: &Point, how: &str) {
    report.add(Row {
        name: format!("raw limit, {} streams, {how}", point.streams),
        measured: point.steady.text(&[50, 90, 99, 100]),
        against: "–".to_owned(),
        ratio: None,
        ok: None,
        details: point.json(),
    });
    if !point.faults.is_empty() {
        report.check("the raw limit delivers every token", false, point.faults.join("; "));
    }
}

fn add_own(report: &mut Report, own: &Point, raw: &Point) {
    let streams = own.streams;
    let target = streams <= STREAMS;
    let (p50, p99) = (own.steady.ms(0.5), own.steady.ms(0.99));
    let mut details = own.json();
    details["limit"] = raw.json();
    report.add(Row {
        name: format!("token → subscriber, {streams} streams × 20/s"),
        measured: own.steady.text(&[50, 90, 99, 100]),
        against: if target { "p50 ≤ 5, p99 ≤ 50 ms".to_owned() } else { "–".to_owned() },
        ratio: Some(raw.steady.ms(0.5) / p50),
        ok: target.then_some(p50 <= TARGET_P50_MS && p99 <= TARGET_P99_MS),
        details,
    });
    let (cpu, raw_cpu) = (own.cpu_us_per_token(), raw.cpu_us_per_token());
    report.add(Row {
        name: format!("CPU of the server per token, {streams} streams"),
        measured: format!("{cpu:.0} µs: {}", cores(own)),
        against: format!("raw limit {raw_cpu:.0} µs: {}", cores(raw)),
        ratio: Some(raw_cpu / cpu),
        ok: None,
        details: json!({ "cpu_seconds_by_thread": own.threads, "limit_cpu_seconds_by_thread": raw.threads }),
    });
    report.check(
        &format!("every token arrives once and in order, {streams} streams"),
        own.faults.is_empty(),
        if own.faults.is_empty() { format!("{} tokens", own.tokens) } else { own.faults.join("; ") },
    );
    let Some(lists) = &own.lists else { return };
    report.check(
        &format!("no thread list runs while {streams} streams run"),
        lists.during == 0,
        format!("{} runs during {} tokens, {} live lists", lists.during, own.steady.count(), lists.watched),
    );
    // A turn touches its thread when it is sent and when it ends.
    report.check(
        &format!("a thread list runs at most twice per turn, {streams} streams"),
        lists.in_all <= 2 * streams as u64 && lists.results >= lists.watched as u64,
        format!("{} runs, {streams} turns, {} results at the watchers", lists.in_all, lists.results),
    );
}

/// Whose the cores were. A measurement with others on the machine is worth less.
fn cores(point: &Point) -> String {
    let (own, generator, other) = (point.cores(), point.generator_cores(), point.other_cores());
    format!("{own:.2} cores, generator {generator:.2}, others {other:.2}; {:.0} MB", point.resident_mb)
}
