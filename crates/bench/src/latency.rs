//! Durations gathered into percentiles. Microseconds everywhere.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest duration told apart: two minutes.
const LONGEST_US: u64 = 120_000_000;

/// A histogram of durations with three digits of precision.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Latency {
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_US, 3)?))
    }

    pub fn add_us(&mut self, us: u64) {
        self.0.saturating_record(us.max(1));
    }

    pub fn add(&mut self, duration: Duration) {
        self.add_us(u64::try_from(duration.as_micros()).unwrap_or(LONGEST_US));
    }

    pub fn since(&mut self, start: Instant) {
        self.add(start.elapsed());
    }

    /// Takes in what another one has.
    pub fn join(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds.
    pub fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// "p50 1.20 ms, p99 3.4 ms, …" with the given percentiles.
    pub fn text(&self, percentiles: &[u8]) -> String {
        let each = percentiles.iter().map(|percentile| {
            let ms = self.ms(f64::from(*percentile) / 100.0);
            if *percentile == 100 { format!("max {}", short(ms)) } else { format!("p{percentile} {}", short(ms)) }
        });
        format!("{} ms", each.collect::<Vec<_>>().join(", "))
    }

    pub fn json(&self) -> Value {
        json!({
            "count": self.count(), "p50_ms": self.ms(0.5), "p90_ms": self.ms(0.9), "p99_ms": self.ms(0.99),
            "p999_ms": self.ms(0.999), "max_ms": self.ms(1.0), "mean_ms": self.0.mean() / 1000.0,
        })
    }
}

/// Three digits are more than any of these numbers deserves.
fn short(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// The middle of some numbers; 0 of none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}
