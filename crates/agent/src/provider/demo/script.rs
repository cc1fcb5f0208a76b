//! Answers that a test dictates, delta by delta.
//!
//! Owns the script's fields and their limits. Must never change a delta: tests compare bytes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::calls::Ids;
use super::super::{Failure, ProviderEvent, Request, Role};
use super::{Step, work};

/// The longest pause of a script. It is open to every user of the demo, so it ends.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// A dictated answer. Every field may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Script {
    /// Pieces of reasoning; they come first.
    reasoning: Vec<String>,
    /// Pieces of text.
    deltas: Vec<String>,
    /// Says the results of the latest calls, each as a piece of text, behind the deltas.
    say_results: bool,
    /// Calls at the end of the answer, of tools that the server runs.
    tool_calls: Vec<Called>,
    /// The answer to the results of `tool_calls`. Default: an empty one.
    then: Option<Box<Script>>,
    /// Instead of everything else: one script for the question and one for each round of results; the last
    /// serves all further rounds.
    steps: Vec<Script>,
    /// The pause before each piece, in milliseconds.
    delay_ms: u64,
    /// A pause after the last piece and before whatever end there is, in milliseconds.
    hang_ms: u64,
    /// Fail with a retryable `provider_error` after so many deltas.
    fail_after: Option<usize>,
    /// End without an end (`provider_cut`) after so many deltas.
    cut_after: Option<usize>,
}

/// A dictated call. It may be of a tool that does not exist, with any input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Called {
    tool: String,
    #[serde(default)]
    input: Value,
}

/// The steps of a script for `request`, whose latest question it is; one that cannot be read fails, with the
/// reason, for good.
pub(super) fn steps(json: &str, request: &Request) -> Vec<Step> {
    let script: Script = match serde_json::from_str(json) {
        Ok(script) => script,
        Err(error) => {
            let failure = Failure::error(format!("The demo's script cannot be read: {error}"), false);
            return vec![Step { pause: Duration::ZERO, event: Err(failure) }];
        }
    };
    script.round(rounds(request)).events(request)
}

/// How many answers with calls there are since the question.
fn rounds(request: &Request) -> usize {
    let since = request.messages.iter().rev().take_while(|message| message.role != Role::User);
    since.filter(|message| !message.calls.is_empty()).count()
}

impl Script {
    fn round(mut self, number: usize) -> Script {
        if !self.steps.is_empty() {
            let at = number.min(self.steps.len() - 1);
            return self.steps.swap_remove(at);
        }
        if number == 0 || (self.then.is_none() && self.tool_calls.is_empty()) {
            return self;
        }
        self.then.map_or_else(Script::default, |then| then.round(number - 1))
    }

    fn events(self, request: &Request) -> Vec<Step> {
        let delay = Duration::from_millis(self.delay_ms).min(MAX_PAUSE);
        let hang = Duration::from_millis(self.hang_ms).min(MAX_PAUSE);
        let spoken = self.cut_after.into_iter().chain(self.fail_after).min().unwrap_or(usize::MAX);
        let results = request.messages.iter().rev().take_while(|message| message.role == Role::Tool);
        let mut results: Vec<_> = results.filter(|_| self.say_results).map(|message| message.text.clone()).collect();
        results.reverse();

        let reasoning = self.reasoning.into_iter().map(ProviderEvent::Reasoning);
        let text = self.deltas.into_iter().chain(results).take(spoken).map(ProviderEvent::Text);
        let mut ids = Ids::of(request);
        let mut calls: Vec<_> = self
            .tool_calls
            .into_iter()
            .map(|called| work::call(&mut ids, request, called.tool, called.input))
            .collect();
        let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
        let end = match (self.cut_after, self.fail_after) {
            (Some(_), _) => Err(Failure::cut()),
            (None, Some(_)) => Err(Failure::error("The demo failed here because its script says so.", true)),
            (None, None) => Ok(ProviderEvent::Finish { reason: reason.to_owned() }),
        };
        // Where the answer breaks off in its text, it never comes to its calls.
        if end.is_err() {
            calls.clear();
        }
        let events = reasoning.chain(text).chain(calls);
        let mut steps: Vec<Step> = events.map(|event| Step { pause: delay, event: Ok(event) }).collect();
        steps.push(Step { pause: hang, event: end });
        steps
    }
}
