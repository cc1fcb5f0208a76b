//! An approval: asked once, answered once. Pure.

use spool_protocol::{ApprovalStatus, Code, Error, Result};

/// How a pending approval ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalStep {
    Approve,
    Reject,
    /// Its time is up.
    Expire,
    /// The answer that asked is over.
    Cancel,
}

/// The state after `step`, or `already_resolved` with the state it is in: the first step is the last.
pub fn step(from: ApprovalStatus, step: ApprovalStep) -> Result<ApprovalStatus> {
    match (from, step) {
        (ApprovalStatus::Pending, ApprovalStep::Approve) => Ok(ApprovalStatus::Approved),
        (ApprovalStatus::Pending, ApprovalStep::Reject) => Ok(ApprovalStatus::Rejected),
        (ApprovalStatus::Pending, ApprovalStep::Expire) => Ok(ApprovalStatus::Expired),
        (ApprovalStatus::Pending, ApprovalStep::Cancel) => Ok(ApprovalStatus::Cancelled),
        (over, _) => Err(already_resolved(over)),
    }
}

/// The refusal of a second decision.
pub fn already_resolved(status: ApprovalStatus) -> Error {
    let name = name(status);
    Error::new(Code::AlreadyResolved, format!("The approval is {name}: it is decided only while it is pending."))
        .with("status", name)
}

pub fn name(status: ApprovalStatus) -> &'static str {
    match status {
        ApprovalStatus::Pending => "pending",
        ApprovalStatus::Approved => "approved",
        ApprovalStatus::Rejected => "rejected",
        ApprovalStatus::Expired => "expired",
        ApprovalStatus::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ap_02_whatever_comes_second_is_refused() {
        let steps = [ApprovalStep::Approve, ApprovalStep::Reject, ApprovalStep::Expire, ApprovalStep::Cancel];
        for first in steps {
            let over = step(ApprovalStatus::Pending, first).unwrap();
            assert_ne!(over, ApprovalStatus::Pending);
            for second in steps {
                let error = step(over, second).unwrap_err();
                assert_eq!((error.code, &error.data.unwrap()["status"]), (Code::AlreadyResolved, &name(over).into()));
            }
        }
    }
}
