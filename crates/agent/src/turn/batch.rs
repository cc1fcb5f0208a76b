//! When pending events, and pieces of documents, become a batch.

use spool_protocol::Event;

use super::{Effect, Piece};

/// When pending events go out. The first goes out at once, so that the wait for the first word is the model's
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushPolicy {
    /// The least time between two batches, in milliseconds. 0 makes every event a batch.
    pub interval_ms: u64,
    /// A batch of this many offset units (bytes of text) does not wait.
    pub max_bytes: usize,
}

impl Default for FlushPolicy {
    /// 25 ms is two frames of a screen, below what a reader notices; 4 KiB bounds what a crash can lose.
    fn default() -> Self {
        Self { interval_ms: 25, max_bytes: 4096 }
    }
}

#[derive(Debug)]
pub(super) struct Batch {
    policy: FlushPolicy,
    /// What goes out, in order: [`Effect::Append`] and [`Effect::Write`].
    pending: Vec<Effect>,
    units: usize,
    last_flush: Option<u64>,
    wake_at: Option<u64>,
}

impl Batch {
    pub fn new(policy: FlushPolicy) -> Self {
        Self { policy, pending: Vec::new(), units: 0, last_flush: None, wake_at: None }
    }

    pub fn push(&mut self, event: Event) {
        self.units = self.units.saturating_add(usize::try_from(event.units()).unwrap_or(usize::MAX));
        let mut batch = match self.pending.pop() {
            Some(Effect::Append(batch)) => batch,
            other => {
                self.pending.extend(other);
                Vec::new()
            }
        };
        Event::push_coalesced(&mut batch, event);
        if !batch.is_empty() {
            self.pending.push(Effect::Append(batch));
        }
    }

    /// Adds a piece to the document that a call writes.
    pub fn write(&mut self, piece: Piece) {
        self.units = self.units.saturating_add(piece.text.len());
        let before = self.pending.iter_mut().find_map(|effect| match effect {
            Effect::Write(before) if before.call == piece.call => Some(before),
            _ => None,
        });
        match before {
            Some(before) => before.text.push_str(&piece.text),
            None => self.pending.push(Effect::Write(piece)),
        }
    }

    pub fn appended(&mut self, now_ms: u64) {
        self.last_flush = Some(now_ms);
    }

    pub fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        if self.wake_at.is_some_and(|at| at <= now_ms) {
            self.wake_at = None;
        }
        self.flush_or_wait(now_ms)
    }

    /// A tick that was asked for in an earlier step may have come, and gone, between the steps.
    pub fn forget_tick(&mut self) {
        self.wake_at = None;
    }

    pub fn flush_or_wait(&mut self, now_ms: u64) -> Vec<Effect> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let Some(due) = self.due_at(now_ms) else { return self.flush(now_ms) };
        if self.wake_at.is_some() {
            return Vec::new();
        }
        self.wake_at = Some(due);
        vec![Effect::WakeAt(due)]
    }

    /// When pending events have to go out; `None` is now.
    fn due_at(&self, now_ms: u64) -> Option<u64> {
        let last = self.last_flush?;
        // A clock that was set back must not hold text for as long as it was set back.
        if self.units >= self.policy.max_bytes || now_ms < last {
            return None;
        }
        Some(last.saturating_add(self.policy.interval_ms)).filter(|due| now_ms < *due)
    }

    pub fn flush(&mut self, now_ms: u64) -> Vec<Effect> {
        if !self.pending.is_empty() {
            self.last_flush = Some(now_ms);
            self.units = 0;
        }
        std::mem::take(&mut self.pending)
    }

    /// What is pending, and the events at its end apart, for another effect that appends them.
    pub fn take(&mut self, now_ms: u64) -> (Vec<Effect>, Vec<Event>) {
        let mut effects = self.flush(now_ms);
        match effects.pop() {
            Some(Effect::Append(events)) => (effects, events),
            other => {
                effects.extend(other);
                (effects, Vec::new())
            }
        }
    }

    pub fn drop_pending(&mut self) {
        self.pending.clear();
    }
}
