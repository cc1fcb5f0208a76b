//! The bare limit of fan-out: the smallest program that is durable before it delivers.
//!
//! Reads the model's streams, commits what waits to SQLite with `synchronous=FULL`, encodes each stream's
//! new text once and writes it to every WebSocket from the thread that committed. No accounts, no
//! documents, no resume, and a reader that does not keep up is dropped.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, params};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[arg(long)]
    data: PathBuf,
    /// The model that every stream reads.
    #[arg(long)]
    model: SocketAddr,
}

const DDL: &str = "CREATE TABLE chunks (id INTEGER PRIMARY KEY, log INTEGER NOT NULL, start INTEGER NOT NULL, \
    data TEXT NOT NULL)";
/// Tokens in one transaction, as in the store.
const BATCH: usize = 256;
/// Lengths of a WebSocket frame up to here take one byte.
const SHORT: usize = 125;

struct Token {
    log: u32,
    start: u64,
    text: String,
    /// Told once the token is durable.
    done: Option<oneshot::Sender<()>>,
}

/// Sockets by stream.
type Rooms = Mutex<HashMap<u32, Vec<std::net::TcpStream>>>;

struct Shared {
    model: SocketAddr,
    tokens: mpsc::Sender<Token>,
    rooms: Arc<Rooms>,
}

pub async fn serve(options: &Options) -> Result<()> {
    let database = crate::writes::raw::open(&options.data.join("limit.db"))?;
    database.execute_batch(DDL)?;
    let (tokens, queue) = mpsc::channel(8_192);
    let rooms = Arc::new(Rooms::default());
    let readers = Arc::clone(&rooms);
    std::thread::Builder::new().name("limit-writer".to_owned()).spawn(move || {
        if let Err(error) = write(&database, queue, &readers) {
            eprintln!("broadcast: {error:#}");
            std::process::exit(1);
        }
    })?;
    let shared = Arc::new(Shared { model: options.model, tokens, rooms });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &shared).await {
                eprintln!("broadcast: {error:#}");
            }
        });
    }
}

fn write(database: &Connection, mut queue: mpsc::Receiver<Token>, rooms: &Rooms) -> Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut news: HashMap<u32, Vec<u8>> = HashMap::new();
    while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
        database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for Token { log, start, text, .. } in &batch {
            database.prepare_cached("INSERT INTO chunks (log, start, data) VALUES (?1, ?2, ?3)")?.execute(params![
                log,
                start.cast_signed(),
                text
            ])?;
        }
        database.prepare_cached("COMMIT")?.execute([])?;
        for Token { log, start, text, done } in batch.drain(..) {
            done.map(|done| done.send(()));
            frame(&format!("{start}:{text}"), news.entry(log).or_default());
        }
        let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
        for (log, frames) in news.drain() {
            if let Some(sockets) = rooms.get_mut(&log) {
                sockets.retain_mut(|socket| socket.write(&frames).is_ok_and(|written| written == frames.len()));
            }
        }
    }
    Ok(())
}

/// RFC 6455 §5.2: a whole, unmasked text message.
fn frame(text: &str, out: &mut Vec<u8>) {
    debug_assert!(text.len() <= SHORT, "tokens are short");
    out.extend_from_slice(&[0x81, u8::try_from(text.len().min(SHORT)).unwrap_or_default()]);
    out.extend_from_slice(text.as_bytes());
}

async fn answer(mut stream: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut request).await? > 0, "a request without an end");
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).context("a request without a path")?;
    let log = path.rsplit('/').next().and_then(|id| id.parse::<u32>().ok()).context("a path without a stream")?;
    if path.starts_with("/append/") {
        return append(shared, log, stream, request.len()).await;
    }
    if path.starts_with("/start/") {
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await?;
        return listen(shared, log).await;
    }
    let header =
        |line: &str| line.to_ascii_lowercase().strip_prefix("sec-websocket-key:").map(|_| line[18..].trim().to_owned());
    let key = request.lines().find_map(header).context("no WebSocket")?;
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let socket = stream.into_std()?;
    shared.rooms.lock().unwrap_or_else(PoisonError::into_inner).entry(log).or_default().push(socket);
    Ok(())
}

/// Requests of one size, one after the other, each answered once its token is durable.
async fn append(shared: &Shared, log: u32, mut stream: TcpStream, length: usize) -> Result<()> {
    let mut request = vec![0; length];
    loop {
        let (done, durable) = oneshot::channel();
        let token = Token { log, start: 0, text: crate::pacer::token(), done: Some(done) };
        shared.tokens.send(token).await.ok().context("the writer is gone")?;
        durable.await?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        if stream.read_exact(&mut request).await.is_err() {
            return Ok(());
        }
    }
}

/// Reads one answer of the model and hands on each token.
async fn listen(shared: &Shared, log: u32) -> Result<()> {
    const KEY: &[u8] = b"\"content\":\"";
    let mut model = TcpStream::connect(shared.model).await?;
    model.set_nodelay(true)?;
    model.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: model\r\ncontent-length: 2\r\n\r\n{}").await?;
    let mut start = 0;
    let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
    while model.read_buf(&mut buffer).await? > 0 {
        while let Some(at) = buffer.windows(KEY.len()).position(|window| window == KEY) {
            let from = at + KEY.len();
            let Some(length) = buffer[from..].iter().position(|byte| *byte == b'"') else { break };
            let text = std::str::from_utf8(&buffer[from..from + length])?.to_owned();
            buffer.drain(..from + length);
            let units = text.len() as u64;
            shared.tokens.send(Token { log, start, text, done: None }).await.ok().context("the writer is gone")?;
            start += units;
        }
    }
    Ok(())
}
