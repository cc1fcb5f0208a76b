//! What delivers the tokens: Spool, or the raw limit. Both are processes of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::machine::Usage;
use crate::readers::Ask;
use crate::server::{Guest, Metrics, Process, Server, client};
use crate::sync::Sync;

/// Streams of one user: a busy team behind one account rather than a person.
const STREAMS_PER_USER: usize = 20;

#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    Spool(&'a Path),
    Limit { window_ms: u64 },
}

pub enum Target {
    Spool(Box<Spool>),
    Limit { process: Process, http: reqwest::Client },
}

pub struct Spool {
    server: Server,
    /// One per stream, with its user.
    threads: Vec<(Guest, String)>,
    lists: Vec<JoinHandle<()>>,
    /// Results that the live thread lists have got.
    list_results: Arc<AtomicU64>,
}

impl Target {
    pub async fn start(kind: Kind<'_>, data: &Path, model: SocketAddr, streams: usize) -> Result<Self> {
        match kind {
            Kind::Spool(binary) => {
                let server = Server::start(binary, data, Some(model)).await?;
                Ok(Self::Spool(Box::new(Spool::prepare(server, streams).await?)))
            }
            Kind::Limit { window_ms } => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("limit").arg("--data").arg(data).args(["--model", &model.to_string()]);
                command.args(["--window-ms", &window_ms.to_string()]);
                Ok(Self::Limit { process: Process::start(&mut command)?, http: client()? })
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Spool(spool) => spool.server.address(),
            Self::Limit { process, .. } => process.address,
        }
    }

    pub fn usage(&self) -> Result<Usage> {
        match self {
            Self::Spool(spool) => spool.server.process.usage(),
            Self::Limit { process, .. } => process.usage(),
        }
    }

    /// Begins one answer and tells where it can be followed.
    pub async fn begin(&self, number: usize) -> Result<Ask> {
        match self {
            Self::Spool(spool) => {
                let (guest, thread) = spool.threads.get(number).context("a stream without a thread")?;
                let args = json!({ "threadId": thread, "text": "Please count." });
                let sent = spool.server.mutate(guest, "turns:send", args).await?;
                let generation =
                    sent["generationId"].as_str().with_context(|| format!("turns:send answered {sent}"))?;
                Ok(Ask::Events { path: format!("/api/stream/{generation}"), token: Some(guest.token.clone()) })
            }
            Self::Limit { process, http } => {
                let response = http.post(format!("http://{}/start/{number}", process.address)).send().await?;
                response.error_for_status()?;
                Ok(Ask::Events { path: format!("/stream/{number}"), token: None })
            }
        }
    }

    pub async fn metrics(&self) -> Result<Option<Metrics>> {
        match self {
            Self::Spool(spool) => Ok(Some(spool.server.metrics().await?)),
            Self::Limit { .. } => Ok(None),
        }
    }

    /// How many thread lists are watched, and how many results they have got since the first.
    pub fn lists(&self) -> (usize, u64) {
        match self {
            Self::Spool(spool) => (spool.lists.len(), spool.list_results.load(Ordering::Relaxed)),
            Self::Limit { .. } => (0, 0),
        }
    }
}

impl Spool {
    /// Users with their threads, and for each user a live thread list, as an open page has it.
    async fn prepare(server: Server, streams: usize) -> Result<Self> {
        let (mut threads, mut lists) = (Vec::with_capacity(streams), Vec::new());
        let list_results = Arc::new(AtomicU64::new(0));
        while threads.len() < streams {
            let guest = server.guest().await?;
            for _ in 0..STREAMS_PER_USER.min(streams - threads.len()) {
                threads.push((guest.clone(), server.thread(&guest).await?));
            }
            let mut socket = Sync::connect(server.address(), &guest).await?;
            socket
                .ask(None, 0, "threads:page", &json!({ "paginationOpts": { "numItems": 50, "cursor": null } }))
                .await?;
            socket.result().await?;
            let results = Arc::clone(&list_results);
            lists.push(tokio::spawn(async move {
                while socket.result().await.is_ok() {
                    results.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Ok(Self { server, threads, lists, list_results })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.lists.iter().for_each(JoinHandle::abort);
    }
}
