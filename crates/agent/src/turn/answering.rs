//! A model speaks: its events become those of the log, and its failures are answered by asking again or by
//! asking another model, as long as nobody has seen anything of the step.

use std::collections::HashMap;

use serde_json::Value;
use spool_protocol::Event;

use super::partial::Partial;
use super::{Effect, MadeCall, Phase, Piece, Turn};
use crate::prompt::older_half;
use crate::provider::{Failure, PromptCall, ProviderEvent};

/// The tool whose text is shown while the model writes it.
pub const WRITES: &str = "write_artifact";

/// What a model said in one step.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub text: String,
    pub calls: Vec<MadeCall>,
    /// Calls that the provider runs itself, and that have no result yet.
    pub elsewhere: Vec<String>,
    /// Documents that are being written, by the provider's ids of their calls.
    pub written: HashMap<String, Partial>,
    /// Whether the log has anything of the step.
    pub shown: bool,
}

/// What makes two calls the same: tool and arguments, whatever the order of their keys.
pub(super) fn fingerprint(tool: &str, input: &Value) -> String {
    let mut input = input.clone();
    input.sort_all_objects();
    format!("{tool} {input}")
}

impl Turn {
    pub(super) fn provider(&mut self, event: ProviderEvent, now_ms: u64) -> Vec<Effect> {
        match event {
            ProviderEvent::Text(text) => {
                self.said.text.push_str(&text);
                self.show(Event::Text { text });
            }
            ProviderEvent::Reasoning(text) => self.show(Event::Reasoning { text }),
            ProviderEvent::ToolCall { .. } if self.said.calls.len() >= self.policy.max_calls => {
                return self.fail(Failure::too_many_calls(self.policy.max_calls), now_ms);
            }
            ProviderEvent::ToolCall { id, tool, input, by_provider } => self.call(id, tool, input, by_provider),
            ProviderEvent::ToolResult { id, output, error } => {
                // Only an open call can end: readers rely on one end for each start.
                if let Some(at) = self.said.elsewhere.iter().position(|open| *open == id) {
                    self.said.elsewhere.remove(at);
                    self.show(Event::ToolEnd { tool_call_id: id, output, error, denied: false });
                }
            }
            ProviderEvent::ToolInput { id, tool, delta } if tool == WRITES => self.write(id, &delta),
            ProviderEvent::ToolInput { .. } => {}
            ProviderEvent::Source { title, url, snippet } => self.show(Event::Source { title, url, snippet }),
            ProviderEvent::Usage(usage) => self.usage = Some(usage),
            ProviderEvent::Finish { reason } => return self.step_over(reason, now_ms),
        }
        self.batch.flush_or_wait(now_ms)
    }

    fn show(&mut self, event: Event) {
        // Of an empty text nobody sees anything.
        self.said.shown |= event.units() > 0;
        self.batch.push(event);
    }

    /// A piece of the arguments of a call that writes a document.
    fn write(&mut self, id: String, delta: &str) {
        let partial = self.said.written.entry(id.clone()).or_default();
        let text = partial.push(delta);
        if text.is_empty() {
            return;
        }
        let (kind, title) = (partial.kind.clone(), partial.title.clone());
        let call = self.name_of(id);
        // Another model would write another document.
        self.said.shown = true;
        self.batch.write(Piece { call, kind, title, text });
    }

    /// What the log and the model call a call. Some servers count calls anew in every step: it gets a name of its
    /// own then.
    fn name_of(&self, id: String) -> String {
        if self.ids.contains(&id) { format!("{id}_{}", self.steps + 1) } else { id }
    }

    fn call(&mut self, id: String, tool: String, input: Value, by_provider: bool) {
        let own = self.said.calls.iter().map(|call| &call.id).chain(&self.said.elsewhere);
        // A second call of one id in one step could not be told from the first by anyone downstream.
        if own.into_iter().any(|earlier| *earlier == id) {
            return;
        }
        let id = self.name_of(id);
        if !self.ids.insert(id.clone()) {
            return;
        }
        self.show(Event::ToolStart { tool_call_id: id.clone(), tool: tool.clone(), input: input.clone() });
        if by_provider {
            self.said.elsewhere.push(id);
            return;
        }
        let times = self.made.entry(fingerprint(&tool, &input)).or_default();
        *times += 1;
        let repeated = *times > self.policy.max_repeats;
        self.said.calls.push(MadeCall { id, tool, input, repeated });
    }

    /// The model has said what it wants in this step.
    fn step_over(&mut self, reason: String, now_ms: u64) -> Vec<Effect> {
        self.close_elsewhere();
        if self.said.calls.is_empty() {
            return self.complete(reason, now_ms);
        }
        let calls = std::mem::take(&mut self.said.calls);
        let made =
            |call: &MadeCall| PromptCall { id: call.id.clone(), tool: call.tool.clone(), input: call.input.clone() };
        self.request.messages.push(crate::provider::PromptMessage {
            calls: calls.iter().map(made).collect(),
            ..crate::provider::PromptMessage::new(crate::provider::Role::Assistant, std::mem::take(&mut self.said.text))
        });
        self.count_usage();
        self.steps += 1;
        self.phase = Phase::Calling;
        let (mut effects, events) = self.batch.take(now_ms);
        effects.extend([Effect::CancelProvider, Effect::Submit { events, calls, usage: self.spent }]);
        effects
    }

    /// A model failed: it is asked again, then another is, and the last one with less of the conversation if it was
    /// too long. Once something of the step was shown, a model would have to guess the rest.
    pub(super) fn failed(&mut self, failure: Failure, now_ms: u64) -> Vec<Effect> {
        let (failed, mut rest, mut left_out) = (self.candidate, 0, 0);
        if self.said.shown {
            return self.fail(failure, now_ms);
        } else if failure.retryable && self.retried < self.policy.retries {
            self.retried += 1;
            rest = self.policy.retry_ms.saturating_mul(1 << (self.retried - 1).min(16));
        } else if self.candidate + 1 < self.policy.candidates {
            self.candidate += 1;
            self.retried = 0;
        } else if failure.too_long && self.left_out < self.question {
            let sent = &self.request.messages[self.left_out..];
            left_out = older_half(sent, self.question - self.left_out);
            self.left_out += left_out;
        } else {
            return self.fail(failure, now_ms);
        }
        let noted = Effect::FallBack { candidate: failed, failure, left_out };
        self.usage = None;
        let mut effects = vec![noted];
        if rest == 0 {
            effects.extend(self.ask());
        } else {
            let until = now_ms.saturating_add(rest);
            self.phase = Phase::Resting(until);
            effects.extend([Effect::CancelProvider, Effect::WakeAt(until)]);
        }
        effects
    }

    pub(super) fn rested(&mut self, until: u64, now_ms: u64) -> Vec<Effect> {
        if now_ms < until { vec![Effect::WakeAt(until)] } else { self.ask() }
    }
}
