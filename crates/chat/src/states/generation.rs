//! A generation: queued, claimed by a runner, streaming, waiting for a person, over. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{FinalStatus, Result};

use super::illegal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerationStatus {
    Queued,
    /// A runner holds the lease and has not begun: if it is lost, another may begin.
    Claimed,
    Streaming,
    /// All that is left to do waits for decisions of people. Nobody holds it; a decision queues it again.
    AwaitingApproval,
    Complete,
    Error,
    Stopped,
    /// The runner was lost after it had begun.
    Interrupted,
}

/// What can happen to a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerationStep {
    Claim,
    Start,
    /// The lease was lost where another runner can go on: before the start, or between two steps.
    Requeue,
    /// Nothing can be done before somebody decides.
    Park,
    /// Somebody has decided.
    Resume,
    Finish(FinalStatus),
}

impl GenerationStatus {
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Claimed,
        Self::Streaming,
        Self::AwaitingApproval,
        Self::Complete,
        Self::Error,
        Self::Stopped,
        Self::Interrupted,
    ];
    /// The states in which a generation occupies its thread.
    pub const RUNNING: [Self; 4] = [Self::Queued, Self::Claimed, Self::Streaming, Self::AwaitingApproval];
    /// The states in which a runner holds the lease, and so alone writes the log.
    pub const HELD: [Self; 2] = [Self::Claimed, Self::Streaming];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Streaming => "streaming",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn is_terminal(self) -> bool {
        !Self::RUNNING.contains(&self)
    }

    pub fn is_held(self) -> bool {
        Self::HELD.contains(&self)
    }

    /// The public form of a terminal state.
    pub fn final_status(self) -> Option<FinalStatus> {
        match self {
            Self::Queued | Self::Claimed | Self::Streaming | Self::AwaitingApproval => None,
            Self::Complete => Some(FinalStatus::Complete),
            Self::Error => Some(FinalStatus::Error),
            Self::Stopped => Some(FinalStatus::Stopped),
            Self::Interrupted => Some(FinalStatus::Interrupted),
        }
    }

    /// The state after `step`, or `invalid_transition`.
    pub fn step(self, step: GenerationStep) -> Result<Self> {
        use FinalStatus::{Complete, Error, Interrupted, Stopped};
        use GenerationStep::{Claim, Finish, Park, Requeue, Resume, Start};
        match (self, step) {
            (Self::Queued, Claim) => Ok(Self::Claimed),
            (Self::Claimed, Start) => Ok(Self::Streaming),
            (Self::Claimed | Self::Streaming, Requeue) | (Self::AwaitingApproval, Resume) => Ok(Self::Queued),
            (Self::Streaming, Park) => Ok(Self::AwaitingApproval),
            (running, Finish(Stopped)) if !running.is_terminal() => Ok(Self::Stopped),
            (running, Finish(Error)) if !running.is_terminal() => Ok(Self::Error),
            (Self::Streaming, Finish(Complete)) => Ok(Self::Complete),
            (Self::Streaming, Finish(Interrupted)) => Ok(Self::Interrupted),
            _ => Err(illegal("generation", self.as_str(), step.name())),
        }
    }
}

impl GenerationStep {
    fn name(self) -> &'static str {
        match self {
            Self::Claim => "be claimed",
            Self::Start => "start",
            Self::Requeue => "be queued again",
            Self::Park => "wait for a decision",
            Self::Resume => "go on",
            Self::Finish(FinalStatus::Complete) => "complete",
            Self::Finish(FinalStatus::Error) => "fail",
            Self::Finish(FinalStatus::Stopped) => "be stopped",
            Self::Finish(FinalStatus::Interrupted) => "be interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::states::{MessageStatus, MessageStep};
    use proptest::prelude::*;

    fn any_step() -> impl Strategy<Value = GenerationStep> {
        prop_oneof![
            Just(GenerationStep::Claim),
            Just(GenerationStep::Start),
            Just(GenerationStep::Requeue),
            Just(GenerationStep::Park),
            Just(GenerationStep::Resume),
            prop_oneof![
                Just(FinalStatus::Complete),
                Just(FinalStatus::Error),
                Just(FinalStatus::Stopped),
                Just(FinalStatus::Interrupted)
            ]
            .prop_map(GenerationStep::Finish),
        ]
    }

    /// The diagram of the requirements, written down a second time as pairs.
    fn drawn(from: GenerationStatus, to: GenerationStatus) -> bool {
        use GenerationStatus::{AwaitingApproval, Claimed, Complete, Error, Interrupted, Queued, Stopped, Streaming};
        matches!(
            (from, to),
            (Queued, Claimed | Stopped | Error)
                | (Claimed, Streaming | Queued | Stopped | Error)
                | (Streaming, Queued | AwaitingApproval | Complete | Error | Stopped | Interrupted)
                | (AwaitingApproval, Queued | Stopped | Error)
        )
    }

    proptest! {
        #[test]
        fn ty_04_no_illegal_transition_is_reachable_and_the_message_follows(steps in prop::collection::vec(any_step(), 0..12)) {
            let mut generation = GenerationStatus::Queued;
            let mut message = MessageStatus::Pending;
            let mut started = false;
            for step in steps {
                match generation.step(step) {
                    Ok(next) => {
                        prop_assert!(drawn(generation, next), "{generation:?} -> {next:?}");
                        started |= next == GenerationStatus::Streaming;
                        let following = MessageStatus::following(next, started);
                        if following != message {
                            let step = MessageStep::toward(following);
                            prop_assert_eq!(message.step(step).unwrap(), following);
                        }
                        (generation, message) = (next, following);
                    }
                    Err(error) => prop_assert_eq!(error.code, spool_protocol::Code::InvalidTransition),
                }
                prop_assert_eq!(generation.is_terminal(), message.is_terminal());
            }
        }
    }

    #[test]
    fn st_07_terminal_states_are_final() {
        for status in GenerationStatus::ALL.into_iter().filter(|status| status.is_terminal()) {
            for end in [FinalStatus::Complete, FinalStatus::Error, FinalStatus::Stopped, FinalStatus::Interrupted] {
                status.step(GenerationStep::Finish(end)).unwrap_err();
            }
            status.step(GenerationStep::Claim).unwrap_err();
            status.step(GenerationStep::Start).unwrap_err();
            status.step(GenerationStep::Requeue).unwrap_err();
        }
    }
}
