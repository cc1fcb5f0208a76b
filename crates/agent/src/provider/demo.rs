//! The model that ships with Spool: no key, no network, and honest about being no model.
//!
//! Owns the pace of its answers; what they say is in `answer.rs`, and `script.rs` lets a test dictate one.
//! Must never pretend to understand: it quotes, counts and explains, and says so.
//!
//! # Script mode
//!
//! A user message that starts with `/script ` and goes on with JSON is answered exactly as it says, each
//! delta as it stands: `/script {"reasoning": ["hm"], "deltas": ["a", " b"], "delayMs": 20}`, or with calls:
//! `/script {"toolCalls": [{"tool": "search", "input": {"q": "x"}}], "then": {"deltas": ["found"]}}`. See
//! `script.rs` for every field.
//!
//! # Tools
//!
//! Offered tools it really calls (`work.rs`): those that share words with the question (`choice.rs`), with
//! arguments made from their schemas (`input.rs`).

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream;
use spool_protocol::Usage;

use super::{EventStream, Failure, Provider, ProviderEvent, Request, Role, checked};

mod answer;
mod choice;
mod input;
mod quotation;
mod script;
mod work;

/// What a script starts with.
const SCRIPT: &str = "/script ";

/// How the demo behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemoOptions {
    /// The pace of text and reasoning. 0 (or less) leaves out every pause but those of a script.
    pub words_per_second: f32,
}

impl Default for DemoOptions {
    /// A little faster than people read, as most models are.
    fn default() -> Self {
        Self { words_per_second: 50.0 }
    }
}

/// The demo model.
#[derive(Debug, Clone, Default)]
pub struct Demo {
    options: DemoOptions,
}

impl Demo {
    pub fn new(options: DemoOptions) -> Self {
        Self { options }
    }
}

/// One piece of an answer and the pause before it.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    pause: Duration,
    event: Result<ProviderEvent, Failure>,
}

impl Provider for Demo {
    fn stream(&self, request: Request) -> EventStream {
        let steps = VecDeque::from(steps(&request, self.options));
        checked(stream::unfold(steps, |mut steps| async move {
            let step = steps.pop_front()?;
            if !step.pause.is_zero() {
                tokio::time::sleep(step.pause).await;
            }
            Some((step.event, steps))
        }))
    }
}

/// The whole answer, decided before its first word.
fn steps(request: &Request, options: DemoOptions) -> Vec<Step> {
    let asked = request.messages.iter().rev().find(|message| message.role == Role::User);
    let files = asked.map(|message| message.files.as_slice()).unwrap_or_default();
    let asked = asked.map(|message| message.text.as_str()).unwrap_or_default();
    let mut steps = match asked.strip_prefix(SCRIPT) {
        Some(script) => script::steps(script, request),
        None => {
            let pieces =
                work::pieces(request, asked).unwrap_or_else(|| match answer::greeting(asked, &request.tools) {
                    Some(greeting) => greeting,
                    None => answer::pieces(asked, files, request.messages.len()),
                });
            paced(pieces, options)
        }
    };
    if request.stream_tool_input {
        steps = steps.into_iter().flat_map(told_as_it_is_written).collect();
    }
    let usage = usage(request, &steps);
    // A script may end its answer early; then neither a count nor an end is claimed.
    if let Some(at) = steps.iter().position(|step| matches!(step.event, Ok(ProviderEvent::Finish { .. }))) {
        steps.insert(at, Step { pause: Duration::ZERO, event: Ok(ProviderEvent::Usage(usage)) });
    }
    steps
}

/// A call with the text of its arguments before it, word by word, at the pace of the call.
fn told_as_it_is_written(step: Step) -> Vec<Step> {
    let Ok(ProviderEvent::ToolCall { id, tool, input, by_provider: false }) = &step.event else { return vec![step] };
    let json = input.to_string();
    let told = |delta: &str| ProviderEvent::ToolInput { id: id.clone(), tool: tool.clone(), delta: delta.to_owned() };
    let mut steps: Vec<_> = words(&json).map(|word| Step { pause: step.pause, event: Ok(told(word)) }).collect();
    steps.push(Step { pause: Duration::ZERO, ..step });
    steps
}

/// Cuts text into words and gives every piece its pause.
fn paced(pieces: Vec<answer::Piece>, options: DemoOptions) -> Vec<Step> {
    // A pace of 0 has no finite pause, and no clock waits a negative one: both are no pause.
    let word = Duration::try_from_secs_f32(options.words_per_second.recip()).unwrap_or_default();
    let timed = options.words_per_second > 0.0;
    let mut steps = Vec::new();
    let mut wait = Duration::ZERO;
    for piece in pieces {
        let events: Vec<_> = match piece {
            answer::Piece::Wait(time) => {
                wait = if timed { time } else { Duration::ZERO };
                continue;
            }
            answer::Piece::Text(text) => words(&text).map(|word| Ok(ProviderEvent::Text(word.to_owned()))).collect(),
            answer::Piece::Reasoning(text) => {
                words(&text).map(|word| Ok(ProviderEvent::Reasoning(word.to_owned()))).collect()
            }
            answer::Piece::Other(event) => vec![event],
        };
        for event in events {
            let spoken = matches!(
                event,
                Ok(ProviderEvent::Text(_)
                    | ProviderEvent::Reasoning(_)
                    | ProviderEvent::ToolCall { by_provider: false, .. })
            );
            let pause = if timed && spoken { word } else { Duration::ZERO };
            steps.push(Step { pause: pause + std::mem::take(&mut wait), event });
        }
    }
    steps
}

/// Each word with the white space after it, so that the pieces together are the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let end = rest[word..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |space| word + space);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Words stand for tokens: the demo has no tokenizer.
fn usage(request: &Request, steps: &[Step]) -> Usage {
    let count = |text: &str| text.split_whitespace().count() as u64;
    let asked = request.messages.iter().map(|message| message.text.as_str()).chain(request.system.as_deref());
    let (mut text, mut reasoning) = (String::new(), String::new());
    for step in steps {
        match &step.event {
            Ok(ProviderEvent::Text(piece)) => text.push_str(piece),
            Ok(ProviderEvent::Reasoning(piece)) => reasoning.push_str(piece),
            _ => {}
        }
    }
    let reasoned = count(&reasoning);
    Usage {
        input_tokens: asked.map(count).sum(),
        output_tokens: count(&text) + reasoned,
        reasoning_tokens: (reasoned > 0).then_some(reasoned),
        cached_tokens: None,
    }
}

#[cfg(test)]
mod tests;
