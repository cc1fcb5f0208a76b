//! Whether a worker may work: not yet, yes, never again. Pure. Presence is no state: it is computed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;

use super::illegal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkerApproval {
    /// Made, and not approved by the owner of its machine.
    Pending,
    Approved,
    Revoked,
}

/// What the owner of a machine can say about a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStep {
    Approve,
    /// Its row is removed.
    Reject,
    /// For good: another worker is made instead.
    Revoke,
}

impl WorkerApproval {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Revoked => "revoked",
        }
    }

    /// The approval after `step`, or `invalid_transition`.
    pub fn step(self, step: WorkerStep) -> Result<Self> {
        match (self, step) {
            (Self::Pending, WorkerStep::Approve) => Ok(Self::Approved),
            (Self::Pending, WorkerStep::Reject) | (Self::Pending | Self::Approved, WorkerStep::Revoke) => {
                Ok(Self::Revoked)
            }
            _ => Err(illegal("worker", self.as_str(), step.name())),
        }
    }
}

impl WorkerStep {
    fn name(self) -> &'static str {
        match self {
            Self::Approve => "be approved",
            Self::Reject => "be rejected",
            Self::Revoke => "be revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WorkerApproval, WorkerStep};

    #[test]
    fn wk_02_who_was_revoked_is_never_approved_again() {
        use WorkerApproval::{Approved, Pending, Revoked};
        assert_eq!(Pending.step(WorkerStep::Approve).unwrap(), Approved);
        assert_eq!(Approved.step(WorkerStep::Revoke).unwrap(), Revoked);
        for step in [WorkerStep::Approve, WorkerStep::Reject, WorkerStep::Revoke] {
            Revoked.step(step).unwrap_err();
        }
        Approved.step(WorkerStep::Approve).unwrap_err();
        Approved.step(WorkerStep::Reject).unwrap_err();
    }
}
