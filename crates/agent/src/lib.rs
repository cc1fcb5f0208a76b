//! One turn of an assistant: what is sent to a model, how its stream is read, what becomes of it.
//!
//! Owns the prompt, the turn machine and the model providers. Must never import the store or the chat
//! domain: a turn says what should happen as [`Effect`]s, and its driver carries them out.

pub mod files;
pub mod prompt;
pub mod provider;
pub mod tools;
pub mod turn;

pub use files::{PromptFile, wanted};
pub use prompt::{PromptLimits, assemble};
pub use provider::{Answered, EventStream, Failure, PromptCall, PromptMessage, Provider, ProviderEvent, Request, Role};
pub use tools::{ToolChoice, ToolSpec};
pub use turn::{
    Call, Effect, FlushPolicy, Input, MadeCall, Outcome, Piece, Stage, Start, Then, Turn, TurnPolicy, WRITES,
};
