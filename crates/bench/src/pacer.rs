//! Speakers on an open-loop schedule: each writes the same bytes to its socket once per period, with the
//! intended time of sending filled in.
//!
//! Whoever gets such a token knows how late it is, whatever held it up: nothing here slows down for a slow
//! reader. Plain sockets and one thread that writes all that is due each millisecond: what measures must
//! cost less than what is measured.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::latency::Latency;

/// What the time stamp of a token begins with; appears nowhere else in any wire that carries it.
pub const MARK: u8 = b'@';
/// Digits of a time stamp: microseconds since the epoch of the pacer, enough for hours.
pub const DIGITS: usize = 10;
/// Bytes of one token's text: the stamp, and what brings it to the size of a few words.
pub const TOKEN_BYTES: usize = 20;

/// The text of a token, its digits not yet filled in.
pub fn token() -> String {
    format!("@{:0DIGITS$} and more", 0)
}

/// One stream of tokens on its way out.
pub struct Speech {
    socket: TcpStream,
    /// The bytes of one token, a text of [`token`] among them.
    token: Vec<u8>,
    digits_at: usize,
    left: u32,
    /// What follows the last token.
    last: Vec<u8>,
    /// What the socket did not take yet.
    backlog: Vec<u8>,
    /// Whether the other side answers to each token, with something nobody needs.
    answered: bool,
}

impl Speech {
    /// `socket` must not block.
    pub fn new(socket: TcpStream, token: Vec<u8>, tokens: u32, last: Vec<u8>) -> Self {
        let digits_at = token.iter().position(|byte| *byte == MARK).map_or(0, |at| at + 1);
        Self { socket, token, digits_at, left: tokens, last, backlog: Vec::new(), answered: false }
    }

    /// Reads and drops what comes back.
    pub fn answered(self) -> Self {
        Self { answered: true, ..self }
    }

    /// Writes the next token, or the end. False once there is nothing more to write, or nobody reads.
    fn say(&mut self, stamp: &[u8]) -> bool {
        let mut dropped = [0; 4096];
        while self.answered && self.socket.read(&mut dropped).is_ok_and(|read| read == dropped.len()) {}
        if self.left > 0 {
            self.left -= 1;
            self.token[self.digits_at..self.digits_at + DIGITS].copy_from_slice(stamp);
            self.backlog.extend_from_slice(&self.token);
        } else {
            self.backlog.append(&mut self.last);
        }
        match self.socket.write(&self.backlog) {
            Ok(written) => drop(self.backlog.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        self.left > 0 || !self.last.is_empty() || !self.backlog.is_empty()
    }
}

/// The thread that speaks. Ends when dropped, together with all that speak.
pub struct Pacer {
    /// Time stamps count from here.
    pub epoch: Instant,
    pub period_ms: u64,
    speeches: mpsc::Sender<Speech>,
    lateness: Arc<Mutex<Latency>>,
}

impl Pacer {
    pub fn start(period_ms: u64) -> Result<Self> {
        let epoch = Instant::now();
        let lateness = Arc::new(Mutex::new(Latency::new()?));
        let (speeches, arrivals) = mpsc::channel();
        let late = Arc::clone(&lateness);
        let run = move || run(epoch, period_ms, &arrivals, &late);
        thread::Builder::new().name("bench-pacer".to_owned()).spawn(run)?;
        Ok(Self { epoch, period_ms, speeches, lateness })
    }

    pub fn begin(&self, speech: Speech) -> Result<()> {
        self.speeches.send(speech).ok().context("the pacer is gone")
    }

    /// How late the pacer itself was: from the intended time to the write.
    pub fn lateness(&self) -> Latency {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Each millisecond is a slot; a stream speaks in one of each period. New streams go round the slots, so
/// that the load is even.
fn run(epoch: Instant, period_ms: u64, arrivals: &mpsc::Receiver<Speech>, lateness: &Mutex<Latency>) {
    let mut slots: Vec<Vec<Speech>> = (0..period_ms).map(|_| Vec::new()).collect();
    let (mut tick, mut newcomer) = (0_u64, 0_u64);
    loop {
        loop {
            match arrivals.try_recv() {
                Ok(speech) => {
                    // 7 has no common factor with the periods in use: newcomers take every slot in turn.
                    newcomer += 7;
                    slots[(newcomer % period_ms) as usize].push(speech);
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        tick += 1;
        let due = epoch + Duration::from_millis(tick);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let slot = &mut slots[(tick % period_ms) as usize];
        if slot.is_empty() {
            continue;
        }
        let stamp = format!("{:0DIGITS$}", tick * 1000);
        let mut lateness = lateness.lock().unwrap_or_else(PoisonError::into_inner);
        slot.retain_mut(|speech| {
            let alive = speech.say(stamp.as_bytes());
            lateness.since(due);
            alive
        });
    }
}
