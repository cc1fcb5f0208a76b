//! Thousands of readers of token streams, in one thread that does nothing else.
//!
//! Each is a TCP connection that speaks just enough of its protocol, and a parser that looks for time
//! stamps. Every token must come once and in order; what does not is counted.

pub mod resp;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::LocalSet;

use crate::pacer::{DIGITS, MARK, Pacer};

/// Connections that are being made at once.
const CONNECTING: usize = 32;
/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a reader asks for its stream.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Server-sent events, which the server ends after the last token.
    Events { path: String, token: Option<String> },
    /// Server-sent events without an end.
    Endless { path: String },
    /// A WebSocket whose messages are not compressed.
    WebSocket { path: String },
    /// A Redis stream, one blocking `XREAD` after the other.
    Redis { key: String },
}

/// One token: when it was meant to be sent and how much later it was here, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub intended: u32,
    pub late: u32,
}

/// What all readers of one run saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub arrivals: Vec<Arrival>,
    /// First and last token of each reader, as intended.
    pub spans: Vec<(u32, u32)>,
    /// Streams that ended with `event: done`.
    pub done: usize,
    /// Tokens that came twice, out of order or after a gap.
    pub misplaced: u64,
    /// Bytes on the wire after the response head.
    pub bytes: u64,
    pub failures: Vec<String>,
}

/// The thread of the readers. Ends after the last stream, once `streams` is dropped.
pub struct Readers {
    pub streams: UnboundedSender<Ask>,
    listening: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Seen>>,
}

impl Readers {
    /// `tokens` is what each reader waits for if nobody closes its connection before.
    pub fn start(address: SocketAddr, pacer: &Pacer, tokens: u32) -> Result<Self> {
        let (streams, mut coming) = mpsc::unbounded_channel::<Ask>();
        let (epoch, period_us) = (pacer.epoch, u32::try_from(pacer.period_ms * 1000)?);
        let listening = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&listening);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let seen = Rc::new(RefCell::new(Seen::default()));
            let connecting = Arc::new(Semaphore::new(CONNECTING));
            LocalSet::new().block_on(&runtime, async {
                let mut readers = Vec::new();
                while let Some(ask) = coming.recv().await {
                    let (seen, counter) = (Rc::clone(&seen), Arc::clone(&counter));
                    let Ok(turn) = Arc::clone(&connecting).acquire_owned().await else { return };
                    readers.push(tokio::task::spawn_local(async move {
                        let mut reader = Reader { seen: &seen, epoch, period_us, tokens, read: 0, at: 0, span: None };
                        if let Err(error) = reader.run(address, &ask, turn, &counter).await {
                            seen.borrow_mut().failures.push(format!("{ask:?}: {error:#}"));
                        }
                    }));
                }
                for reader in readers {
                    let _ = reader.await; // a reader's own failure is noted
                }
            });
            Ok(seen.take())
        };
        let thread = thread::Builder::new().name("bench-readers".to_owned()).spawn(run)?;
        Ok(Self { streams, listening, thread })
    }

    pub fn add(&self, ask: Ask) -> Result<()> {
        self.streams.send(ask).ok().context("the readers are gone")
    }

    /// How many have the head of their response.
    pub fn listening(&self) -> usize {
        self.listening.load(Ordering::Relaxed)
    }

    /// Waits for the end of every stream.
    pub async fn finish(self) -> Result<Seen> {
        drop(self.streams);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.unwrap_or_else(|_| anyhow::bail!("the thread of the readers panicked"))
    }
}

/// What is kept of the text behind the last token: enough for the name of the last event.
const KEPT: usize = 1 << 10;

struct Reader<'a> {
    seen: &'a RefCell<Seen>,
    epoch: Instant,
    period_us: u32,
    /// Still to come.
    tokens: u32,
    read: u64,
    /// Where in the buffer to go on.
    at: usize,
    span: Option<(u32, u32)>,
}

impl Reader<'_> {
    async fn run(
        &mut self, address: SocketAddr, ask: &Ask, turn: OwnedSemaphorePermit, listening: &AtomicUsize,
    ) -> Result<()> {
        let mut buffer = Vec::with_capacity(16 << 10);
        let opened = tokio::time::timeout(PATIENCE, open(address, ask, &mut buffer)).await;
        let mut stream = opened.context("no answer")??;
        drop(turn);
        listening.fetch_add(1, Ordering::Relaxed);
        self.read = buffer.len() as u64;
        match ask {
            Ask::Redis { key } => self.poll_redis(&mut stream, key, &mut buffer).await?,
            Ask::Events { .. } => self.listen(&mut stream, &mut buffer, true).await?,
            Ask::Endless { .. } | Ask::WebSocket { .. } => self.listen(&mut stream, &mut buffer, false).await?,
        }
        let mut seen = self.seen.borrow_mut();
        seen.bytes += self.read;
        seen.done += usize::from(buffer.windows(11).any(|eleven| eleven == b"event: done"));
        seen.spans.extend(self.span);
        Ok(())
    }

    async fn listen(&mut self, stream: &mut TcpStream, buffer: &mut Vec<u8>, to_the_end: bool) -> Result<()> {
        self.parse(buffer);
        while self.tokens > 0 || to_the_end {
            let read = stream.read_buf(buffer).await?;
            if read == 0 {
                break;
            }
            self.read += read as u64;
            self.parse(buffer);
        }
        Ok(())
    }

    async fn poll_redis(&mut self, stream: &mut TcpStream, key: &str, buffer: &mut Vec<u8>) -> Result<()> {
        let mut after = "0".to_owned();
        while self.tokens > 0 {
            stream.write_all(&resp::command(&["XREAD", "BLOCK", "0", "STREAMS", key, &after])).await?;
            let end = loop {
                if let Some(end) = resp::complete(buffer) {
                    break end;
                }
                let read = stream.read_buf(buffer).await?;
                ensure!(read > 0, "Redis closed the connection");
                self.read += read as u64;
            };
            after = resp::last_id(&buffer[..end]).with_context(|| String::from_utf8_lossy(buffer).into_owned())?;
            self.parse(buffer);
            buffer.clear();
            self.at = 0;
        }
        Ok(())
    }

    /// Notes the tokens that `buffer` has beyond what was read before.
    fn parse(&mut self, buffer: &mut Vec<u8>) {
        let now = u32::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u32::MAX);
        while let Some(found) = buffer[self.at..].iter().position(|byte| *byte == MARK) {
            let start = self.at + found + 1;
            let Some(digits) = buffer.get(start..start + DIGITS) else {
                self.at = start - 1; // the rest of it is still on its way
                break;
            };
            let intended = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit.wrapping_sub(b'0')));
            self.note(intended, now);
            self.at = start + DIGITS;
        }
        let torn = buffer.get(self.at) == Some(&MARK);
        if !torn {
            self.at = buffer.len();
        }
        if self.at > KEPT * 8 {
            buffer.drain(..self.at - KEPT);
            self.at = KEPT;
        }
    }

    fn note(&mut self, intended: u32, now: u32) {
        let mut seen = self.seen.borrow_mut();
        let (first, last) = self.span.unwrap_or((intended, intended));
        let expected = self.span.map_or(intended, |_| last + self.period_us);
        seen.misplaced += u64::from(intended != expected);
        seen.arrivals.push(Arrival { intended, late: now.saturating_sub(intended) });
        self.span = Some((first, intended));
        self.tokens = self.tokens.saturating_sub(1);
    }
}

/// Connects and asks; what came behind the response's head is in `buffer`.
pub async fn open(address: SocketAddr, ask: &Ask, buffer: &mut Vec<u8>) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (request, status) = match ask {
        Ask::Redis { .. } => return Ok(stream),
        Ask::Endless { path } => (format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"), "200"),
        Ask::Events { path, token } => {
            let token = token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
            let accept = "Accept: text/event-stream\r\nConnection: close\r\n";
            (format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}{accept}\r\n"), "200")
        }
        Ask::WebSocket { path } => {
            let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: c3Bvb2wtYmVuY2gtMDAwMA==\r\n";
            (format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{upgrade}\r\n"), "101")
        }
    };
    stream.write_all(request.as_bytes()).await?;
    let head = loop {
        ensure!(stream.read_buf(buffer).await? > 0, "closed before the answer");
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let expected = format!("HTTP/1.1 {status}");
    ensure!(buffer.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&buffer[..head]));
    buffer.drain(..head);
    Ok(stream)
}
