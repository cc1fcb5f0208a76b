//! Every way in which a turn ends.

use spool_protocol::event::Failure as PublicFailure;
use spool_protocol::{Code, Event, FinalStatus, Usage};

use super::{Effect, Outcome, Phase, Stage, Turn};
use crate::provider::Failure;

/// Why a call that nobody will answer any more is closed.
const CANCELLED: &str = "cancelled";

impl Turn {
    pub(super) fn complete(&mut self, reason: String, now_ms: u64) -> Vec<Effect> {
        self.finish(FinalStatus::Complete, None, Some(reason), now_ms)
    }

    pub(super) fn fail(&mut self, failure: Failure, now_ms: u64) -> Vec<Effect> {
        self.close_calls();
        self.finish(FinalStatus::Error, Some(failure.into()), None, now_ms)
    }

    pub(super) fn stop(&mut self, now_ms: u64) -> Vec<Effect> {
        self.cut(FinalStatus::Stopped, None, now_ms)
    }

    /// Between two steps nothing is lost by going, nor before anything of the next one is shown: the rows say all of
    /// it, and the next process goes on.
    pub(super) fn interrupt(&mut self, now_ms: u64) -> Vec<Effect> {
        let unseen = self.steps > 0 && !self.said.shown;
        if unseen || matches!(self.phase, Phase::Calling | Phase::Steering) {
            return self.abandon();
        }
        let message = "The server was stopped while the answer was being written.".to_owned();
        let error = PublicFailure { code: Code::Interrupted.as_str().into(), message, retryable: true };
        self.cut(FinalStatus::Interrupted, Some(error), now_ms)
    }

    /// An end that is not the provider's.
    fn cut(&mut self, status: FinalStatus, error: Option<PublicFailure>, now_ms: u64) -> Vec<Effect> {
        let cancel = self.cancel();
        self.close_calls();
        let mut effects = self.finish(status, error, None, now_ms);
        effects.splice(effects.len() - 1..effects.len() - 1, cancel);
        effects
    }

    /// The log is another's: what is pending here may be there already, so it is dropped.
    pub(super) fn abandon(&mut self) -> Vec<Effect> {
        let effects = self.cancel();
        self.phase = Phase::Over;
        self.batch.drop_pending();
        effects
    }

    /// Whatever works for this turn is told to leave off.
    fn cancel(&self) -> Vec<Effect> {
        match self.phase {
            Phase::Answering => vec![Effect::CancelProvider],
            Phase::Calling if !self.begun.is_empty() => vec![Effect::CancelCalls],
            _ => Vec::new(),
        }
    }

    /// Ends every open call, so that no reader waits for one for ever. One that waits for a person ends with
    /// its approval.
    fn close_calls(&mut self) {
        let said = self.said.calls.drain(..).map(|call| call.id);
        let runs = |stage: &Stage| matches!(stage, Stage::Ready | Stage::Running);
        let shown = |call: &super::Call| runs(&call.stage) && self.ids.contains(&call.id);
        let running = self.calls.drain(..).filter(shown).map(|call| call.id);
        for id in said.chain(running).collect::<Vec<_>>() {
            self.close(id);
        }
        self.close_elsewhere();
    }

    pub(super) fn close_elsewhere(&mut self) {
        for id in std::mem::take(&mut self.said.elsewhere) {
            self.close(id);
        }
    }

    fn close(&mut self, tool_call_id: String) {
        let error = Some(CANCELLED.to_owned());
        self.batch.push(Event::ToolEnd { tool_call_id, output: None, error, denied: false });
    }

    /// Adds the tokens of the step that is over to those before it.
    pub(super) fn count_usage(&mut self) {
        let Some(step) = self.usage.take() else { return };
        let before = self.spent.unwrap_or_default();
        let both =
            |a: Option<u64>, b: Option<u64>| (a.is_some() || b.is_some()).then(|| a.unwrap_or(0) + b.unwrap_or(0));
        self.spent = Some(Usage {
            input_tokens: before.input_tokens + step.input_tokens,
            output_tokens: before.output_tokens + step.output_tokens,
            reasoning_tokens: both(before.reasoning_tokens, step.reasoning_tokens),
            cached_tokens: both(before.cached_tokens, step.cached_tokens),
        });
    }

    fn finish(
        &mut self, status: FinalStatus, error: Option<PublicFailure>, finish_reason: Option<String>, now_ms: u64,
    ) -> Vec<Effect> {
        self.count_usage();
        let mut effects = self.batch.flush(now_ms);
        self.phase = Phase::Over;
        effects.push(Effect::Finish(Outcome { status, error, usage: self.spent, finish_reason }));
        effects
    }
}
