//! The machine under the benchmark, and what a process has used of it. Reads `/proc`: Linux only.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::latency::Latency;

/// Ticks per second in `/proc/<pid>/stat`. Linux has used 100 on every architecture for decades.
const TICKS: f64 = 100.0;
/// Sockets of the largest measurement on each side, and some room.
const OPEN_FILES: u64 = 24_576;

/// What the numbers depend on.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    pub memory_mb: u64,
    /// Overwriting 4 KiB of a file and waiting for the disk, as every commit does.
    pub fsync_p50_ms: f64,
    pub fsync_p99_ms: f64,
}

impl Machine {
    pub fn line(&self) -> String {
        let Self { cores, cpu, kernel, memory_mb, fsync_p50_ms, fsync_p99_ms } = self;
        format!(
            "{cores} cores ({cpu}), {} GB, Linux {kernel}, fsync of 4 KiB p50 {fsync_p50_ms:.2} ms, p99 {fsync_p99_ms:.2} ms",
            memory_mb / 1024
        )
    }
}

pub fn describe(directory: &Path) -> Result<Machine> {
    let field = |file: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let fsync = fsync_cost(directory)?;
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        memory_mb: memory.unwrap_or(0) / 1024,
        fsync_p50_ms: fsync.ms(0.5),
        fsync_p99_ms: fsync.ms(0.99),
    })
}

fn fsync_cost(directory: &Path) -> Result<Latency> {
    const ROUNDS: u64 = 500;
    const BLOCK: usize = 4096;
    let path = directory.join("bench-fsync");
    let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
    file.write_all_at(&vec![0; BLOCK * 256], 0)?;
    file.sync_all()?;
    let mut latency = Latency::new()?;
    for round in 0..ROUNDS {
        let block = [u8::try_from(round % 251)?; BLOCK];
        let start = Instant::now();
        file.write_all_at(&block, (round % 256) * BLOCK as u64)?;
        file.sync_data()?;
        latency.since(start);
    }
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(latency)
}

/// What a process has used so far.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_mb: f64,
    /// CPU seconds by name of thread.
    pub threads: BTreeMap<String, f64>,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let root = format!("/proc/{pid}");
        let (_, cpu_seconds) = cpu(Path::new(&root))?;
        let status = std::fs::read_to_string(format!("{root}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
        let mut threads = BTreeMap::new();
        for task in std::fs::read_dir(format!("{root}/task"))? {
            // A thread may end while we look.
            if let Ok((name, seconds)) = cpu(&task?.path()) {
                *threads.entry(name).or_insert(0.0) += seconds;
            }
        }
        Ok(Self { cpu_seconds, resident_mb: kilobytes.unwrap_or(0.0) / 1024.0, threads })
    }

    /// CPU seconds used since `before`, in all and by name of thread.
    pub fn cpu_since(&self, before: &Self) -> (f64, BTreeMap<String, f64>) {
        let threads = self.threads.iter().map(|(name, seconds)| {
            let spent = seconds - before.threads.get(name).copied().unwrap_or(0.0);
            (name.clone(), (spent * TICKS).round() / TICKS)
        });
        (self.cpu_seconds - before.cpu_seconds, threads.filter(|(_, spent)| *spent > 0.0).collect())
    }
}

/// What a process holds of the operating system at this moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Held {
    pub files: usize,
    /// Those of the files that are sockets.
    pub sockets: usize,
    pub threads: usize,
}

impl Held {
    pub fn of(pid: u32) -> Result<Self> {
        let (mut files, mut sockets) = (0, 0);
        for file in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
            files += 1;
            // A file may be closed while we look.
            let target = std::fs::read_link(file?.path()).unwrap_or_default();
            sockets += usize::from(target.to_string_lossy().starts_with("socket:"));
        }
        Ok(Self { files, sockets, threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count() })
    }
}

/// Name and CPU seconds of a process or thread directory of `/proc`.
fn cpu(directory: &Path) -> Result<(String, f64)> {
    let stat = std::fs::read_to_string(directory.join("stat"))?;
    let (head, tail) = stat.rsplit_once(')').context("a stat line without a name")?;
    let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
    // After the name: state is field 3 of proc(5), utime 14, stime 15.
    let ticks = |at: usize| tail.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((name, (ticks(11) + ticks(12)) / TICKS))
}

/// CPU seconds that the whole machine was busy so far, and those that its host took away.
pub fn busy_seconds() -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    let of = |at: usize| ticks.get(at).copied().unwrap_or(0.0) / TICKS;
    Ok((of(0) + of(1) + of(2) + of(5) + of(6), of(7)))
}

/// Cores that others may keep busy while something is measured.
pub const NOISE_CORES: f64 = 0.2;

/// Waits for a second in which the machine has nothing else to do; after some minutes goes on anyway.
pub async fn wait_until_quiet() -> Result<()> {
    const SECONDS: usize = 300;
    for second in 0..SECONDS {
        let before = busy_seconds()?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = busy_seconds()?;
        if after.0 + after.1 - before.0 - before.1 < NOISE_CORES {
            return Ok(());
        }
        if second == 3 {
            eprintln!("  waiting for others on this machine");
        }
    }
    eprintln!("  others are still busy: measuring all the same");
    Ok(())
}

/// Bytes that this process has handed to `write` so far, to any file.
pub fn bytes_written() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io").context("/proc/self/io")?;
    let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")).context("/proc/self/io has no wchar")?;
    Ok(written.trim().parse()?)
}

/// Starts this program anew with as many open files as it may have, where the usual number is too low:
/// a limit is inherited, and safe Rust cannot set its own.
pub fn raise_file_limit() -> Result<()> {
    const MARK: &str = "SPOOL_BENCH_RAISED";
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    if soft.is_none_or(|soft| soft >= OPEN_FILES) || std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\""]).arg(std::env::current_exe()?);
    Err(shell.args(std::env::args_os().skip(1)).env(MARK, "1").exec()).context("starting anew with more open files")
}
