//! A client of the sync protocol, as small as a measurement wants it. Counts the bytes on its wire.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::server::Guest;

/// The nonce of every handshake; only proxies would mind.
const NONCE: &str = "c3Bvb2wtYmVuY2gtMDAwMA==";

/// Bytes that went through a socket, in both directions.
#[derive(Debug, Default)]
pub struct Wire {
    pub read: AtomicU64,
    pub written: AtomicU64,
}

/// One signed-in connection.
pub struct Sync {
    socket: WebSocketStream<Counted>,
    pub wire: Arc<Wire>,
    query_set: u32,
}

impl Sync {
    /// Connects, signs in and asks nothing yet.
    pub async fn connect(address: SocketAddr, guest: &Guest) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /api/1.48.0/sync HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        let end = loop {
            ensure!(stream.read_buf(&mut head).await? > 0, "the sync socket was refused");
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        ensure!(head.starts_with(b"HTTP/1.1 101"), "no upgrade: {}", String::from_utf8_lossy(&head));
        let wire = Arc::new(Wire::default());
        let counted = Counted { stream, wire: Arc::clone(&wire) };
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 8 << 10;
        let rest = head.split_off(end);
        let socket = WebSocketStream::from_partially_read(counted, rest, Role::Client, Some(config)).await;
        let mut sync = Self { socket, wire, query_set: 0 };
        let session = json!({ "type": "Connect", "sessionId": "00000000-0000-4000-8000-000000000000",
            "connectionCount": 0, "lastCloseReason": "InitialConnect" });
        sync.send(&session).await?;
        sync.send(&json!({ "type": "Authenticate", "baseVersion": 0, "tokenType": "User", "value": guest.token }))
            .await?;
        Ok(sync)
    }

    /// Changes what is asked: one query goes, one comes.
    pub async fn ask(&mut self, remove: Option<u32>, add: u32, path: &str, args: &Value) -> Result<()> {
        let base = self.query_set;
        self.query_set += 1;
        let removal = remove.map(|id| json!({ "type": "Remove", "queryId": id }));
        let addition = json!({ "type": "Add", "queryId": add, "udfPath": path, "args": [args] });
        let modifications: Vec<Value> = removal.into_iter().chain([addition]).collect();
        let change = json!({ "type": "ModifyQuerySet", "baseVersion": base, "newVersion": self.query_set,
            "modifications": modifications });
        self.send(&change).await
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }

    /// The text of the next message.
    pub async fn text(&mut self) -> Result<String> {
        loop {
            match self.socket.next().await.context("the sync socket was closed")?? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Close(frame) => bail!("the server closed the sync socket: {frame:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The next result of any query, and the id of that query. Others that came with it are passed over.
    pub async fn result(&mut self) -> Result<(u32, Value)> {
        self.results().await?.into_iter().next().context("no result")
    }

    /// The results that come together next, at least one, with the ids of their queries.
    pub async fn results(&mut self) -> Result<Vec<(u32, Value)>> {
        loop {
            let message: Value = serde_json::from_str(&self.text().await?)?;
            let mut results = Vec::new();
            for modification in message["modifications"].as_array().into_iter().flatten() {
                match modification["type"].as_str() {
                    Some("QueryUpdated") => {
                        let id = modification["queryId"].as_u64().and_then(|id| u32::try_from(id).ok());
                        results.push((id.context("a result without an id")?, modification["value"].clone()));
                    }
                    Some("QueryFailed") => bail!("a query failed: {modification}"),
                    _ => {}
                }
            }
            if !results.is_empty() {
                return Ok(results);
            }
        }
    }
}

/// A stream that counts.
struct Counted {
    stream: TcpStream,
    wire: Arc<Wire>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(task, buffer);
        self.wire.read.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(task, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.wire.written.fetch_add(*written as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
