//! A thousand readers of event streams, in one thread that does nothing else.
//!
//! Each is a TCP connection that speaks just enough HTTP/1.1, and a parser that looks for time stamps and
//! for the end. Every token must come once and in order; what does not is counted.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::LocalSet;

use crate::model::{DIGITS, MARK, PERIOD_MS};

/// Where to listen.
#[derive(Debug)]
pub struct Stream {
    pub path: String,
    pub token: Option<String>,
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
    /// First and last token of each stream, as intended.
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
pub struct Followers {
    pub streams: UnboundedSender<Stream>,
    thread: JoinHandle<Result<Seen>>,
}

impl Followers {
    pub fn start(address: SocketAddr, epoch: Instant) -> Result<Self> {
        let (streams, mut coming) = mpsc::unbounded_channel::<Stream>();
        let thread = thread::Builder::new().name("bench-readers".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let seen = Rc::new(RefCell::new(Seen::default()));
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async {
                let mut readers = Vec::new();
                while let Some(stream) = coming.recv().await {
                    let seen = Rc::clone(&seen);
                    readers.push(tokio::task::spawn_local(async move {
                        if let Err(error) = follow(address, &stream, epoch, &seen).await {
                            seen.borrow_mut().failures.push(format!("{}: {error:#}", stream.path));
                        }
                    }));
                }
                for reader in readers {
                    let _ = reader.await; // a reader's own failure is noted
                }
            });
            Ok(seen.take())
        })?;
        Ok(Self { streams, thread })
    }

    /// Waits for the end of every stream.
    pub async fn finish(self) -> Result<Seen> {
        drop(self.streams);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.unwrap_or_else(|_| anyhow::bail!("the thread of the readers panicked"))
    }
}

async fn follow(address: SocketAddr, at: &Stream, epoch: Instant, seen: &RefCell<Seen>) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let token = at.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let path = &at.path;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}Accept: text/event-stream\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;

    let mut parser = Parser::default();
    let mut buffer = Vec::with_capacity(16 << 10);
    let head = loop {
        ensure!(stream.read_buf(&mut buffer).await? > 0, "closed before the answer");
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..head]));
    buffer.drain(..head);
    let mut bytes = buffer.len() as u64;
    loop {
        parser.read(&mut buffer, epoch, &mut seen.borrow_mut());
        let read = stream.read_buf(&mut buffer).await?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
    }
    let mut seen = seen.borrow_mut();
    seen.bytes += bytes;
    seen.done += usize::from(buffer.windows(11).any(|eleven| eleven == b"event: done"));
    if let Some(span) = parser.span {
        seen.spans.push(span);
    }
    Ok(())
}

/// What is kept of the text behind the last token: enough for the name of the last event.
const KEPT: usize = 1 << 10;

#[derive(Default)]
struct Parser {
    /// Where in the buffer to go on.
    at: usize,
    span: Option<(u32, u32)>,
}

impl Parser {
    /// Notes the tokens that `buffer` has beyond what was read before.
    fn read(&mut self, buffer: &mut Vec<u8>, epoch: Instant, seen: &mut Seen) {
        let now = u32::try_from(epoch.elapsed().as_micros()).unwrap_or(u32::MAX);
        while let Some(found) = buffer[self.at..].iter().position(|byte| *byte == MARK) {
            let start = self.at + found + 1;
            let Some(digits) = buffer.get(start..start + DIGITS) else {
                self.at = start - 1; // the rest of it is still on its way
                break;
            };
            let intended = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit.wrapping_sub(b'0')));
            self.note(intended, seen);
            seen.arrivals.push(Arrival { intended, late: now.saturating_sub(intended) });
            self.at = start + DIGITS;
        }
        let torn = buffer[self.at..].first() == Some(&MARK);
        if !torn {
            self.at = buffer.len();
        }
        if self.at > KEPT * 8 {
            buffer.drain(..self.at - KEPT);
            self.at = KEPT;
        }
    }

    fn note(&mut self, intended: u32, seen: &mut Seen) {
        let (first, last) = self.span.unwrap_or((intended, intended));
        let expected = self.span.map_or(intended, |_| last + PERIOD_MS as u32 * 1000);
        seen.misplaced += u64::from(intended != expected);
        self.span = Some((first, intended));
    }
}
