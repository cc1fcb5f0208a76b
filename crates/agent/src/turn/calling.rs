//! The calls of a step are carried out: those that can run, run; those that wait for people, wait; when all
//! are over, the model is told and the next step begins.

use super::{Call, Effect, Phase, Stage, Then, Turn};
use crate::provider::{Failure, PromptMessage, Role};
use crate::tools::ToolChoice;

impl Turn {
    /// How the calls stand now. A turn that found them so, and one that was told of a change, go on alike.
    pub(super) fn calls(&mut self, calls: Vec<Call>, now_ms: u64) -> Vec<Effect> {
        self.calls = calls;
        let mut effects = Vec::new();
        for call in &self.calls {
            let again = match call.stage {
                Stage::Ready => false,
                Stage::Running => true,
                Stage::Waiting | Stage::Over { .. } => continue,
            };
            if self.begun.insert(call.row.clone()) {
                effects.push(Effect::Run { row: call.row.clone(), again });
            }
        }
        let runs = |call: &Call| matches!(call.stage, Stage::Ready | Stage::Running);
        if self.calls.iter().any(runs) {
            return effects;
        }
        if self.calls.iter().any(|call| call.stage == Stage::Waiting) {
            effects.push(Effect::Settle { park: true });
            return effects;
        }
        effects.extend(self.calls_over(now_ms));
        effects
    }

    fn calls_over(&mut self, now_ms: u64) -> Vec<Effect> {
        let mut then = Then::GoOn;
        let mut results = Vec::new();
        for call in std::mem::take(&mut self.calls) {
            let Stage::Over { result, failed, then: its } = call.stage else { continue };
            self.correct(&call.id, call.input);
            results.push(PromptMessage::result(call.id, result, failed));
            then = if its == Then::GoOn { then } else { its };
        }
        // Of a turn that goes on, what the user said to it may stand behind the calls already.
        let messages = &mut self.request.messages;
        let behind = messages.iter().rposition(|message| !message.calls.is_empty()).map_or(messages.len(), |at| at + 1);
        messages.splice(behind..behind, results);
        self.begun.clear();
        match then {
            Then::Reject => self.complete("rejected".to_owned(), now_ms),
            Then::Expire => self.fail(Failure::expired(), now_ms),
            Then::GoOn if self.steps >= self.policy.max_steps => self.complete("max_steps".to_owned(), now_ms),
            Then::GoOn => {
                self.phase = Phase::Steering;
                vec![Effect::Steer]
            }
        }
    }

    /// The model is told what ran, which need not be what it asked for.
    fn correct(&mut self, id: &str, input: serde_json::Value) {
        let mut made = self.request.messages.iter_mut().rev().flat_map(|message| &mut message.calls);
        if let Some(call) = made.find(|call| call.id == id) {
            call.input = input;
        }
    }

    /// The model speaks again, with what came of its calls and what the user said meanwhile.
    pub(super) fn next_step(&mut self, texts: Vec<String>) -> Vec<Effect> {
        let said = texts.into_iter().map(|text| PromptMessage::new(Role::User, text));
        self.request.messages.extend(said);
        // The first step may have had to call something. A later one that had to would never end.
        self.request.tool_choice = ToolChoice::Auto;
        // The first choice may read more than the model that was asked instead.
        if self.candidate > 0 {
            self.left_out = 0;
        }
        self.candidate = 0;
        self.retried = 0;
        self.ask()
    }

    /// Nothing is lost: the rows say all of it, and a decision makes them a turn again.
    pub(super) fn park(&mut self) -> Vec<Effect> {
        self.phase = Phase::Over;
        Vec::new()
    }
}
