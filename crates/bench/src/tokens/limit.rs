//! The raw limit of the way from a token to its readers: the smallest program that does what Spool promises.
//!
//! Reads the model's streams, commits every token to SQLite with `synchronous=FULL`, then delivers it over
//! SSE with axum. No accounts, no documents, no resume, no live queries, no leases. Runs as a process of
//! its own, started by the benchmark, so that its CPU time is told apart.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::Stream;
use rusqlite::{Connection, params};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[arg(long)]
    pub data: PathBuf,
    /// The model that every stream reads.
    #[arg(long)]
    pub model: SocketAddr,
    /// Milliseconds that tokens are gathered for one commit; 0 commits whatever waits.
    #[arg(long, default_value_t = 0)]
    pub window_ms: u64,
}

const DDL: &str = "
    CREATE TABLE _clock (id INTEGER PRIMARY KEY CHECK (id = 1), ts INTEGER NOT NULL);
    INSERT INTO _clock VALUES (1, 0);
    CREATE TABLE _log_chunks (log TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (log, start)) WITHOUT ROWID;
    CREATE TABLE rows (_id TEXT PRIMARY KEY, document TEXT NOT NULL, a BLOB, b BLOB, c BLOB);
    CREATE UNIQUE INDEX rows_a ON rows (a); CREATE UNIQUE INDEX rows_b ON rows (b); CREATE UNIQUE INDEX rows_c ON rows (c);";
/// Jobs in one transaction, as in the store.
const BATCH: usize = 256;
/// The rows that sending a message writes: two messages, a generation, the thread.
const SENT_ROWS: u64 = 4;

enum Job {
    Token { log: Arc<str>, start: u64, text: String, reader: mpsc::UnboundedSender<String> },
    Send { document: String, done: oneshot::Sender<u64> },
}

struct Shared {
    model: SocketAddr,
    jobs: mpsc::Sender<Job>,
    /// Ends of streams that nobody has asked for yet.
    waiting: Mutex<HashMap<String, mpsc::UnboundedReceiver<String>>>,
}

pub async fn serve(options: &Options) -> Result<()> {
    let database = crate::writes::raw::open(&options.data.join("limit.db"))?;
    database.execute_batch(DDL)?;
    let (jobs, queue) = mpsc::channel(8_192);
    let window = Duration::from_millis(options.window_ms);
    std::thread::Builder::new().name("limit-writer".to_owned()).spawn(move || {
        if let Err(error) = write(&database, queue, window) {
            eprintln!("limit: {error:#}");
            std::process::exit(1);
        }
    })?;
    let shared = Arc::new(Shared { model: options.model, jobs, waiting: Mutex::default() });
    let router = Router::new()
        .route("/start/{id}", post(start))
        .route("/stream/{id}", get(stream))
        .route("/send", post(send))
        .with_state(shared);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    Ok(axum::serve(listener, router).await?)
}

fn write(database: &Connection, mut queue: mpsc::Receiver<Job>, window: Duration) -> Result<()> {
    let (mut batch, mut ts, mut row) = (Vec::with_capacity(BATCH), 0_i64, 0_u64);
    loop {
        std::thread::sleep(window);
        let limit = if window.is_zero() { BATCH } else { 8_192 };
        if queue.blocking_recv_many(&mut batch, limit) == 0 {
            return Ok(());
        }
        ts += 1;
        database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        database.prepare_cached("UPDATE _clock SET ts = ?1")?.execute([ts])?;
        for job in &batch {
            match job {
                Job::Token { log, start, text, .. } => {
                    let end = start + text.len() as u64;
                    let data = format!(r#"[{{"type":"text","text":"{text}"}}]"#);
                    database
                        .prepare_cached("INSERT INTO _log_chunks (log, start, end, data) VALUES (?1, ?2, ?3, ?4)")?
                        .execute(params![&**log, start.cast_signed(), end.cast_signed(), data])?;
                }
                Job::Send { document, .. } => {
                    for _ in 0..SENT_ROWS {
                        row += 1;
                        let key = format!("{row:040}");
                        database
                            .prepare_cached("INSERT INTO rows (_id, document, a, b, c) VALUES (?1, ?2, ?3, ?3, ?3)")?
                            .execute(params![key, document, key.as_bytes()])?;
                    }
                }
            }
        }
        database.prepare_cached("COMMIT")?.execute([])?;
        for job in batch.drain(..) {
            // Whoever does not listen any more has lost nothing here.
            match job {
                Job::Token { text, reader, .. } => drop(reader.send(text)),
                Job::Send { done, .. } => drop(done.send(row)),
            }
        }
    }
}

async fn send(State(shared): State<Arc<Shared>>, document: String) -> Result<String, StatusCode> {
    let (done, answer) = oneshot::channel();
    let gone = StatusCode::SERVICE_UNAVAILABLE;
    shared.jobs.send(Job::Send { document, done }).await.map_err(|_| gone)?;
    Ok(format!(r#"{{"status":"success","value":{}}}"#, answer.await.map_err(|_| gone)?))
}

async fn start(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> &'static str {
    let (reader, waiting) = mpsc::unbounded_channel();
    shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), waiting);
    tokio::spawn(async move {
        if let Err(error) = listen(&shared, &id, reader).await {
            eprintln!("limit: stream {id}: {error:#}");
        }
    });
    "{}"
}

/// Reads one answer of the model and hands on each token.
async fn listen(shared: &Shared, id: &str, reader: mpsc::UnboundedSender<String>) -> Result<()> {
    const KEY: &[u8] = b"\"content\":\"";
    let mut model = TcpStream::connect(shared.model).await?;
    model.set_nodelay(true)?;
    model.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: model\r\ncontent-length: 2\r\n\r\n{}").await?;
    let (log, mut start): (Arc<str>, u64) = (id.into(), 0);
    let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
    while model.read_buf(&mut buffer).await? > 0 {
        while let Some(at) = find(&buffer, KEY) {
            let from = at + KEY.len();
            let Some(length) = buffer[from..].iter().position(|byte| *byte == b'"') else { break };
            let text = std::str::from_utf8(&buffer[from..from + length])?.to_owned();
            buffer.drain(..from + length);
            let units = text.len() as u64;
            let job = Job::Token { log: Arc::clone(&log), start, text, reader: reader.clone() };
            shared.jobs.send(job).await.ok().context("the writer is gone")?;
            start += units;
        }
    }
    Ok(())
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

async fn stream(
    State(shared): State<Arc<Shared>>, Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    let tokens = waiting.ok_or(StatusCode::NOT_FOUND)?;
    let events = futures_util::stream::unfold(Some((tokens, 0)), |reader| async move {
        let (mut tokens, offset) = reader?;
        let Some(text) = tokens.recv().await else {
            return Some((Ok(Event::default().event("done").data(r#"{"status":"complete"}"#)), None));
        };
        let offset = offset + text.len();
        let event = Event::default().event("text").id(offset.to_string()).data(format!(r#"{{"text":"{text}"}}"#));
        Some((Ok(event), Some((tokens, offset))))
    });
    Ok(Sse::new(events))
}
