//! A model behind an OpenAI-compatible endpoint that speaks on an open-loop schedule.
//!
//! Each token's text is its intended time of sending, so whoever gets it knows how late it is, whatever
//! held it up: nothing here slows down for a slow reader. Plain sockets and one thread that writes all
//! that is due each millisecond: what measures must cost less than what is measured.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream as Socket};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::latency::Latency;

/// Milliseconds between two tokens of a stream.
pub const PERIOD_MS: u64 = 50;
/// Digits of a time stamp: microseconds since the epoch of the model, enough for hours.
pub const DIGITS: usize = 10;
/// What a token begins with; appears nowhere else in any wire that carries it.
pub const MARK: u8 = b'@';

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
    connection: close\r\n\r\n";
const BEFORE: &str = r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{"content":""#;
const AFTER: &str = r#""},"logprobs":null,"finish_reason":null}]}"#;
const LAST: &str = concat!(
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10,"total_tokens":20}}"#,
    "\n\ndata: [DONE]\n\n"
);

/// How the model answers every request.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// One token and the end, at once.
    AtOnce,
    /// So many tokens, one each [`PERIOD_MS`].
    Steady { tokens: u32 },
}

/// A running model. Stops when dropped.
pub struct Model {
    pub address: SocketAddr,
    /// Time stamps count from here.
    pub epoch: Instant,
    lateness: Arc<Mutex<Latency>>,
    accepting: JoinHandle<()>,
}

impl Model {
    pub async fn start(pace: Pace) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let epoch = Instant::now();
        let lateness = Arc::new(Mutex::new(Latency::new()?));
        let (sender, arrivals) = mpsc::channel();
        let pacer = Pacer { epoch, arrivals, lateness: Arc::clone(&lateness), token: token_template() };
        thread::Builder::new().name("bench-model".to_owned()).spawn(move || pacer.run())?;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    // A client that goes away in the middle of its request gets no answer.
                    let _ = answer(stream, pace, &sender).await;
                });
            }
        });
        Ok(Self { address, epoch, lateness, accepting })
    }

    /// How late the model itself was: from the intended time to the write.
    pub fn lateness(&self) -> Latency {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // With the listener goes the last sender, and with it the pacer.
        self.accepting.abort();
    }
}

async fn answer(mut stream: TcpStream, pace: Pace, pacer: &mpsc::Sender<Speech>) -> Result<()> {
    stream.set_nodelay(true)?;
    read_request(&mut stream).await?;
    match pace {
        Pace::AtOnce => {
            let text = format!("{BEFORE}@{:0DIGITS$} {AFTER}\n\n{LAST}", 0);
            let body = format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
            stream.write_all(&[HEAD, body.as_bytes()].concat()).await?;
            stream.shutdown().await?;
        }
        Pace::Steady { tokens } => {
            stream.write_all(HEAD).await?;
            let socket = stream.into_std()?;
            pacer.send(Speech { socket, left: tokens, backlog: Vec::new() }).ok().context("the pacer is gone")?;
        }
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> Result<()> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            bail!("the request ended early");
        }
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if request.len() >= head + 4 + length.unwrap_or(0) {
            return Ok(());
        }
    }
}

/// One answer on its way out.
struct Speech {
    socket: Socket,
    left: u32,
    /// What the socket did not take yet.
    backlog: Vec<u8>,
}

struct Pacer {
    epoch: Instant,
    arrivals: mpsc::Receiver<Speech>,
    lateness: Arc<Mutex<Latency>>,
    token: Vec<u8>,
}

/// One token as a chunk of HTTP; its digits are filled in for each.
fn token_template() -> Vec<u8> {
    let length = BEFORE.len() + 1 + DIGITS + 1 + AFTER.len() + 2;
    format!("{length:x}\r\n{BEFORE}@{:0DIGITS$} {AFTER}\n\n\r\n", 0).into_bytes()
}

impl Pacer {
    /// Each millisecond is a slot; a stream speaks in every fiftieth. New streams go round the slots, so
    /// that the load is even.
    fn run(mut self) {
        let mut slots: Vec<Vec<Speech>> = (0..PERIOD_MS).map(|_| Vec::new()).collect();
        let digits_at = self.token.iter().position(|byte| *byte == MARK).map_or(0, |at| at + 1);
        let (mut tick, mut newcomer) = (0_u64, 0_u64);
        loop {
            loop {
                match self.arrivals.try_recv() {
                    Ok(speech) => {
                        // 7 and 50 have no common factor: fifty newcomers take fifty slots.
                        newcomer += 7;
                        slots[(newcomer % PERIOD_MS) as usize].push(speech);
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            tick += 1;
            let due = self.epoch + Duration::from_millis(tick);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let slot = &mut slots[(tick % PERIOD_MS) as usize];
            if slot.is_empty() {
                continue;
            }
            let digits = format!("{:0DIGITS$}", tick * 1000);
            self.token[digits_at..digits_at + DIGITS].copy_from_slice(digits.as_bytes());
            let mut lateness = self.lateness.lock().unwrap_or_else(PoisonError::into_inner);
            slot.retain_mut(|speech| {
                let alive = speech.say(&self.token);
                lateness.since(due);
                alive
            });
        }
    }
}

impl Speech {
    /// Writes the next token, or the end. False once there is nothing more to write, or nobody reads.
    fn say(&mut self, token: &[u8]) -> bool {
        let over = self.left == 0;
        if over {
            if self.backlog.is_empty() || !self.backlog.ends_with(b"0\r\n\r\n") {
                self.backlog.extend_from_slice(format!("{:x}\r\n{LAST}\r\n0\r\n\r\n", LAST.len()).as_bytes());
            }
        } else {
            self.left -= 1;
            if self.backlog.is_empty() {
                return match self.socket.write(token) {
                    Ok(written) => {
                        self.backlog.extend_from_slice(&token[written..]);
                        true
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.backlog.extend_from_slice(token);
                        true
                    }
                    Err(_) => false,
                };
            }
            self.backlog.extend_from_slice(token);
        }
        match self.socket.write(&self.backlog) {
            Ok(written) => {
                self.backlog.drain(..written);
                !(over && self.backlog.is_empty())
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
