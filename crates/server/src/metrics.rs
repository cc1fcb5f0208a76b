//! Counters, served at `/metrics` in the OpenMetrics text format.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FunctionLabel {
    function: &'static str,
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    function_runs: Family<FunctionLabel, Counter>,
    pub sync_sessions: Gauge,
    pub stream_followers: Gauge,
    pub turns_running: Gauge,
    pub turns_finished: Counter,
    pub tokens_appended: Counter,
    pub summaries_made: Counter,
    pub summaries_failed: Counter,
    pub tool_ends_unpaired: Counter,
    pub texts_differed: Counter,
    live_queries: Gauge,
    commits: Gauge,
    committed_jobs: Gauge,
    resident_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("spool");
        let function_runs = Family::default();
        registry.register("function_runs", "Runs of queries and mutations, by function", function_runs.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let sync_sessions = gauge("sync_sessions", "Open sync sockets");
        let stream_followers = gauge("stream_followers", "Open event streams");
        let turns_running = gauge("turns_running", "Turns that run in this process");
        let live_queries = gauge("live_queries", "Distinct live queries");
        let commits = gauge("store_commits", "SQL commits since the start");
        let committed_jobs = gauge("store_committed_jobs", "Mutations and appends in those commits");
        let resident_bytes = gauge("resident_bytes", "Memory of the process");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let turns_finished = counter("turns_finished", "Turns that came to an end in this process");
        let tokens_appended = counter("log_appends", "Batches of tokens appended to logs");
        let summaries_made = counter("summaries_made", "Summaries of conversations that were stored");
        let summaries_failed = counter("summaries_failed", "Summaries that could not be made");
        let tool_ends_unpaired = counter("tool_ends_unpaired", "Ends of tool calls that nobody had begun");
        let texts_differed = counter("texts_differed", "Answers whose final text is not the one that was streamed");
        Self {
            registry,
            function_runs,
            sync_sessions,
            stream_followers,
            turns_running,
            turns_finished,
            tokens_appended,
            summaries_made,
            summaries_failed,
            tool_ends_unpaired,
            texts_differed,
            live_queries,
            commits,
            committed_jobs,
            resident_bytes,
        }
    }
}

impl Metrics {
    pub fn runs_of(&self, function: &'static str) -> Counter {
        self.function_runs.get_or_create(&FunctionLabel { function }).clone()
    }

    /// Everything as text. The store's own numbers are read at this moment.
    pub fn render(&self, store: &spool_store::Store) -> String {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = store.counters();
        self.live_queries.set(i64::try_from(store.live_queries()).unwrap_or(i64::MAX));
        self.commits.set(counters.commits.load(Relaxed).cast_signed());
        self.committed_jobs.set(counters.jobs.load(Relaxed).cast_signed());
        self.resident_bytes.set(resident_bytes().unwrap_or(0));
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// From the operating system, where it tells (Linux).
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
