//! The end of an answer: the log becomes the message, is sealed, and the thread is free.

use spool_protocol::{Code, Event, Failure, FinalStatus, Result, Usage};
use spool_store::Tx;

use super::begin::begin_next;
use super::{append, calls, consent, events_of, message_of, start};
use crate::context::CallContext;
use crate::functions::external::arrivals;
use crate::functions::{artifacts, runtime};
use crate::limits;
use crate::parts::{self, Fold, Part};
use crate::quota;
use crate::states::WorkerApproval;
use crate::states::{GenerationStatus, GenerationStep, MessageStatus, MessageStep};
use crate::summary;
use crate::tables::{Generation, Thread};

/// How an answer ended.
pub(crate) struct Ending {
    pub status: FinalStatus,
    pub error: Option<Failure>,
    pub usage: Option<Usage>,
    pub finish_reason: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// The whole text, where the runner knows it better than the log.
    pub text: Option<String>,
}

impl Ending {
    /// An ending that its status explains.
    pub fn plain(status: FinalStatus) -> Self {
        Self { status, error: None, usage: None, finish_reason: None, model: None, provider: None, text: None }
    }

    /// Nobody can make the answer: the worker that was to is revoked or removed.
    pub fn without_worker() -> Self {
        let message = "The worker that was to answer is revoked or removed.";
        let error = Some(failure(Code::WorkerUnavailable, message, true));
        Self { error, ..Self::plain(FinalStatus::Error) }
    }

    /// The user has lost the role in which the answer was asked for, and with it what the role may see and call.
    pub fn without_role() -> Self {
        let message = "You do not have the role any more in which this answer was asked for. Ask again.";
        Self { error: Some(failure(Code::Forbidden, message, true)), ..Self::plain(FinalStatus::Error) }
    }

    /// The error that people and programs see: every failure has one, and nothing else.
    fn shown_error(&mut self) -> Option<Failure> {
        let given = self.error.take();
        match self.status {
            FinalStatus::Complete | FinalStatus::Stopped => None,
            FinalStatus::Error => {
                Some(given.unwrap_or_else(|| failure(Code::ProviderError, "The answer could not be made.", true)))
            }
            FinalStatus::Interrupted => Some(given.unwrap_or_else(|| {
                failure(Code::Interrupted, "The server was interrupted while it answered. What it had is kept.", true)
            })),
        }
    }
}

pub(crate) fn failure(code: Code, message: &str, retryable: bool) -> Failure {
    Failure { code: code.as_str().to_owned(), message: message.to_owned(), retryable }
}

/// Ends a generation that is not over: message, generation, log and thread in one step, and the next
/// waiting turn begins. `thread` is the generation's own. Returns where the log ended.
pub(crate) fn end(
    tx: &mut Tx<'_>, ctx: &CallContext, mut thread: Thread, generation: Generation, ending: Ending,
) -> Result<u64> {
    let log_end = end_one(tx, ctx, &mut thread, generation, ending)?;
    while thread.deleted_at.is_none()
        && let Some(next) = begin_next(tx, ctx, &mut thread)?
        && !has_runner(tx, &next)?
    {
        end_one(tx, ctx, &mut thread, next, Ending::without_worker())?;
    }
    tx.put(&thread)?;
    Ok(log_end)
}

/// Whether anybody can make this answer: its worker may have been revoked or removed.
fn has_runner(tx: &mut Tx<'_>, generation: &Generation) -> Result<bool> {
    let Some(worker) = &generation.worker_id else { return Ok(true) };
    Ok(tx.get(worker)?.is_some_and(|worker| worker.approval == WorkerApproval::Approved))
}

/// Ends one answer. The caller stores the thread.
fn end_one(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread, mut generation: Generation, mut ending: Ending,
) -> Result<u64> {
    let begins_late = matches!(ending.status, FinalStatus::Complete | FinalStatus::Interrupted);
    if begins_late && generation.status == GenerationStatus::Claimed {
        start(tx, &mut generation)?; // an answer without a single event
    }
    consent::cancel_pending(tx, &generation)?;
    let mut made = Vec::new();
    if generation.steps > 0 {
        let decisions = calls::tell_decisions(tx, &generation)?;
        calls::append_step(tx, &mut generation, &decisions)?;
    }
    if generation.steps > 0 || generation.runner.is_outside() {
        made = calls::cancel_open(tx, &generation)?;
    }
    if generation.runner.is_outside() {
        arrivals::forget(tx, &generation.id)?;
    }
    artifacts::draft::abandon(tx, &generation)?;
    if ending.status == FinalStatus::Complete {
        runtime::carried_out(tx, ctx, &generation)?;
    }
    let mut answer = folded(tx, &generation)?;
    calls::time_parts(&mut answer, made);
    if let Some(full) = ending.text.take() {
        (answer, generation.text_differs) = with_full_text(tx, &generation, answer, &full)?;
    }
    if !fits(&answer) {
        ending.status = FinalStatus::Error;
        ending.error = Some(failure(Code::TooLarge, "The answer is too long to be kept whole.", false));
        answer = shortened(answer);
    }
    let error = ending.shown_error();
    // Whoever ends it from outside does not know what its steps have cost; the row does.
    generation.usage = ending.usage.or(generation.usage);
    let last = Event::Status {
        status: ending.status,
        error: error.clone(),
        usage: generation.usage,
        finish_reason: ending.finish_reason.clone(),
    };
    let log_end = append(tx, &generation, &[last])?;
    tx.log_seal(generation.id.as_str())?;

    let now = tx.now();
    generation.status = generation.status.step(GenerationStep::Finish(ending.status))?;
    generation.active_thread_id = None;
    generation.lease_expires_at = None;
    generation.log_end = Some(log_end);
    generation.error.clone_from(&error);
    generation.finish_reason.clone_from(&ending.finish_reason);
    generation.ended_at = Some(now);
    if let Some(model) = ending.model {
        generation.model = model;
    }
    generation.provider = ending.provider.or(generation.provider);
    tx.put(&generation)?;
    if let Some(usage) = &generation.usage {
        quota::add_tokens(tx, &generation.user_id, usage)?;
    }

    let mut message = message_of(tx, &generation)?;
    message.status = message.status.step(MessageStep::Finish(ending.status))?;
    debug_assert_eq!(message.status, MessageStatus::following(generation.status, generation.started_mark));
    message.parts = answer;
    message.model = Some(generation.model.clone());
    message.provider.clone_from(&generation.provider);
    message.usage = generation.usage;
    message.finish_reason = ending.finish_reason;
    message.error = error;
    message.completed_at = Some(now);
    tx.put(&message)?;

    thread.active_generation_id = None;
    thread.touch(now);
    summary::consider(tx, ctx, thread, &generation)?;
    Ok(log_end)
}

/// Stops a generation that nobody has begun, or that nobody here can reach but by its row. Says whether
/// it did; what runs on the server is told by `stopRequestedAt` and ends itself.
pub(crate) fn cancel_unstarted(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: Thread, mut generation: Generation,
) -> Result<bool> {
    generation.stop_requested_at.get_or_insert(tx.now());
    let reachable =
        generation.runner == crate::tables::Runner::Hosted && generation.status == GenerationStatus::Streaming;
    if reachable {
        tx.put(&generation)?;
        return Ok(false);
    }
    end(tx, ctx, thread, generation, Ending::plain(FinalStatus::Stopped))?;
    Ok(true)
}

/// The parts that the log of a generation holds now.
pub(crate) fn folded(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<Part>> {
    let mut fold = Fold::default();
    for chunk in tx.log_read_all(generation.id.as_str())? {
        events_of(&chunk)?.into_iter().for_each(|event| fold.push(event));
    }
    Ok(fold.finish())
}

/// The complete text wins over what was streamed. What was only missing at the end is streamed now, so
/// that readers of the log get it too; if the two differ before that, readers have seen another text.
fn with_full_text(
    tx: &mut Tx<'_>, generation: &Generation, answer: Vec<Part>, full: &str,
) -> Result<(Vec<Part>, bool)> {
    let streamed = parts::text(&answer);
    let rest = full.strip_prefix(streamed.as_str());
    if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
        append(tx, generation, &[Event::Text { text: rest.to_owned() }])?;
    }
    Ok((parts::rewrite_text(answer, full), rest.is_none()))
}

fn json_bytes(part: &Part) -> usize {
    serde_json::to_string(part).map_or(usize::MAX, |json| json.len() + 1)
}

fn fits(answer: &[Part]) -> bool {
    answer.iter().map(json_bytes).fold(0, usize::saturating_add) <= limits::PARTS_BYTES
}

/// As many parts as fit, the last one shortened if it is text.
fn shortened(answer: Vec<Part>) -> Vec<Part> {
    let mut room = limits::PARTS_BYTES;
    let mut kept = Vec::new();
    for part in answer {
        let bytes = json_bytes(&part);
        if bytes <= room {
            room -= bytes;
            kept.push(part);
            continue;
        }
        if let Part::Text { mut text } = part {
            // One byte of text is at most six bytes of JSON (\u0000).
            let mut length = (room / 6).min(text.len());
            while !text.is_char_boundary(length) {
                length -= 1;
            }
            text.truncate(length);
            kept.push(Part::Text { text });
        }
        break;
    }
    kept
}
