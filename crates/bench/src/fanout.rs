//! One token to many readers: Spool beside a bare limit and the peers that are at hand, in one run.
//!
//! The same open-loop producers, readers and tokens for each. A delivery is one token at one reader; what
//! counts is deliveries per CPU second of the server, and how late they are.

pub mod broadcast;
pub mod peers;
mod point;
pub mod target;

use anyhow::Result;
use serde_json::json;

use crate::Context;
use crate::report::{Report, Row};
use point::{Measured, Point};
use target::Kind;

/// The points: streams, tokens per second of each, readers of each.
const POINTS: [Point; 4] = [
    Point { name: "a", streams: 50, rate: 50, readers: 1, p99_ms: None, of_limit: None, of_redis: None },
    Point { name: "b", streams: 500, rate: 20, readers: 1, p99_ms: Some(20.0), of_limit: Some(0.7), of_redis: None },
    Point {
        name: "c",
        streams: 10,
        rate: 50,
        readers: 100,
        p99_ms: Some(20.0),
        of_limit: Some(0.7),
        of_redis: Some(1.4),
    },
    Point {
        name: "d",
        streams: 1,
        rate: 50,
        readers: 2_000,
        p99_ms: Some(50.0),
        of_limit: Some(0.7),
        of_redis: Some(1.4),
    },
];

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let server = context.server()?;
    let seconds = context.pick(15, 4);
    let wanted = |point: &&Point| context.points.is_empty() || context.points.iter().any(|name| name == point.name);
    for point in POINTS.iter().filter(wanted) {
        eprintln!("fan-out {}: {point}, {seconds} s", point.name);
        let limit = run(context, report, Kind::Broadcast, point, seconds).await?;
        let own = run(context, report, Kind::Spool(server), point, seconds).await?;
        let mut redis = None;
        for peer in [Kind::Redis, Kind::Node] {
            match peers::missing(peer) {
                Some(reason) => eprintln!("  without {peer}: {reason}"),
                None => {
                    let measured = run(context, report, peer, point, seconds).await?;
                    if matches!(peer, Kind::Redis) {
                        redis = Some(measured);
                    }
                }
            }
        }
        judge(report, point, &own, &limit, redis.as_ref());
    }
    Ok(())
}

async fn run(context: &Context, report: &mut Report, kind: Kind<'_>, point: &Point, seconds: u64) -> Result<Measured> {
    context.quiet().await?;
    let directory = context.directory()?;
    let measured = point::run(kind, directory.path(), point, seconds).await?;
    report.add(Row {
        name: format!("fan-out {}, {kind}", point.name),
        measured: measured.text(),
        against: "–".to_owned(),
        ratio: None,
        ok: None,
        details: measured.json(),
    });
    let sound = measured.faults.is_empty();
    let seen = if sound { format!("{} deliveries", measured.deliveries) } else { measured.faults.join("; ") };
    // A peer that does not keep up is a result, not a broken run.
    if matches!(kind, Kind::Spool(_) | Kind::Broadcast) {
        report.check(
            &format!("fan-out {}, {kind}: every token at every reader, once and in order", point.name),
            sound,
            seen,
        );
    } else if !sound {
        eprintln!("  {kind}: {seen}");
    }
    Ok(measured)
}

fn judge(report: &mut Report, point: &Point, own: &Measured, limit: &Measured, redis: Option<&Measured>) {
    let mut compare = |name: &str, other: &Measured, target: Option<f64>| {
        let ratio = own.per_cpu_second() / other.per_cpu_second();
        report.add(Row {
            name: format!("fan-out {}, deliveries per CPU second against {name}", point.name),
            measured: format!("{:.0}", own.per_cpu_second()),
            against: format!(
                "{:.0}{}",
                other.per_cpu_second(),
                target.map_or(String::new(), |t| format!(", target ≥ {t}"))
            ),
            ratio: Some(ratio),
            ok: target.map(|target| ratio >= target),
            details: json!({}),
        });
    };
    compare("the bare limit", limit, point.of_limit);
    if let Some(redis) = redis {
        compare("Redis", redis, point.of_redis);
    }
    if let Some(target) = point.p99_ms {
        report.add(Row {
            name: format!("fan-out {}, p99", point.name),
            measured: format!("{:.1} ms", own.steady.ms(0.99)),
            against: format!("target ≤ {target} ms, bare limit {:.1}", limit.steady.ms(0.99)),
            ratio: None,
            ok: Some(own.steady.ms(0.99) <= target),
            details: json!({}),
        });
    }
}
