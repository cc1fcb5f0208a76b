//! The benchmark: every number of `docs/performance.md`, each beside its raw limit of the same run.
//!
//! Times are reported, never asserted: a slow machine is no failure. Counters are asserted (runs per
//! commit, tokens lost): a broken one makes the exit code 1. Ends only the processes that it started.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a table on stdout and progress on stderr are what a benchmark is for"
)]

mod append;
mod artifacts;
mod catch_up;
mod fanout;
mod fill;
mod idle;
mod inbox;
mod ingest;
mod latency;
mod live;
mod machine;
mod model;
mod pacer;
mod readers;
mod report;
mod send;
mod server;
mod size;
mod start;
mod sync;
mod tokens;
mod turns;
mod windows;
mod writes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};

use crate::report::Report;

// The server's allocator, so that the parts measured inside this process compare with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Spool, each number against its raw limit.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// What to measure.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Fewer and shorter rounds: to see that everything works, not for numbers to keep.
    #[arg(long)]
    quick: bool,
    /// Measure even while others use the machine.
    #[arg(long)]
    noisy: bool,
    /// Points of `fanout` to measure, of a to d; all of them by default.
    #[arg(long, value_delimiter = ',')]
    points: Vec<String>,
    /// Numbers of streams for `tokens`.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 500, 1000])]
    streams: Vec<usize>,
    #[command(subcommand)]
    hidden: Option<Hidden>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    All,
    Writes,
    Live,
    Send,
    Tokens,
    Fanout,
    Ingest,
    CatchUp,
    Idle,
    Inbox,
    Append,
    Artifacts,
    Start,
    Size,
    Turns,
    Windows,
}

#[derive(Subcommand)]
enum Hidden {
    /// The smallest program that commits tokens and delivers them: started by the benchmark itself.
    #[command(hide = true)]
    Limit(tokens::limit::Options),
    /// The smallest program that commits tokens and broadcasts them.
    #[command(hide = true)]
    Broadcast(fanout::broadcast::Options),
}

/// What every measurement gets.
pub struct Context {
    pub quick: bool,
    /// The server to measure.
    pub binary: PathBuf,
    /// Where temporary data goes: on the disk of the build, never on a memory file system.
    pub scratch: PathBuf,
    pub streams: Vec<usize>,
    /// Points of the fan-out; none stands for all.
    pub points: Vec<String>,
    pub noisy: bool,
}

impl Context {
    fn new(cli: &Cli) -> Result<Self> {
        let own = std::env::current_exe().context("the benchmark's own path")?;
        let profile = own.parent().context("the benchmark has no directory")?;
        let binary = std::env::var_os("SPOOL_BIN").map_or_else(|| profile.join("spool"), PathBuf::from);
        let target = profile.parent().unwrap_or(profile);
        Ok(Self {
            quick: cli.quick,
            binary,
            scratch: target.to_owned(),
            streams: cli.streams.clone(),
            points: cli.points.clone(),
            noisy: cli.noisy,
        })
    }

    /// The server's binary, or how to get one.
    pub fn server(&self) -> Result<&Path> {
        anyhow::ensure!(
            self.binary.is_file(),
            "there is no server at {}: run `cargo build --release --bin spool`, or set SPOOL_BIN",
            self.binary.display()
        );
        Ok(&self.binary)
    }

    /// A directory that is removed when it is dropped.
    pub fn directory(&self) -> Result<tempfile::TempDir> {
        let made = tempfile::Builder::new().prefix("bench-data-").tempdir_in(&self.scratch);
        made.with_context(|| format!("a directory in {}", self.scratch.display()))
    }

    /// Waits until nobody else uses the machine, unless that does not matter.
    pub async fn quiet(&self) -> Result<()> {
        if self.noisy { Ok(()) } else { machine::wait_until_quiet().await }
    }

    /// `full`, or `quick` where that was asked for.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("spool-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match &cli.hidden {
        Some(Hidden::Limit(options)) => {
            runtime.block_on(tokens::limit::serve(options))?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Hidden::Broadcast(options)) => {
            runtime.block_on(fanout::broadcast::serve(options))?;
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    machine::raise_file_limit()?;
    let context = Context::new(&cli)?;
    let mut report = Report::new(machine::describe(&context.scratch)?);
    runtime.block_on(measure(&cli, &context, &mut report));
    report.print();
    let file = context.scratch.join("bench.json");
    report.write(&file)?;
    eprintln!("written: {}", file.display());
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn measure(cli: &Cli, context: &Context, report: &mut Report) {
    let wanted = |part: Part| cli.part == Part::All || cli.part == part;
    // A part that cannot be measured is a failure of the run, but not the end of the others.
    if wanted(Part::Writes) {
        let done = writes::measure(context, report).await;
        report.finished("writes", done);
    }
    if wanted(Part::Live) {
        let done = live::measure(context, report).await;
        report.finished("live", done);
    }
    if wanted(Part::Send) {
        let done = send::measure(context, report).await;
        report.finished("send", done);
    }
    if wanted(Part::Tokens) {
        let done = tokens::measure(context, report).await;
        report.finished("tokens", done);
    }
    if wanted(Part::Fanout) {
        let done = fanout::measure(context, report).await;
        report.finished("fan-out", done);
    }
    if wanted(Part::Ingest) {
        let done = ingest::measure(context, report).await;
        report.finished("ingest", done);
    }
    if wanted(Part::CatchUp) {
        let done = catch_up::measure(context, report).await;
        report.finished("catch-up", done);
    }
    if wanted(Part::Idle) {
        let done = idle::measure(context, report).await;
        report.finished("idle", done);
    }
    if wanted(Part::Inbox) {
        let done = inbox::measure(context, report).await;
        report.finished("inbox", done);
    }
    if wanted(Part::Append) {
        let done = append::measure(context, report).await;
        report.finished("append", done);
    }
    if wanted(Part::Artifacts) {
        let done = artifacts::measure(context, report).await;
        report.finished("artifacts", done);
    }
    if wanted(Part::Start) {
        let done = start::measure(context, report).await;
        report.finished("start", done);
    }
    if wanted(Part::Size) {
        let done = size::measure(context, report).await;
        report.finished("size", done);
    }
    if wanted(Part::Turns) {
        let done = turns::measure(context, report).await;
        report.finished("turns", done);
    }
    if wanted(Part::Windows) {
        let done = windows::measure(context, report).await;
        report.finished("windows", done);
    }
}
