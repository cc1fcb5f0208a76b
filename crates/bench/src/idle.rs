//! What a follower costs that hears nothing: memory of the server per open event stream and per sync socket.
//!
//! All followers of one kind at one server, connected after a warm-up so that what is shared is there
//! already. The kernel's share (socket buffers of both ends) is told beside it.

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::net::TcpStream;

use crate::Context;
use crate::model::{Model, Pace};
use crate::readers::{Ask, open};
use crate::report::{Report, Row};
use crate::server::{Guest, Server};
use crate::sync::Sync;

const SSE_KIB: f64 = 25.0;
const SOCKET_KIB: f64 = 16.0;
const WARM_UP: usize = 200;
/// Bytes of a page, in `/proc/net/sockstat`.
const PAGE: f64 = 4096.0;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    for followers in context.pick(&[2_000, 10_000][..], &[500][..]) {
        eprintln!("idle: {followers} followers");
        events(context, report, *followers).await?;
        sockets(context, report, *followers).await?;
    }
    Ok(())
}

async fn events(context: &Context, report: &mut Report, followers: usize) -> Result<()> {
    let model = Model::start(Pace::Silent, 50).await?;
    let directory = context.directory()?;
    let server = Server::start(context.server()?, directory.path(), Some(model.address)).await?;
    let guest = server.guest().await?;
    let thread = server.thread(&guest).await?;
    let sent = server.mutate(&guest, "turns:send", json!({ "threadId": thread, "text": "Say nothing." })).await?;
    let generation = sent["generationId"].as_str().with_context(|| format!("turns:send answered {sent}"))?;
    let ask = Ask::Events { path: format!("/api/stream/{generation}"), token: Some(guest.token.clone()) };
    let mut held: Vec<TcpStream> = Vec::with_capacity(followers);
    let mut before = Memory::now(&server)?;
    while held.len() < followers + WARM_UP {
        if held.len() == WARM_UP {
            before = Memory::now(&server)?;
        }
        held.push(open(server.address(), &ask, &mut Vec::new()).await?);
    }
    add(report, "event stream", followers, &before, &server, SSE_KIB)
}

async fn sockets(context: &Context, report: &mut Report, followers: usize) -> Result<()> {
    let directory = context.directory()?;
    let server = Server::start(context.server()?, directory.path(), None).await?;
    let guest = server.guest().await?;
    let mut held = Vec::with_capacity(followers);
    let mut before = Memory::now(&server)?;
    while held.len() < followers + WARM_UP {
        if held.len() == WARM_UP {
            before = Memory::now(&server)?;
        }
        held.push(subscribed(&server, &guest).await?);
    }
    add(report, "sync socket with a live thread list", followers, &before, &server, SOCKET_KIB)
}

async fn subscribed(server: &Server, guest: &Guest) -> Result<Sync> {
    let mut socket = Sync::connect(server.address(), guest).await?;
    let args = json!({ "paginationOpts": { "numItems": 20, "cursor": null } });
    socket.ask(None, 0, "threads:page", &args).await?;
    socket.result().await?;
    Ok(socket)
}

struct Memory {
    server_kib: f64,
    kernel_kib: f64,
}

impl Memory {
    fn now(server: &Server) -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let tcp = stat.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
        let pages = tcp.split_whitespace().skip_while(|word| *word != "mem").nth(1);
        let pages = pages.and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0);
        Ok(Self { server_kib: server.process.usage()?.resident_mb * 1024.0, kernel_kib: pages * PAGE / 1024.0 })
    }
}

fn add(report: &mut Report, what: &str, followers: usize, before: &Memory, server: &Server, target: f64) -> Result<()> {
    let after = Memory::now(server)?;
    let each = (after.server_kib - before.server_kib) / followers as f64;
    let kernel = (after.kernel_kib - before.kernel_kib) / followers as f64;
    report.add(Row {
        name: format!("memory per idle {what}, {followers}"),
        measured: format!("{each:.1} KiB, {kernel:.1} KiB in the kernel"),
        against: format!("target ≤ {target} KiB"),
        ratio: None,
        ok: Some(each <= target),
        details: json!({ "kib": each, "kernel_kib": kernel, "server_mb": after.server_kib / 1024.0 }),
    });
    Ok(())
}
