//! One turn as a machine: what happens comes in, what to do goes out.
//!
//! Owns the order of the events of an answer, its steps, their limits, and how every turn ends. Must never do
//! anything itself: no IO, no async, no clock. The driver carries the effects out in their order and
//! passes the time in, so every race can be written down as a list of inputs.
//!
//! A turn is a loop of steps. In `answering.rs` a model speaks, and may call tools; in `calling.rs` the calls
//! are carried out, as rows say; then the model speaks again. `ending.rs` is every way out, `batch.rs` when
//! events are worth an append, `partial.rs` reads a document out of a call that is still being made. The machine does not write the log's last event: the driver's `finish` seals
//! the log with it, in the transaction that stores the final message.

mod answering;
mod batch;
mod calling;
mod ending;
mod partial;

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use spool_protocol::event::Failure as PublicFailure;
use spool_protocol::{Event, FinalStatus, Usage};

use self::batch::Batch;
use crate::provider::{Failure, ProviderEvent, Request};
use crate::tools::ToolChoice;

pub use answering::WRITES;
pub use batch::FlushPolicy;

/// How far a turn may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnPolicy {
    pub flush: FlushPolicy,
    /// Times that a model may be asked, 1 or more. Calls of the last one are carried out; then the turn ends.
    pub max_steps: u32,
    /// Calls of one tool with the same arguments in one turn, 1 or more.
    pub max_repeats: u32,
    /// Calls in one step, 1 or more. A model that makes more ends the turn: it does not know what it does.
    pub max_calls: usize,
    /// Models that can be asked, 1 or more: the first, and those to fall back to.
    pub candidates: usize,
    /// How often each of them is asked again after a failure that may pass.
    pub retries: u32,
    /// Milliseconds before the first of these; each further one waits twice as long.
    pub retry_ms: u64,
}

impl Default for TurnPolicy {
    fn default() -> Self {
        Self {
            flush: FlushPolicy::default(),
            max_steps: 5,
            max_repeats: 3,
            max_calls: 128,
            candidates: 1,
            retries: 0,
            retry_ms: 500,
        }
    }
}

/// What can happen to a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The driver owns the turn and has its prompt. Only the first counts.
    Start(Box<Start>),
    Provider(ProviderEvent),
    ProviderFailed(Failure),
    /// The provider's stream is over. Before a `Finish` this is a cut.
    ProviderEnded,
    /// An [`Effect::Append`] is durable. The next waits its interval from here, so that a slow store gets
    /// fewer and larger batches instead of a token each.
    Appended,
    /// How the calls of the step stand: the answer to [`Effect::Submit`] and [`Effect::Settle`], and whenever
    /// one of them changed.
    Calls(Vec<Call>),
    /// Somebody decided about a call that waits.
    Decided,
    /// The answer to [`Effect::Steer`]: what the user said meanwhile, oldest first.
    Steered(Vec<String>),
    /// The answer to [`Effect::Settle`] where nothing can be done before somebody decides: the turn is let go.
    Parked,
    /// A person (or their row) asks to stop.
    StopRequested,
    /// The server ends. What is there is kept, and the turn can be made again.
    Interrupted,
    /// Another node owns the turn now, or nobody does. Nothing may be written any more.
    LeaseLost,
    /// The time asked for with [`Effect::WakeAt`], or any other time: an early or late tick is harmless.
    Tick,
}

/// Where a turn begins, or goes on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Start {
    /// What the model is asked. Of a turn that goes on it ends with what the answer has said and called so far.
    pub request: Request,
    /// Messages at the end of the request that are the answer so far.
    pub so_far: usize,
    /// Steps that are over, or whose calls are being carried out.
    pub steps: u32,
    /// The calls of the newest of them.
    pub calls: Vec<Call>,
    /// The tokens of these steps.
    pub spent: Option<Usage>,
}

/// A call as its row has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The id of the row.
    pub row: String,
    /// What the log and the model call it.
    pub id: String,
    /// What it runs with: the arguments of the model, or what a person made of them.
    pub input: Value,
    pub stage: Stage,
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// It can run.
    Ready,
    /// It waits for a person.
    Waiting,
    /// Somebody began it; if it was not this turn, it may have had its effect.
    Running,
    /// It is over, and this is what the model is told.
    Over { result: String, failed: bool, then: Then },
}

/// What the end of a call means for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    #[default]
    GoOn,
    /// A person rejected the plan: nothing of it is carried out.
    Reject,
    /// Nobody decided in time.
    Expire,
}

/// A call as a model made it.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeCall {
    pub id: String,
    pub tool: String,
    pub input: Value,
    /// The model made the same call too often: it is not to run.
    pub repeated: bool,
}

/// A piece of a document that a model writes as the arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What the log and the model will call the call.
    pub call: String,
    /// Present as far as they came before the text.
    pub kind: Option<String>,
    pub title: Option<String>,
    /// What follows the pieces before it. Never empty.
    pub text: String,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the model. `candidate` says which, 0 is the first choice.
    CallProvider { request: Box<Request>, candidate: usize },
    /// Drop the provider's stream.
    CancelProvider,
    /// Append one batch to the generation's log. Never empty, neighbouring text already joined.
    Append(Vec<Event>),
    /// Show the next piece of a document that a call writes, which is not made yet, and answer with
    /// [`Input::Appended`].
    Write(Piece),
    /// Append the end of a step, and store its calls and the tokens so far, all at once, and answer with
    /// [`Input::Calls`].
    Submit { events: Vec<Event>, calls: Vec<MadeCall>, usage: Option<Usage> },
    /// Carry out the call of this row, and answer with [`Input::Calls`] when it is over. `again`: somebody began
    /// it before, and nobody knows how far they came.
    Run { row: String, again: bool },
    /// Drop every call that runs.
    CancelCalls,
    /// Tell of decisions, and answer with [`Input::Calls`]; or, if `park` and nothing can be done before
    /// somebody decides, let the turn go and answer with [`Input::Parked`].
    Settle { park: bool },
    /// Answer with [`Input::Steered`].
    Steer,
    /// Note that this candidate failed, and another is asked, or the same again; `left_out` messages, the oldest, are
    /// not sent any more.
    FallBack { candidate: usize, failure: Failure, left_out: usize },
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
    /// The tokens of all steps, as far as providers counted them.
    pub usage: Option<Usage>,
    /// The provider's word for its end, if it came to one; `max_steps` or `rejected` where the turn ended itself.
    pub finish_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// A model speaks.
    Answering,
    /// A model failed, and is asked again at this time.
    Resting(u64),
    /// The calls of a step are carried out.
    Calling,
    /// The next step is about to begin.
    Steering,
    Over,
}

/// The state of one turn.
#[derive(Debug)]
pub struct Turn {
    policy: TurnPolicy,
    phase: Phase,
    batch: Batch,
    /// What the model is asked; it grows with every step.
    request: Request,
    /// The place in it of the message that is answered.
    question: usize,
    /// How many of its messages, the oldest, the model that is asked now is not sent.
    left_out: usize,
    /// The model that is asked now, and how often it was asked again.
    candidate: usize,
    retried: u32,
    steps: u32,
    /// What the model said and called in this step.
    said: answering::Said,
    /// How often each call was made, by tool and arguments.
    made: HashMap<String, u32>,
    /// The ids of every call of this turn.
    ids: HashSet<String>,
    /// The calls of the step, and which of them this turn has begun.
    calls: Vec<Call>,
    begun: HashSet<String>,
    /// Tokens of the steps before this one.
    spent: Option<Usage>,
    /// Tokens of this step, as the provider last counted them.
    usage: Option<Usage>,
}

impl Turn {
    pub fn new(policy: TurnPolicy) -> Self {
        Self {
            policy,
            phase: Phase::Idle,
            batch: Batch::new(policy.flush),
            request: Request::default(),
            question: 0,
            left_out: 0,
            candidate: 0,
            retried: 0,
            steps: 0,
            said: answering::Said::default(),
            made: HashMap::new(),
            ids: HashSet::new(),
            calls: Vec::new(),
            begun: HashSet::new(),
            spent: None,
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
            (_, Input::Appended) => {
                self.batch.appended(now_ms);
                Vec::new()
            }
            (Phase::Idle, Input::Start(start)) => self.start(*start, now_ms),
            (Phase::Answering, Input::Provider(event)) => self.provider(event, now_ms),
            (Phase::Answering, Input::ProviderFailed(failure)) => self.failed(failure, now_ms),
            (Phase::Answering, Input::ProviderEnded) => self.failed(Failure::cut(), now_ms),
            (Phase::Answering, Input::Tick) => self.batch.tick(now_ms),
            (Phase::Resting(until), Input::Tick) => self.rested(until, now_ms),
            (Phase::Calling, Input::Calls(calls)) => self.calls(calls, now_ms),
            (Phase::Calling, Input::Decided) => vec![Effect::Settle { park: false }],
            (Phase::Calling, Input::Parked) => self.park(),
            (Phase::Steering, Input::Steered(texts)) => self.next_step(texts),
            // What comes too late or twice is of no use.
            _ => Vec::new(),
        }
    }

    fn start(&mut self, start: Start, now_ms: u64) -> Vec<Effect> {
        let Start { request, so_far, steps, calls, spent } = start;
        self.spent = spent;
        let told = request.messages.len().saturating_sub(so_far);
        for call in request.messages[told..].iter().flat_map(|message| &message.calls) {
            self.ids.insert(call.id.clone());
            *self.made.entry(answering::fingerprint(&call.tool, &call.input)).or_default() += 1;
        }
        self.question = told.saturating_sub(1);
        self.request = request;
        self.steps = steps;
        if steps == 0 {
            return self.ask();
        }
        self.request.tool_choice = ToolChoice::Auto;
        self.phase = Phase::Calling;
        self.calls(calls, now_ms)
    }

    /// Asks the model that is up.
    fn ask(&mut self) -> Vec<Effect> {
        self.phase = Phase::Answering;
        self.said = answering::Said::default();
        self.batch.forget_tick();
        let mut request = Box::new(self.request.clone());
        request.messages.drain(..self.left_out);
        vec![Effect::CallProvider { request, candidate: self.candidate }]
    }
}

#[cfg(test)]
mod tests;
