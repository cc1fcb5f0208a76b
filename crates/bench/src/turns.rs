//! A turn beside its model and tools: what Spool adds, how fast a decision lets it go on, what waiting costs, and
//! what the length of a conversation costs before the first request.
//!
//! The model and the tool are the benchmark's own and answer at once. The time from a model's having the whole
//! request until it has written its answer is taken off; connections, and all of the tool's time, count as Spool's.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use serde_json::{Value, json};
use spool_store::backend::sqlite::Synchronous;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use crate::Context;
use crate::fill::Chat;
use crate::latency::Latency;
use crate::machine::Held;
use crate::model::{Model, Pace, Served};
use crate::report::{Report, Row};
use crate::server::{Guest, Server};

const OVERHEAD_P50_MS: f64 = 10.0;
const DECISION_P50_MS: f64 = 50.0;
/// Turns of one conversation.
const TURNS: u32 = 20;
/// Messages that a prompt has at most, by the server's default.
const SENT: u64 = 40;
/// How much later the first request of a long conversation may come than that of one that sends as much.
const PROMPT: f64 = 1.2;
/// Files and threads that may come and go whatever waits: connections of a pool, threads that block.
const ROOM: usize = 16;
/// How long a turn may take to wait, and a server to let go of what it no longer needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the CPU of a server is watched that has nothing to do.
const WATCH: Duration = Duration::from_secs(5);
const TEXT: &str = "What is the shortest way from here to there?";

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let mut stage = Stage::start(context).await?;
    overhead(context, &mut stage, report).await?;
    decisions(context, &mut stage, report).await?;
    waiting(context, &mut stage, report).await?;
    drop(stage);
    prompts(context, report).await
}

async fn overhead(context: &Context, stage: &mut Stage, report: &mut Report) -> Result<()> {
    eprintln!("turns: what Spool adds to a turn");
    for (agent, name, steps) in [("plain", "without tools", 1), ("reader", "with one call of a tool", 2)] {
        context.quiet().await?;
        let mut thread = String::new();
        let (mut own, mut model) = (Latency::new()?, Latency::new()?);
        let (rounds, before) = (context.pick(200, 20), stage.commits().await?);
        for round in 0..rounds {
            if round % TURNS == 0 {
                thread = stage.server.thread(&stage.guest).await?;
            }
            let turn = stage.turn(&thread, agent, steps).await?;
            let served: Duration = turn.served.iter().map(|served| served.took).sum();
            own.add(turn.took.saturating_sub(served));
            model.add(served);
        }
        let commits = (stage.commits().await? - before) / f64::from(rounds);
        report.add(Row {
            name: format!("sent → answered, without the model's time, {name}"),
            measured: format!("{}, {commits:.1} commits each", own.text(&[50, 99, 100])),
            against: format!("target p50 < {OVERHEAD_P50_MS}; the model {}", model.text(&[50, 99])),
            ratio: None,
            ok: Some(own.ms(0.5) < OVERHEAD_P50_MS),
            details: json!({ "own": own.json(), "model": model.json(), "commits": commits }),
        });
    }
    Ok(())
}

/// From a decision to the request that it allowed.
async fn decisions(context: &Context, stage: &mut Stage, report: &mut Report) -> Result<()> {
    eprintln!("turns: decision → the tool is called");
    context.quiet().await?;
    let (mut sent, mut answered) = (Latency::new()?, Latency::new()?);
    for _ in 0..context.pick(100, 20) {
        let approval = stage.wait_for_approval("writer").await?;
        stage.model.served().await?;
        let args = json!({ "approvalId": approval, "decision": "approve" });
        let begun = Instant::now();
        stage.server.mutate(&stage.guest, "approvals:decide", args).await?;
        let decided = Instant::now();
        let called = stage.tool.called().await?;
        sent.add(called.duration_since(begun));
        // 0 where the tool was called before the answer was read.
        answered.add(called.saturating_duration_since(decided));
        stage.model.served().await?;
    }
    report.add(Row {
        name: "decision sent → the tool has its request".to_owned(),
        measured: sent.text(&[50, 99, 100]),
        against: format!("target p50 ≤ {DECISION_P50_MS}; from the answer {}", answered.text(&[50, 99])),
        ratio: None,
        ok: Some(sent.ms(0.5) <= DECISION_P50_MS),
        details: json!({ "from_sending": sent.json(), "from_the_answer": answered.json() }),
    });
    Ok(())
}

/// Turns that wait for people must be nothing but rows.
async fn waiting(context: &Context, stage: &mut Stage, report: &mut Report) -> Result<()> {
    let (calls, plans) = (context.pick(1_000, 50), context.pick(500, 25));
    eprintln!("turns: {calls} approvals and {plans} plans that wait");
    context.quiet().await?;
    let before = Load::of(&stage.server, None).await?;
    for (agent, count) in [("writer", calls), ("planner", plans)] {
        for _ in 0..count {
            stage.wait_for_approval(agent).await?;
            stage.model.served().await?;
        }
    }
    let after = Load::of(&stage.server, Some(before.held)).await?;
    let (files, threads) = (after.held.files, after.held.threads);
    report.check("what waits is no running turn", after.turns == 0.0, format!("{} turns run", after.turns));
    report.check(
        "what waits keeps no file or socket open",
        files <= before.held.files + ROOM,
        format!(
            "{} ({} sockets) before, {files} ({}) with them",
            before.held.files, before.held.sockets, after.held.sockets
        ),
    );
    report.check(
        "what waits has no thread",
        threads <= before.held.threads + ROOM,
        format!("{} before, {threads} with them", before.held.threads),
    );
    report.check(
        "what waits has no live query",
        after.live_queries <= before.live_queries,
        format!("{} before, {} with them", before.live_queries, after.live_queries),
    );
    let each = (after.resident_mb - before.resident_mb) * 1024.0 / f64::from(calls + plans);
    report.add(Row {
        name: format!("CPU while {calls} approvals and {plans} plans wait"),
        measured: format!("{:.1} ms a second, {each:.1} KiB of memory each", after.cpu_ms),
        against: format!("before them {:.1} ms a second", before.cpu_ms),
        ratio: None,
        ok: None,
        details: json!({ "before": before.json(), "after": after.json() }),
    });
    Ok(())
}

/// What a server holds and does while nobody asks it for anything.
struct Load {
    held: Held,
    turns: f64,
    live_queries: f64,
    resident_mb: f64,
    /// Milliseconds of CPU in a second.
    cpu_ms: f64,
}

impl Load {
    /// Waits a while for what just ended to be let go, until there is not more than at `first`.
    async fn of(server: &Server, first: Option<Held>) -> Result<Self> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let (held, running) = (server.process.held()?, server.metrics().await?.value("spool_turns_running"));
            if running == 0.0 && first.is_none_or(|first| held.files <= first.files && held.threads <= first.threads) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let before = server.process.usage()?;
        tokio::time::sleep(WATCH).await;
        let usage = server.process.usage()?;
        let metrics = server.metrics().await?;
        Ok(Self {
            held: server.process.held()?,
            turns: metrics.value("spool_turns_running"),
            live_queries: metrics.value("spool_live_queries"),
            resident_mb: usage.resident_mb,
            cpu_ms: (usage.cpu_seconds - before.cpu_seconds) * 1e3 / WATCH.as_secs_f64(),
        })
    }

    fn json(&self) -> Value {
        json!({ "held": self.held, "turns": self.turns, "live_queries": self.live_queries,
            "resident_mb": self.resident_mb, "cpu_ms_per_second": self.cpu_ms })
    }
}

/// From sending a message to the model's having the request, in conversations of different lengths, by turns.
async fn prompts(context: &Context, report: &mut Report) -> Result<()> {
    const SMALL: u64 = 10;
    let large: u64 = context.pick(5_000, 500);
    eprintln!("turns: sent → the model is asked, with {SMALL} messages and with {large}");
    let rounds = context.pick(100, 15);
    let mut stage = Stage::start(context).await?;
    // A small conversation does not stay one, so there are many.
    let sizes = vec![SMALL; rounds].into_iter().chain([SENT, large]);
    let mut threads = Vec::new();
    for size in sizes {
        let thread = stage.server.thread(&stage.guest).await?;
        stage.turn(&thread, "plain", 1).await?;
        threads.push((thread, size));
    }
    let mut stage = stage.grow(context, &threads).await?;
    context.quiet().await?;
    let mut asked = [Latency::new()?, Latency::new()?, Latency::new()?];
    let mut sent = [0; 3];
    for round in 0..rounds {
        for (at, thread) in [round, rounds, rounds + 1].into_iter().enumerate() {
            let turn = stage.turn(&threads[thread].0, "plain", 1).await?;
            asked[at].add(turn.served[0].arrived.duration_since(turn.begun));
            sent[at] = turn.served[0].messages;
        }
    }
    let [small, same, long] = &asked;
    let ratio = long.ms(0.5) / same.ms(0.5);
    report.add(Row {
        name: format!("sent → the model is asked, {large} messages"),
        measured: format!("{}, {} messages sent", long.text(&[50, 99]), sent[2]),
        against: format!(
            "of {SENT} messages {}, target ≤ {PROMPT}; of {SMALL} {}, {} sent",
            same.text(&[50, 99]),
            small.text(&[50, 99]),
            sent[0]
        ),
        ratio: Some(ratio),
        ok: Some(ratio <= PROMPT),
        details: json!({ "of_10": small.json(), "of_40": same.json(), "long": long.json(), "messages_sent": sent,
            "to_of_10": long.ms(0.5) / small.ms(0.5) }),
    });
    let bound = SENT as usize + 1;
    report.check("a prompt has the newest messages only", sent[2] <= bound, format!("{} of {large}", sent[2]));
    Ok(())
}

/// A server with assistants of every kind, its model and its tool.
struct Stage {
    model: Model,
    tool: Tool,
    server: Server,
    guest: Guest,
    config: PathBuf,
    directory: TempDir,
}

/// An answered message.
struct Turn {
    begun: Instant,
    took: Duration,
    served: Vec<Served>,
}

impl Stage {
    async fn start(context: &Context) -> Result<Self> {
        let (model, tool) = (Model::start(Pace::Calls, 50).await?, Tool::start().await?);
        let directory = context.directory()?;
        let config = directory.path().join("bench.toml");
        std::fs::write(&config, configuration(&tool))?;
        let server = Server::configured(context.server()?, &data(&directory), model.address, &config).await?;
        let guest = server.guest().await?;
        Ok(Self { model, tool, server, guest, config, directory })
    }

    /// What was committed since the start. Each commit is a wait for the disk.
    async fn commits(&self) -> Result<f64> {
        Ok(self.server.metrics().await?.value("spool_store_commits"))
    }

    /// Sends a message, and waits until the answer is over.
    async fn turn(&mut self, thread: &str, agent: &str, steps: usize) -> Result<Turn> {
        let args = json!({ "threadId": thread, "text": TEXT, "agent": agent });
        let begun = Instant::now();
        let answer = self.server.act(&self.guest, "turns:sendAndWait", args).await?;
        let took = begun.elapsed();
        ensure!(answer["status"] == "complete", "turns:sendAndWait answered {answer}");
        let mut served = Vec::with_capacity(steps);
        for step in 0..steps {
            served.push(self.model.served().await?);
            if step > 0 {
                self.tool.called().await?;
            }
        }
        Ok(Turn { begun, took, served })
    }

    /// Sends a message in a new thread, and waits until its answer waits for a person. The id of the approval.
    async fn wait_for_approval(&self, agent: &str) -> Result<Value> {
        let thread = self.server.thread(&self.guest).await?;
        let args = json!({ "threadId": thread, "text": TEXT, "agent": agent });
        let sent = self.server.mutate(&self.guest, "turns:send", args).await?;
        let (generation, begun) = (json!({ "generationId": sent["generationId"] }), Instant::now());
        loop {
            let row = self.server.query(&self.guest, "generations:get", &generation).await?;
            if row["status"] == "awaiting_approval" {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "the answer does not wait for anybody: {row}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let args = json!({ "threadId": thread, "paginationOpts": { "numItems": 1, "cursor": null } });
        let mut found = self.server.query(&self.guest, "approvals:listByThread", &args).await?;
        ensure!(found["pendingCount"] == 1, "approvals:listByThread answered {found}");
        Ok(found["page"][0]["_id"].take())
    }

    /// Brings each thread to so many messages, which needs the server's files for itself.
    async fn grow(self, context: &Context, threads: &[(String, u64)]) -> Result<Self> {
        let Self { model, tool, server, guest, config, directory } = self;
        drop(server);
        let data = data(&directory);
        let chat = Chat::open(&data, Synchronous::Normal).await?;
        for (thread, size) in threads {
            chat.grow(thread, *size).await?;
        }
        drop(chat);
        let server = Server::configured(context.server()?, &data, model.address, &config).await?;
        Ok(Self { model, tool, server, guest, config, directory })
    }
}

fn data(directory: &TempDir) -> PathBuf {
    Path::join(directory.path(), "data")
}

/// Summaries would ask the model for themselves, and shorten what is sent.
fn configuration(tool: &Tool) -> String {
    let url = tool.url();
    format!(
        r#"
agent = "plain"
[summaries]
after = 0
keep = 0
[agents.plain]
[agents.reader]
tools = ["look"]
[agents.writer]
tools = ["change"]
[agents.planner]
phases = true
[tools.http.look]
description = "Looks something up."
url = "{url}"
input = {{ type = "object" }}
writes = false
allow_private = true
[tools.http.change]
description = "Changes something."
url = "{url}"
input = {{ type = "object" }}
writes = true
allow_private = true
"#
    )
}

/// A tool that answers at once, and notes when it was called.
struct Tool {
    address: std::net::SocketAddr,
    calls: UnboundedReceiver<Instant>,
    serving: JoinHandle<()>,
}

impl Tool {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (notes, calls) = unbounded_channel();
        let answer = move || {
            let _ = notes.send(Instant::now());
            std::future::ready(([(CONTENT_TYPE, "application/json")], r#"{"found":"nothing"}"#))
        };
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, axum::Router::new().route("/", post(answer))).await;
        });
        Ok(Self { address, calls, serving })
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// When it was called next.
    async fn called(&mut self) -> Result<Instant> {
        let called = tokio::time::timeout(PATIENCE, self.calls.recv()).await.context("the tool is not called")?;
        called.context("the tool is gone")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
