//! Answers that a test dictates, delta by delta.
//!
//! Owns the script's fields and their limits. Must never change a delta: tests compare bytes.

use std::time::Duration;

use serde::Deserialize;

use super::super::{Failure, ProviderEvent};
use super::Step;

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
    /// The pause before each piece, in milliseconds.
    delay_ms: u64,
    /// A pause after the last piece and before whatever end there is, in milliseconds.
    hang_ms: u64,
    /// Fail with a retryable `provider_error` after so many deltas.
    fail_after: Option<usize>,
    /// End without an end (`provider_cut`) after so many deltas.
    cut_after: Option<usize>,
}

/// The steps of a script; one that cannot be read fails, with the reason, for good.
pub(super) fn steps(json: &str) -> Vec<Step> {
    let script: Script = match serde_json::from_str(json) {
        Ok(script) => script,
        Err(error) => {
            let failure = Failure::error(format!("The demo's script cannot be read: {error}"), false);
            return vec![Step { pause: Duration::ZERO, event: Err(failure) }];
        }
    };
    let delay = Duration::from_millis(script.delay_ms).min(MAX_PAUSE);
    let hang = Duration::from_millis(script.hang_ms).min(MAX_PAUSE);
    let spoken = script.cut_after.into_iter().chain(script.fail_after).min().unwrap_or(usize::MAX);
    let reasoning = script.reasoning.into_iter().map(ProviderEvent::Reasoning);
    let text = script.deltas.into_iter().take(spoken).map(ProviderEvent::Text);
    let mut steps: Vec<Step> = reasoning.chain(text).map(|event| Step { pause: delay, event: Ok(event) }).collect();
    let end = match (script.cut_after, script.fail_after) {
        (Some(_), _) => Err(Failure::cut()),
        (None, Some(_)) => Err(Failure::error("The demo failed here because its script says so.", true)),
        (None, None) => Ok(ProviderEvent::Finish { reason: "stop".to_owned() }),
    };
    steps.push(Step { pause: hang, event: end });
    steps
}
