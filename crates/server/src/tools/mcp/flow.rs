//! How much an MCP server may say. One that says more is cut off: it would take the memory or the time of others.

use std::fmt;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::tools::{ANSWER_BYTES, FailureKind};

/// The largest message, in bytes: an answer of [`ANSWER_BYTES`] and what is around it.
pub const MESSAGE_BYTES: usize = ANSWER_BYTES + (64 << 10);
/// What a server may say between two calls: an answer, and as much again of logs and progress.
const BETWEEN_CALLS: usize = 2 * MESSAGE_BYTES;

/// Why a connection was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    Message,
    Flood,
}

impl Overflow {
    pub fn kind(self) -> FailureKind {
        match self {
            Self::Message => FailureKind::TooLarge,
            Self::Flood => FailureKind::Failed,
        }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message => write!(f, "the MCP server sent a message of more than {} MiB", ANSWER_BYTES >> 20),
            Self::Flood => write!(f, "the MCP server sent more than {} MiB unasked", BETWEEN_CALLS >> 20),
        }
    }
}

/// Counts what one connection brings.
pub struct Flow {
    left: AtomicUsize,
    overflow: OnceLock<Overflow>,
    cut: CancellationToken,
}

impl Flow {
    pub fn new(cut: CancellationToken) -> Self {
        Self { left: AtomicUsize::new(BETWEEN_CALLS), overflow: OnceLock::new(), cut }
    }

    /// A call was made: there may be as much again.
    pub fn refill(&self) {
        self.left.store(BETWEEN_CALLS, Ordering::Relaxed);
    }

    pub fn overflow(&self) -> Option<Overflow> {
        self.overflow.get().copied()
    }

    /// Takes note of bytes that came. `false` if they were too many, and the connection is to be cut.
    pub fn admit(&self, bytes: usize) -> bool {
        let spend = |left: usize| left.checked_sub(bytes);
        let within = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
        if !within {
            self.cut(Overflow::Flood);
        }
        within
    }

    /// Ends the connection, whose server cannot be reached any more.
    pub fn end(&self) {
        self.cut.cancel();
    }

    fn cut(&self, overflow: Overflow) {
        let _ = self.overflow.set(overflow);
        self.cut.cancel();
    }
}

/// Lines that come from a process, counted.
pub struct Counted<R> {
    inner: R,
    flow: std::sync::Arc<Flow>,
    /// Bytes of the line that is not over.
    line: usize,
}

impl<R> Counted<R> {
    pub fn new(inner: R, flow: std::sync::Arc<Flow>) -> Self {
        Self { inner, flow, line: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let came = &buffer.filled()[before..];
        if polled.is_pending() || came.is_empty() {
            return polled;
        }
        self.line = match came.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => came.len() - at - 1,
            None => self.line + came.len(),
        };
        if self.line > MESSAGE_BYTES {
            self.flow.cut(Overflow::Message);
        }
        if self.line > MESSAGE_BYTES || !self.flow.admit(came.len()) {
            return Poll::Ready(Err(std::io::Error::other("it says too much")));
        }
        polled
    }
}
