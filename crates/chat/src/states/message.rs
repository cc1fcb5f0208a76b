//! A message: it follows its generation, or is complete from the start. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{FinalStatus, Result};

use super::{GenerationStatus, illegal};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// An answer that has not begun, or a user message that waits for its turn.
    Pending,
    Streaming,
    Complete,
    Error,
    Stopped,
    Interrupted,
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageStep {
    Start,
    Finish(FinalStatus),
    /// A failed answer is tried again, in place.
    Retry,
    /// A complete answer is made anew, in place.
    Regenerate,
}

impl MessageStatus {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Streaming, Self::Complete, Self::Error, Self::Stopped, Self::Interrupted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Streaming => "streaming",
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Streaming)
    }

    /// The state of the message whose generation is in `status`, and has `started` at some time: between its
    /// steps an answer is queued again, and its message stays as it was.
    pub fn following(status: GenerationStatus, started: bool) -> Self {
        match status {
            GenerationStatus::Queued | GenerationStatus::Claimed if !started => Self::Pending,
            GenerationStatus::Queued
            | GenerationStatus::Claimed
            | GenerationStatus::Streaming
            | GenerationStatus::AwaitingApproval => Self::Streaming,
            GenerationStatus::Complete => Self::Complete,
            GenerationStatus::Error => Self::Error,
            GenerationStatus::Stopped => Self::Stopped,
            GenerationStatus::Interrupted => Self::Interrupted,
        }
    }

    /// The state after `step`, or `invalid_transition`.
    pub fn step(self, step: MessageStep) -> Result<Self> {
        match (self, step) {
            (Self::Pending, MessageStep::Start) => Ok(Self::Streaming),
            // A queued user message becomes complete when its turn comes.
            (Self::Pending, MessageStep::Finish(FinalStatus::Complete)) => Ok(Self::Complete),
            (Self::Pending | Self::Streaming, MessageStep::Finish(FinalStatus::Stopped)) => Ok(Self::Stopped),
            (Self::Pending | Self::Streaming, MessageStep::Finish(FinalStatus::Error)) => Ok(Self::Error),
            (Self::Streaming, MessageStep::Finish(FinalStatus::Complete)) => Ok(Self::Complete),
            (Self::Streaming, MessageStep::Finish(FinalStatus::Interrupted)) => Ok(Self::Interrupted),
            (Self::Error | Self::Stopped | Self::Interrupted, MessageStep::Retry) => Ok(Self::Pending),
            (Self::Complete, MessageStep::Regenerate) => Ok(Self::Pending),
            _ => Err(illegal("message", self.as_str(), step.name())),
        }
    }
}

impl MessageStep {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Finish(FinalStatus::Complete) => "complete",
            Self::Finish(FinalStatus::Error) => "fail",
            Self::Finish(FinalStatus::Stopped) => "be stopped",
            Self::Finish(FinalStatus::Interrupted) => "be interrupted",
            Self::Retry => "be retried",
            Self::Regenerate => "be made anew",
        }
    }

    /// The step that leads to `status`.
    #[cfg(test)]
    pub(crate) fn toward(status: MessageStatus) -> Self {
        match status {
            MessageStatus::Pending => Self::Retry,
            MessageStatus::Streaming => Self::Start,
            MessageStatus::Complete => Self::Finish(FinalStatus::Complete),
            MessageStatus::Error => Self::Finish(FinalStatus::Error),
            MessageStatus::Stopped => Self::Finish(FinalStatus::Stopped),
            MessageStatus::Interrupted => Self::Finish(FinalStatus::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ms_15_only_a_failed_answer_can_be_retried() {
        for status in MessageStatus::ALL {
            let failed = matches!(status, MessageStatus::Error | MessageStatus::Stopped | MessageStatus::Interrupted);
            assert_eq!(status.step(MessageStep::Retry).is_ok(), failed, "{status:?}");
        }
    }
}
