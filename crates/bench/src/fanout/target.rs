//! What delivers the tokens: Spool, the bare limit, or a peer. Each is a process of its own.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::peers::{self, Peer};
use crate::ingest;
use crate::machine::Usage;
use crate::model::{Model, Pace};
use crate::pacer::{Pacer, token};
use crate::readers::Ask;
use crate::server::{Guest, Process, Server, client};

#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    Spool(&'a Path),
    /// The bare limit: see [`super::broadcast`].
    Broadcast,
    /// Redis Streams, `appendfsync always`.
    Redis,
    /// The reference server of Durable Streams, with its file store.
    Node,
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spool(_) => "Spool",
            Self::Broadcast => "bare limit",
            Self::Redis => "Redis Streams",
            Self::Node => "Node reference",
        })
    }
}

pub enum Target {
    Spool { server: Server, model: Model, guest: Guest, threads: Vec<String> },
    Broadcast { process: Process, model: Model, http: reqwest::Client },
    Peer(Peer),
}

impl Target {
    pub async fn start(kind: Kind<'_>, data: &Path, tokens: u32, period_ms: u64, streams: usize) -> Result<Self> {
        if let Kind::Redis | Kind::Node = kind {
            let pacer = Arc::new(Pacer::start(period_ms)?);
            return Ok(Self::Peer(Peer::start(kind, data, tokens, pacer, streams).await?));
        }
        let model = Model::start(Pace::Steady { tokens }, period_ms).await?;
        if let Kind::Spool(binary) = kind {
            let server = Server::start(binary, data, Some(model.address)).await?;
            let guest = server.guest().await?;
            let mut threads = Vec::with_capacity(streams);
            for _ in 0..streams {
                threads.push(server.thread(&guest).await?);
            }
            return Ok(Self::Spool { server, model, guest, threads });
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("broadcast").arg("--data").arg(data).args(["--model", &model.address.to_string()]);
        Ok(Self::Broadcast { process: Process::start(&mut command)?, model, http: client()? })
    }

    fn process(&self) -> &Process {
        match self {
            Self::Spool { server, .. } => &server.process,
            Self::Broadcast { process, .. } => process,
            Self::Peer(peer) => &peer.process,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.process().address
    }

    pub fn usage(&self) -> Result<Usage> {
        self.process().usage()
    }

    pub fn pacer(&self) -> &Pacer {
        match self {
            Self::Spool { model, .. } | Self::Broadcast { model, .. } => &model.pacer,
            Self::Peer(peer) => &peer.pacer,
        }
    }

    /// Whether a stream begins with [`Self::open`]; readers that come later get what they missed.
    pub fn speaks_when_opened(&self) -> bool {
        matches!(self, Self::Spool { .. })
    }

    /// Where a stream can be read.
    pub async fn open(&mut self, stream: usize) -> Result<Ask> {
        match self {
            Self::Spool { server, guest, threads, .. } => {
                let args = json!({ "threadId": threads[stream], "text": "Please count." });
                let sent = server.mutate(guest, "turns:send", args).await?;
                let generation = sent["generationId"].as_str();
                let generation = generation.with_context(|| format!("turns:send answered {sent}"))?;
                Ok(Ask::Events { path: format!("/api/stream/{generation}"), token: Some(guest.token.clone()) })
            }
            Self::Broadcast { .. } => Ok(Ask::WebSocket { path: format!("/stream/{stream}") }),
            Self::Peer(peer) => Ok(peer.open(stream)),
        }
    }

    /// The request that appends one token to a stream, which exists then, and answers once it is durable.
    pub async fn append(&self, stream: usize) -> Result<Vec<u8>> {
        let path = peers::path(stream);
        match self {
            Self::Spool { server, guest, .. } => {
                ingest::create(&client()?, server.address(), &path, Some(&guest.token)).await?;
                Ok(ingest::post(server.address(), &path, Some(&guest.token), &token()))
            }
            Self::Broadcast { process, .. } => {
                Ok(ingest::post(process.address, &format!("/append/{stream}"), None, &token()))
            }
            Self::Peer(peer) => Ok(peer.append(stream)),
        }
    }

    /// Lets a stream speak.
    pub async fn begin(&mut self, stream: usize) -> Result<()> {
        match self {
            Self::Spool { .. } => Ok(()),
            Self::Broadcast { process, http, .. } => {
                let response = http.post(format!("http://{}/start/{stream}", process.address)).send().await?;
                response.error_for_status()?;
                Ok(())
            }
            Self::Peer(peer) => peer.begin(stream).await,
        }
    }
}
