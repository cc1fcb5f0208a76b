//! A runtime session: whether the runtime still has it, and in which phase its run is. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};

use super::illegal;

/// Whether a runtime has the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    Active,
    /// The runtime let it go to rest, and can take it up again.
    Idle,
    /// The runtime forgot it: the next run begins with the transcript of the thread.
    Lost,
    Closed,
    /// It was removed at the runtime.
    DeletedUpstream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStep {
    /// It is used, under its old name or a new one.
    Use,
    Rest,
    Lose,
    Close,
    Delete,
}

impl SessionStatus {
    pub const ALL: [Self; 5] = [Self::Active, Self::Idle, Self::Lost, Self::Closed, Self::DeletedUpstream];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::DeletedUpstream => "deleted_upstream",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::DeletedUpstream)
    }

    /// The state after `step`, or `invalid_transition`: what is over stays so.
    pub fn step(self, step: SessionStep) -> Result<Self> {
        if self.is_over() {
            return Err(illegal("session", self.as_str(), step.name()));
        }
        Ok(match step {
            SessionStep::Use => Self::Active,
            // What is lost cannot rest.
            SessionStep::Rest if self == Self::Lost => return Err(illegal("session", self.as_str(), step.name())),
            SessionStep::Rest => Self::Idle,
            SessionStep::Lose => Self::Lost,
            SessionStep::Close => Self::Closed,
            SessionStep::Delete => Self::DeletedUpstream,
        })
    }
}

impl SessionStep {
    fn name(self) -> &'static str {
        match self {
            Self::Use => "be used",
            Self::Rest => "rest",
            Self::Lose => "be lost",
            Self::Close => "be closed",
            Self::Delete => "be deleted",
        }
    }
}

/// Where a run is that plans before it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Planning,
    AwaitingApproval,
    Executing,
    Done,
}

/// What people read for each phase: the words of whoever runs the server. None is blank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhaseNames {
    pub planning: String,
    pub awaiting_approval: String,
    pub executing: String,
    pub done: String,
}

impl Default for PhaseNames {
    fn default() -> Self {
        let [planning, awaiting_approval, executing, done] =
            ["Planning", "Approval", "Executing", "Done"].map(str::to_owned);
        Self { planning, awaiting_approval, executing, done }
    }
}

impl PhaseNames {
    pub fn of(&self, phase: Phase) -> &str {
        match phase {
            Phase::Planning => &self.planning,
            Phase::AwaitingApproval => &self.awaiting_approval,
            Phase::Executing => &self.executing,
            Phase::Done => &self.done,
        }
    }
}

/// What moves a run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseStep {
    /// A runner takes the run up: what is done is planned anew, and what is not goes on where it is.
    Begin,
    /// A message came: what is done is planned anew, and so is what was broken off while it was carried out.
    Anew,
    /// A plan is shown to a person.
    Submit,
    Approve,
    /// Rejected, or not decided in time: it is planned again.
    Reject,
    /// The plan was carried out.
    Finish,
}

impl Phase {
    pub const ALL: [Self; 4] = [Self::Planning, Self::AwaitingApproval, Self::Executing, Self::Done];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Executing => "executing",
            Self::Done => "done",
        }
    }

    /// The phase after `step`, or `invalid_phase` with the phase it is in.
    pub fn step(self, step: PhaseStep) -> Result<Self> {
        match (self, step) {
            (Self::Done, PhaseStep::Begin)
            | (Self::Done | Self::Executing, PhaseStep::Anew)
            | (Self::AwaitingApproval, PhaseStep::Reject) => Ok(Self::Planning),
            (phase, PhaseStep::Begin | PhaseStep::Anew) => Ok(phase),
            (Self::Planning, PhaseStep::Submit) => Ok(Self::AwaitingApproval),
            (Self::AwaitingApproval, PhaseStep::Approve) => Ok(Self::Executing),
            (Self::Executing, PhaseStep::Finish) => Ok(Self::Done),
            _ => Err(self.refuses(step.name())),
        }
    }

    /// The step from this phase to `to`, where a backend names phases; `None` if they are the same.
    pub fn towards(self, to: Self) -> Result<Option<PhaseStep>> {
        Ok(Some(match (self, to) {
            (from, to) if from == to => return Ok(None),
            (Self::Done, Self::Planning) => PhaseStep::Begin,
            (Self::Planning, Self::AwaitingApproval) => PhaseStep::Submit,
            (Self::AwaitingApproval, Self::Executing) => PhaseStep::Approve,
            (Self::AwaitingApproval, Self::Planning) => PhaseStep::Reject,
            (Self::Executing, Self::Done) => PhaseStep::Finish,
            _ => return Err(self.refuses(&format!("go to {}", to.as_str()))),
        }))
    }

    /// The refusal of something that this phase does not have.
    pub fn refuses(self, what: &str) -> Error {
        let message = format!("The run in this thread is in the phase {}: it cannot {what}.", self.as_str());
        Error::new(Code::InvalidPhase, message).with("phase", self.as_str())
    }
}

impl PhaseStep {
    fn name(self) -> &'static str {
        match self {
            Self::Begin | Self::Anew => "begin",
            Self::Submit => "submit a plan",
            Self::Approve => "have its plan approved",
            Self::Reject => "have its plan rejected",
            Self::Finish => "be done",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEPS: [PhaseStep; 6] = [
        PhaseStep::Begin,
        PhaseStep::Anew,
        PhaseStep::Submit,
        PhaseStep::Approve,
        PhaseStep::Reject,
        PhaseStep::Finish,
    ];

    #[test]
    fn ag_08_only_the_drawn_phases_follow_each_other() {
        let drawn = [
            ("planning", "awaiting_approval"),
            ("awaiting_approval", "executing"),
            ("awaiting_approval", "planning"),
            ("executing", "done"),
            ("done", "planning"),
        ];
        for from in Phase::ALL {
            for to in Phase::ALL {
                let legal = from == to || drawn.contains(&(from.as_str(), to.as_str()));
                let towards = from.towards(to);
                assert_eq!(towards.is_ok(), legal, "{from:?} -> {to:?}");
                match towards {
                    Ok(Some(step)) => assert_eq!(from.step(step).unwrap(), to),
                    Ok(None) => {}
                    Err(error) => {
                        assert_eq!(
                            (error.code, &error.data.unwrap()["phase"]),
                            (Code::InvalidPhase, &from.as_str().into())
                        );
                    }
                }
            }
        }
    }

    proptest! {
        /// Whatever happens, nothing is executed that was not approved since the last plan and the last message, and
        /// what is refused changes nothing.
        #[test]
        fn ag_08_nothing_is_executed_without_an_approval(steps in proptest::collection::vec(0..STEPS.len(), 0..60)) {
            let (mut phase, mut approved) = (Phase::Planning, false);
            for at in steps {
                let Ok(next) = phase.step(STEPS[at]) else { continue };
                match STEPS[at] {
                    PhaseStep::Approve => approved = true,
                    PhaseStep::Submit | PhaseStep::Reject | PhaseStep::Anew => approved = false,
                    PhaseStep::Begin if phase == Phase::Done => approved = false,
                    PhaseStep::Begin | PhaseStep::Finish => {}
                }
                phase = next;
                prop_assert!(approved == matches!(phase, Phase::Executing | Phase::Done));
            }
        }

        #[test]
        fn ag_09_a_session_that_is_over_stays_over(steps in proptest::collection::vec(0..5_usize, 0..40)) {
            let all = [SessionStep::Use, SessionStep::Rest, SessionStep::Lose, SessionStep::Close, SessionStep::Delete];
            let mut status = SessionStatus::Active;
            for at in steps {
                let was_over = status.is_over();
                let next = status.step(all[at]);
                prop_assert_eq!(next.is_err(), was_over || (status == SessionStatus::Lost && all[at] == SessionStep::Rest));
                status = next.unwrap_or(status);
                prop_assert!(!was_over || status.is_over());
            }
        }
    }
}
