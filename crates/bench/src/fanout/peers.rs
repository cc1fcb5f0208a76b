//! Peers that are at hand: Redis Streams (Debian's `redis-server`) and the Node reference server of
//! Durable Streams. Both append durably before anybody reads.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;

use super::target::Kind;
use crate::ingest;
use crate::pacer::{Pacer, Speech, token};
use crate::readers::{Ask, resp};
use crate::server::{Process, client};

pub struct Peer {
    pub process: Process,
    pub pacer: Arc<Pacer>,
    tokens: u32,
    is_redis: bool,
}

/// The package with the Node reference server: `npm ci` in it makes it available.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Why a peer cannot be measured here, and what to do about it.
pub fn missing(kind: Kind<'_>) -> Option<&'static str> {
    let works = |program: &str| {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    match kind {
        Kind::Redis if !works("redis-server") => Some("there is no `redis-server`: apt-get install redis-server"),
        Kind::Node if !package().join("node_modules").is_dir() => {
            Some("its package is not installed: `make bench` does, or `npm ci` in crates/bench/peers")
        }
        Kind::Redis | Kind::Node | Kind::Spool(_) | Kind::Broadcast => None,
    }
}

impl Peer {
    pub async fn start(kind: Kind<'_>, data: &Path, tokens: u32, pacer: Arc<Pacer>, streams: usize) -> Result<Self> {
        let is_redis = matches!(kind, Kind::Redis);
        if is_redis {
            let process = redis(data).await?;
            return Ok(Self { process, pacer, tokens, is_redis });
        }
        let mut command = Command::new("node");
        // Under load it logs every slow append.
        command.arg(package().join("node.mjs")).arg(data).stderr(Stdio::null());
        let process = Process::start(&mut command)?;
        let http = client()?;
        for stream in 0..streams {
            ingest::create(&http, process.address, &path(stream), None).await?;
        }
        Ok(Self { process, pacer, tokens, is_redis })
    }

    pub fn open(&self, stream: usize) -> Ask {
        if self.is_redis {
            Ask::Redis { key: key(stream) }
        } else {
            Ask::Endless { path: format!("{}?offset=-1&live=sse", path(stream)) }
        }
    }

    /// The request that appends one token.
    pub fn append(&self, stream: usize) -> Vec<u8> {
        if self.is_redis {
            resp::command(&["XADD", &key(stream), "*", "t", &token()])
        } else {
            ingest::post(self.process.address, &path(stream), None, &token())
        }
    }

    /// A producer with a connection of its own.
    pub async fn begin(&self, stream: usize) -> Result<()> {
        let append = self.append(stream);
        let socket = TcpStream::connect(self.process.address).await?;
        socket.set_nodelay(true)?;
        self.pacer.begin(Speech::new(socket.into_std()?, append, self.tokens, Vec::new()).answered())
    }
}

fn key(stream: usize) -> String {
    format!("bench-{stream}")
}

pub fn path(stream: usize) -> String {
    format!("/v1/stream/{}", key(stream))
}

/// A Redis of its own, on a free port.
async fn redis(data: &Path) -> Result<Process> {
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--maxclients", "20000"]).arg("--dir").arg(data);
    command.stdout(Stdio::null());
    let process = Process::start_at(&mut command, address)?;
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(process);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None.context("redis-server does not answer")
}
