//! One turn as a machine: what happens comes in, what to do goes out.
//!
//! Owns the order of the events of an answer, their batching, and how every turn ends. Must never do
//! anything itself: no IO, no async, no clock. The driver carries the effects out in their order and
//! passes the time in, so every race can be written down as a list of inputs.
//!
//! The machine does not write the log's last event: the driver's `finish` seals the log with it, in the
//! transaction that stores the final message.

use spool_protocol::event::Failure as PublicFailure;
use spool_protocol::{Code, Event, FinalStatus, Usage};

use crate::provider::{Failure, ProviderEvent, Request};

/// Why a call that nobody will answer any more is closed.
const CANCELLED: &str = "cancelled";

/// When pending events become a batch. The first goes out at once, so that the wait for the first word
/// is the model's alone.
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

/// What can happen to a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The driver owns the turn and has its prompt. Only the first counts.
    Start {
        request: Request,
    },
    Provider(ProviderEvent),
    ProviderFailed(Failure),
    /// The provider's stream is over. Before a `Finish` this is a cut.
    ProviderEnded,
    /// An [`Effect::Append`] is durable. The next waits its interval from here, so that a slow store gets
    /// fewer and larger batches instead of a token each.
    Appended,
    /// A person (or their row) asks to stop.
    StopRequested,
    /// The server ends. What is there is kept, and the turn can be made again.
    Interrupted,
    /// Another node owns the turn now, or nobody does. Nothing may be written any more.
    LeaseLost,
    /// The time asked for with [`Effect::WakeAt`], or any other time: an early or late tick is harmless.
    Tick,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    CallProvider(Request),
    /// Drop the provider's stream.
    CancelProvider,
    /// Append one batch to the generation's log. Never empty, neighbouring text already joined.
    Append(Vec<Event>),
    /// Send [`Input::Tick`] when the clock (milliseconds, the clock of `handle`) is at this time.
    WakeAt(u64),
    /// Store the final message and seal the log. The last effect of a turn.
    Finish(Outcome),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub status: FinalStatus,
    /// Present exactly if the status is `error` or `interrupted`.
    pub error: Option<PublicFailure>,
    /// The provider's latest count, if it gave one.
    pub usage: Option<Usage>,
    /// The provider's word for its end, if it came to one.
    pub finish_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Running,
    Over,
}

/// A tool call of this answer.
#[derive(Debug)]
struct Call {
    id: String,
    tool: String,
    open: bool,
}

/// The state of one turn.
#[derive(Debug)]
pub struct Turn {
    policy: FlushPolicy,
    phase: Phase,
    pending: Vec<Event>,
    pending_units: usize,
    last_flush: Option<u64>,
    wake_at: Option<u64>,
    calls: Vec<Call>,
    usage: Option<Usage>,
}

impl Turn {
    pub fn new(policy: FlushPolicy) -> Self {
        Self {
            policy,
            phase: Phase::Idle,
            pending: Vec::new(),
            pending_units: 0,
            last_flush: None,
            wake_at: None,
            calls: Vec::new(),
            usage: None,
        }
    }

    /// Whether the turn is over, so that every further input is without effect.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes one input at `now_ms` (milliseconds of any clock that mostly goes forward).
    pub fn handle(&mut self, input: Input, now_ms: u64) -> Vec<Effect> {
        match (self.phase, input) {
            (Phase::Over, _) => Vec::new(),
            (_, Input::StopRequested) => self.stop(now_ms),
            (_, Input::Interrupted) => self.interrupt(now_ms),
            (_, Input::LeaseLost) => self.abandon(),
            (Phase::Idle, Input::Start { request }) => {
                self.phase = Phase::Running;
                vec![Effect::CallProvider(request)]
            }
            (Phase::Running, Input::Appended) => {
                self.last_flush = Some(now_ms);
                Vec::new()
            }
            (Phase::Idle, _) | (Phase::Running, Input::Start { .. }) => Vec::new(),
            (Phase::Running, Input::Provider(event)) => self.provider(event, now_ms),
            (Phase::Running, Input::ProviderFailed(failure)) => self.fail(failure, now_ms),
            (Phase::Running, Input::ProviderEnded) => self.fail(Failure::cut(), now_ms),
            (Phase::Running, Input::Tick) => {
                if self.wake_at.is_some_and(|at| at <= now_ms) {
                    self.wake_at = None;
                }
                self.flush_or_wait(now_ms)
            }
        }
    }

    fn provider(&mut self, event: ProviderEvent, now_ms: u64) -> Vec<Effect> {
        match event {
            ProviderEvent::Text(text) => self.push(Event::Text { text }),
            ProviderEvent::Reasoning(text) => self.push(Event::Reasoning { text }),
            ProviderEvent::ToolCall { id, tool, input, .. } => {
                // A second call of one id could not be told from the first by anyone downstream.
                if self.calls.iter().all(|call| call.id != id) {
                    self.calls.push(Call { id: id.clone(), tool: tool.clone(), open: true });
                    self.push(Event::ToolStart { tool_call_id: id, tool, input });
                }
            }
            ProviderEvent::ToolResult { id, output, error } => {
                // Only an open call can end: readers rely on one end for each start.
                if let Some(call) = self.calls.iter_mut().find(|call| call.open && call.id == id) {
                    call.open = false;
                    self.push(Event::ToolEnd { tool_call_id: id, output, error });
                }
            }
            ProviderEvent::Source { title, url, snippet } => self.push(Event::Source { title, url, snippet }),
            ProviderEvent::ToolInput { .. } => {}
            ProviderEvent::Usage(usage) => self.usage = Some(usage),
            ProviderEvent::Finish { reason } => return self.complete(reason, now_ms),
        }
        self.flush_or_wait(now_ms)
    }

    fn push(&mut self, event: Event) {
        self.pending_units = self.pending_units.saturating_add(usize::try_from(event.units()).unwrap_or(usize::MAX));
        Event::push_coalesced(&mut self.pending, event);
    }

    fn flush_or_wait(&mut self, now_ms: u64) -> Vec<Effect> {
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
        if self.pending_units >= self.policy.max_bytes || now_ms < last {
            return None;
        }
        Some(last.saturating_add(self.policy.interval_ms)).filter(|due| now_ms < *due)
    }

    fn flush(&mut self, now_ms: u64) -> Vec<Effect> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        self.last_flush = Some(now_ms);
        self.pending_units = 0;
        vec![Effect::Append(std::mem::take(&mut self.pending))]
    }

    fn complete(&mut self, reason: String, now_ms: u64) -> Vec<Effect> {
        self.close_calls(|tool| format!("No tool named \"{tool}\" is configured on this server."));
        self.finish(FinalStatus::Complete, None, Some(reason), now_ms)
    }

    fn fail(&mut self, failure: Failure, now_ms: u64) -> Vec<Effect> {
        self.close_calls(|_| CANCELLED.to_owned());
        self.finish(FinalStatus::Error, Some(failure.into()), None, now_ms)
    }

    fn stop(&mut self, now_ms: u64) -> Vec<Effect> {
        self.cut(FinalStatus::Stopped, None, now_ms)
    }

    fn interrupt(&mut self, now_ms: u64) -> Vec<Effect> {
        let message = "The server was stopped while the answer was being written.".to_owned();
        let error = PublicFailure { code: Code::Interrupted.as_str().into(), message, retryable: true };
        self.cut(FinalStatus::Interrupted, Some(error), now_ms)
    }

    /// An end that is not the provider's.
    fn cut(&mut self, status: FinalStatus, error: Option<PublicFailure>, now_ms: u64) -> Vec<Effect> {
        let running = self.phase == Phase::Running;
        self.close_calls(|_| CANCELLED.to_owned());
        let mut effects = self.finish(status, error, None, now_ms);
        if running {
            effects.insert(effects.len() - 1, Effect::CancelProvider);
        }
        effects
    }

    /// The log is another's: what is pending here may be there already, so it is dropped.
    fn abandon(&mut self) -> Vec<Effect> {
        let running = self.phase == Phase::Running;
        self.phase = Phase::Over;
        self.pending.clear();
        if running { vec![Effect::CancelProvider] } else { Vec::new() }
    }

    /// Ends every open call, so that no reader waits for one for ever.
    fn close_calls(&mut self, error: impl Fn(&str) -> String) {
        for call in std::mem::take(&mut self.calls).into_iter().filter(|call| call.open) {
            let error = Some(error(&call.tool));
            self.push(Event::ToolEnd { tool_call_id: call.id, output: None, error });
        }
    }

    fn finish(
        &mut self, status: FinalStatus, error: Option<PublicFailure>, finish_reason: Option<String>, now_ms: u64,
    ) -> Vec<Effect> {
        let mut effects = self.flush(now_ms);
        self.phase = Phase::Over;
        effects.push(Effect::Finish(Outcome { status, error, usage: self.usage, finish_reason }));
        effects
    }
}

#[cfg(test)]
mod tests;
