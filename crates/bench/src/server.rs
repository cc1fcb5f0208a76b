//! The server under measurement: a real `spool serve` in a process of its own, ended when dropped.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::machine::{Held, Usage};

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that this benchmark started and that listens. Killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts `command` and reads its address from the first line of its output: whatever follows the
    /// last `/` or blank.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let output = child.stdout.take().context("a child without output")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let address = line.trim().rsplit(['/', ' ']).next().and_then(|address| address.parse().ok());
        let Some(address) = address.filter(|_| read.is_ok()) else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name} said no address but {line:?}");
        };
        Ok(Self { child, address })
    }

    /// Starts `command`, which listens at `address` without saying so.
    pub fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, address })
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Open files, sockets among them, and threads.
    pub fn held(&self) -> Result<Held> {
        Held::of(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running Spool.
pub struct Server {
    pub process: Process,
    http: reqwest::Client,
    /// From the start of the process to the first answer that it serves requests.
    pub ready_after: Duration,
}

/// A guest of the server.
#[derive(Debug, Clone)]
pub struct Guest {
    pub token: String,
}

impl Server {
    /// Starts the server on `data`, answering from the model at `model` (the demo without one).
    pub async fn start(binary: &Path, data: &Path, model: Option<SocketAddr>) -> Result<Self> {
        Self::run(Command::new(binary), data, model, None).await
    }

    /// The same with the configuration in the file `config`.
    pub async fn configured(binary: &Path, data: &Path, model: SocketAddr, config: &Path) -> Result<Self> {
        Self::run(Command::new(binary), data, Some(model), Some(config)).await
    }

    async fn run(mut command: Command, data: &Path, model: Option<SocketAddr>, config: Option<&Path>) -> Result<Self> {
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["SPOOL_", "OPENAI_", "ANTHROPIC_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.env("SPOOL_LOG", "warn");
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        if let Some(model) = model {
            command.env("OPENAI_BASE_URL", format!("http://{model}/v1")).env("SPOOL_MODEL", "bench");
        }
        let begun = Instant::now();
        let process = Process::start(&mut command)?;
        while !is_ready(process.address).await {
            ensure!(begun.elapsed() < PATIENCE, "the server is not ready after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready_after = begun.elapsed();
        Ok(Self { process, http: client()?, ready_after })
    }

    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Signs in somebody new.
    pub async fn guest(&self) -> Result<Guest> {
        let answer = self.post("api/auth/guest", None, &json!({})).await?;
        let token = answer["token"].as_str().with_context(|| format!("no token in {answer}"))?;
        Ok(Guest { token: token.to_owned() })
    }

    pub async fn mutate(&self, guest: &Guest, path: &str, args: Value) -> Result<Value> {
        let body = json!({ "path": path, "args": args });
        let mut answer = self.post("api/mutation", Some(guest), &body).await?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["value"].take())
    }

    pub async fn act(&self, guest: &Guest, path: &str, args: Value) -> Result<Value> {
        let body = json!({ "path": path, "args": args });
        let mut answer = self.post("api/action", Some(guest), &body).await?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["value"].take())
    }

    pub async fn query(&self, guest: &Guest, path: &str, args: &Value) -> Result<Value> {
        let body = json!({ "path": path, "args": args });
        let mut answer = self.post("api/query", Some(guest), &body).await?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["value"].take())
    }

    /// The id of a new thread.
    pub async fn thread(&self, guest: &Guest) -> Result<String> {
        let id = self.mutate(guest, "threads:create", json!({})).await?;
        id.as_str().map(str::to_owned).with_context(|| format!("threads:create answered {id}"))
    }

    async fn post(&self, path: &str, guest: Option<&Guest>, body: &Value) -> Result<Value> {
        let mut request = self.http.post(format!("http://{}/{path}", self.address())).json(body);
        if let Some(guest) = guest {
            request = request.bearer_auth(&guest.token);
        }
        let response = request.send().await.with_context(|| format!("POST {path}"))?;
        response.json().await.with_context(|| format!("the answer to POST {path}"))
    }

    /// All counters as they are now.
    pub async fn metrics(&self) -> Result<Metrics> {
        let response = self.http.get(format!("http://{}/metrics", self.address())).send().await?;
        Ok(Metrics(response.error_for_status()?.text().await?))
    }
}

/// A client that talks to this machine only.
pub fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?)
}

/// Counters in the text format of OpenMetrics.
pub struct Metrics(String);

impl Metrics {
    /// A series by its full name with labels; 0 if it is not there yet.
    pub fn value(&self, series: &str) -> f64 {
        let found = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0.0)
    }

    /// How often a function ran.
    pub fn runs(&self, function: &str) -> u64 {
        self.value(&format!("spool_function_runs_total{{function=\"{function}\"}}")) as u64
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    matches!(tokio::time::timeout(Duration::from_secs(10), ask).await, Ok(Ok(true)))
}
