//! What every model provider looks like from inside: a request goes in, a stream of events comes out.
//!
//! Owns the vocabulary and the two promises that hold for every provider (see [`checked`]). Must never
//! hold settings outside a provider's own value: two providers with two keys live in one process
//! (AG-07), so nothing here reads the environment.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::Usage;

use crate::files::{Form, PromptFile};
use crate::tools::{ToolChoice, ToolSpec};

pub mod anthropic;
mod calls;
pub mod demo;
mod failure;
mod frames;
mod http;
pub mod openai;
mod surrogates;

pub use failure::Failure;
pub use http::{ApiKey, CONNECT_TIMEOUT, IDLE_TIMEOUT, client};

/// One answer on its way. Dropping it cancels the call upstream.
///
/// It ends after the first [`ProviderEvent::Finish`] or after the first error, whichever comes first,
/// and never without one of the two.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<ProviderEvent, Failure>> + Send>>;

/// A source of answers. Cheap to share; holds its own settings.
pub trait Provider: Send + Sync {
    /// Starts an answer. Nothing is sent before the stream is first polled.
    fn stream(&self, request: Request) -> EventStream;
}

/// Who says a message of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
    /// The result of a call; see [`PromptMessage::answers`].
    Tool,
}

impl Role {
    /// The word that chat completions use.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One message of the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptMessage {
    pub role: Role,
    pub text: String,
    /// What the message shows besides, before its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PromptFile>,
    /// With role `assistant`: the calls that it made after its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<PromptCall>,
    /// With role `tool`: which call the text is the result of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answered>,
}

/// A call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptCall {
    pub id: String,
    pub tool: String,
    pub input: Value,
}

/// Which call a result belongs to, and whether it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub call_id: String,
    pub failed: bool,
}

impl PromptMessage {
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into(), files: Vec::new(), calls: Vec::new(), answers: None }
    }

    /// The result of a call.
    pub fn result(call_id: impl Into<String>, text: impl Into<String>, failed: bool) -> Self {
        let answers = Some(Answered { call_id: call_id.into(), failed });
        Self { answers, ..Self::new(Role::Tool, text) }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim().is_empty() && self.files.is_empty() && self.calls.is_empty() && self.answers.is_none()
    }

    /// The pieces of the message in their order, neighbouring text in one. Without images and documents
    /// it is all text, which every server takes.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let shows = self.role == Role::User;
        let files = self.files.iter().map(|file| match if shows { file.form() } else { Form::Text(file.named()) } {
            Form::Image(base64) => Piece::Image { file, base64 },
            Form::Pdf(base64) => Piece::Pdf { file, base64 },
            Form::Text(text) => Piece::Text(text),
        });
        let said = Some(Piece::Text(self.text.clone())).filter(|_| !self.text.trim().is_empty());
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        for piece in files.chain(said) {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) => {
                    text.push_str("\n\n");
                    text.push_str(&more);
                }
                (_, piece) => pieces.push(piece),
            }
        }
        pieces
    }
}

/// A piece of a message as the APIs have it.
pub(crate) enum Piece<'a> {
    Text(String),
    Image { file: &'a PromptFile, base64: String },
    Pdf { file: &'a PromptFile, base64: String },
}

impl Piece<'_> {
    /// The content of a message for an API with a `block` for each piece that is no text.
    pub(crate) fn content(message: &PromptMessage, block: impl Fn(Piece<'_>) -> Value) -> Value {
        if message.files.is_empty() {
            return message.text.clone().into();
        }
        match <[Piece<'_>; 1]>::try_from(message.pieces()) {
            Ok([Piece::Text(text)]) => text.into(),
            Ok([piece]) => vec![block(piece)].into(),
            Err(pieces) => pieces.into_iter().map(block).collect(),
        }
    }
}

/// What a model is asked. Everything that may differ between two answers is here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The model as its provider names it.
    pub model: String,
    /// Instructions that stand before the conversation.
    pub system: Option<String>,
    /// The conversation, oldest first. Providers refuse an empty one.
    pub messages: Vec<PromptMessage>,
    /// The most tokens the answer may have. `None` leaves it to the provider.
    pub max_output_tokens: Option<u32>,
    /// 0.0 to 2.0 (Anthropic: to 1.0). `None` leaves it to the model; some models refuse any value.
    pub temperature: Option<f64>,
    /// What the model may call. Names are those that providers take: 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub tools: Vec<ToolSpec>,
    pub tool_choice: ToolChoice,
    /// Whether the arguments of calls are told as they arrive, as [`ProviderEvent::ToolInput`].
    pub stream_tool_input: bool,
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ProviderEvent {
    Text(String),
    Reasoning(String),
    /// A complete call. `input` is the arguments as JSON; arguments that are no JSON (an answer cut off
    /// by its length) are kept as one string. The id is not empty, and no other call of the answer or of
    /// its prompt has it. The tool is what the model wrote: it may be unknown, and empty.
    ToolCall {
        id: String,
        tool: String,
        input: Value,
        /// The provider runs it and sends a [`ProviderEvent::ToolResult`]. Any other call is ours to run
        /// once the answer is finished.
        by_provider: bool,
    },
    /// A piece of the arguments of a call that is ours, before its [`ProviderEvent::ToolCall`] under the same
    /// id. The pieces together are the JSON text of the arguments, if the answer is not cut before. Only with
    /// [`Request::stream_tool_input`].
    ToolInput {
        id: String,
        tool: String,
        delta: String,
    },
    /// The result of a call that the provider itself executed.
    ToolResult {
        id: String,
        output: Option<Value>,
        error: Option<String>,
    },
    Source {
        title: String,
        url: String,
        snippet: Option<String>,
    },
    /// Tokens so far. The latest replaces the earlier ones. Input counts cached tokens, output counts
    /// reasoning tokens, whatever the provider's own habit is.
    Usage(Usage),
    /// The answer is complete. `reason` is `stop`, `length`, `tool_calls` or `content_filter`, or the
    /// provider's own word where none of these fits. Calls may wait with any reason: an answer that was cut
    /// off by its length has made the calls before the cut.
    Finish {
        reason: String,
    },
}

/// Makes any stream keep the promises of [`EventStream`]: nothing follows the first `Finish` or error,
/// and an end without `Finish` becomes a `provider_cut` failure. A connection that closes early looks
/// like a complete answer to every HTTP library, so this is the one place that tells them apart.
pub fn checked(events: impl Stream<Item = Result<ProviderEvent, Failure>> + Send + 'static) -> EventStream {
    Box::pin(Checked(Some(Box::pin(events))))
}

/// The inner stream until its end, where it is dropped: that frees its connection early.
struct Checked<S>(Option<Pin<Box<S>>>);

impl<S: Stream<Item = Result<ProviderEvent, Failure>>> Stream for Checked<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(events) = &mut self.0 else { return Poll::Ready(None) };
        let next = ready!(events.as_mut().poll_next(task)).unwrap_or_else(|| Err(Failure::cut()));
        if matches!(next, Err(_) | Ok(ProviderEvent::Finish { .. })) {
            self.0 = None;
        }
        Poll::Ready(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use spool_protocol::Code;

    use super::*;

    fn text(text: &str) -> Result<ProviderEvent, Failure> {
        Ok(ProviderEvent::Text(text.into()))
    }

    fn finish() -> Result<ProviderEvent, Failure> {
        Ok(ProviderEvent::Finish { reason: "stop".into() })
    }

    async fn run(events: Vec<Result<ProviderEvent, Failure>>) -> Vec<Result<ProviderEvent, Failure>> {
        checked(stream::iter(events)).collect().await
    }

    #[tokio::test]
    async fn st_09_an_end_without_finish_is_a_cut() {
        let events = run(vec![text("a")]).await;
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].as_ref().unwrap_err().code, Code::ProviderCut);
    }

    #[tokio::test]
    async fn nothing_follows_finish_or_the_first_error() {
        assert_eq!(run(vec![text("a"), finish(), text("b")]).await, [text("a"), finish()]);
        let failed = || Err(Failure::error("no", true));
        assert_eq!(run(vec![failed(), text("b"), failed()]).await, [failed()]);
    }
}
