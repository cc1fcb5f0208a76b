//! A thread: active, completed or archived, and in the end deleted. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};

use super::illegal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThreadStatus {
    Active,
    Completed,
    Archived,
}

/// A thread as its life sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    Live {
        status: ThreadStatus,
        is_default: bool,
    },
    /// Marked for the purge; nothing leads back.
    Deleted,
}

/// What can happen to a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadStep {
    /// The owner says so.
    Set(ThreadStatus),
    /// A user speaks: the thread is active again.
    UserMessage,
    Delete,
}

impl ThreadState {
    /// The state after `step`, or `invalid_transition`, or `cannot_delete_default`.
    pub fn step(self, step: ThreadStep) -> Result<Self> {
        match (self, step) {
            (Self::Live { is_default, .. }, ThreadStep::Set(status)) => Ok(Self::Live { status, is_default }),
            (Self::Live { is_default, .. }, ThreadStep::UserMessage) => {
                Ok(Self::Live { status: ThreadStatus::Active, is_default })
            }
            (Self::Live { is_default: true, .. }, ThreadStep::Delete) => {
                Err(Error::new(Code::CannotDeleteDefault, "The default thread stays; clear it with threads:clear."))
            }
            (Self::Live { .. }, ThreadStep::Delete) => Ok(Self::Deleted),
            (Self::Deleted, _) => Err(illegal("thread", "deleted", "change")),
        }
    }

    /// The status of a live thread.
    pub fn status(self) -> Option<ThreadStatus> {
        match self {
            Self::Live { status, .. } => Some(status),
            Self::Deleted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn th_08_the_default_thread_is_never_deleted_and_a_deleted_one_never_comes_back() {
        let default = ThreadState::Live { status: ThreadStatus::Archived, is_default: true };
        assert_eq!(default.step(ThreadStep::Delete).unwrap_err().code, Code::CannotDeleteDefault);
        assert_eq!(default.step(ThreadStep::UserMessage).unwrap().status(), Some(ThreadStatus::Active));
        for step in [ThreadStep::Delete, ThreadStep::UserMessage, ThreadStep::Set(ThreadStatus::Active)] {
            assert_eq!(ThreadState::Deleted.step(step).unwrap_err().code, Code::InvalidTransition);
        }
    }
}
